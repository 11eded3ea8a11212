"""Follows the members' logs and merges them into one story, in the order of their clocks."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from miniraft.local_cluster.elections import step_of
from miniraft.local_cluster.view import Happening

if TYPE_CHECKING:
    from pathlib import Path

    from miniraft.local_cluster.elections import Step

READ_BYTES = 1 << 18  # at a time, from one log
KEPT = 500  # happenings
MAX_TEXT = 400  # characters of one

# Events besides those of Raft that belong into the story: etcd's words.
_MILESTONES = (
    "ready to serve client requests",
    "published local member to cluster through raft",
    "added member",
    "removed member",
    "promoted member",
    "closed etcd server",
)
_SERIOUS = ("error", "dpanic", "panic", "fatal")
_FIXED_KEYS = frozenset({"level", "ts", "logger", "caller", "msg", "stacktrace"})


class LogTail:
    """Reads what is added to a member's log."""

    def __init__(self, member: str, file: Path) -> None:
        self.member = member
        self.file = file
        self._position = 0
        self._rest = b""
        self.skip_to_end()

    def skip_to_end(self) -> None:
        """Forgets what is in the log already."""
        with contextlib.suppress(OSError):
            self._position = self.file.stat().st_size

    def read(self) -> list[Happening]:
        """What was added since the last call and belongs into the story."""
        try:
            with self.file.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._position:
                    self._position, self._rest = 0, b""  # somebody cut the file
                file.seek(self._position)
                content = file.read(READ_BYTES)
        except OSError:
            return []
        self._position += len(content)
        lines = (self._rest + content).split(b"\n")
        self._rest = lines.pop()[-READ_BYTES:]
        found = (happening(self.member, line) for line in lines)
        return [item for item in found if item is not None]


def happening(member: str, line: bytes) -> Happening | None:
    """What a line of a log tells, or None when it is nothing for the story."""
    if not line.strip():
        return None
    try:
        event = json.loads(line)
        level, time, message = event["level"], event["ts"], event["msg"]
        datetime.fromisoformat(time)
    except (ValueError, KeyError, TypeError):
        # No event: the interpreter speaks. Its last words are what matters; indented ones are not.
        text = line.decode("utf-8", "replace")
        return None if text[:1].isspace() else Happening(now(), member, text[:MAX_TEXT], "problem")
    if level in _SERIOUS:
        return Happening(time, member, _text(message, event), "problem")
    if event.get("logger") == "raft" and level != "debug":
        # Raft's messages say it all; the fields repeat it for machines.
        return Happening(time, member, str(message)[:MAX_TEXT], "election", _step(str(message), event))
    if level == "warn" or any(message.startswith(words) for words in _MILESTONES):
        return Happening(time, member, _text(message, event))
    return None


def _step(message: str, event: dict[str, Any]) -> Step | None:
    try:
        return step_of(message, event)
    except (KeyError, TypeError, ValueError):
        return None  # another version's words: told, though not understood


def _text(message: str, event: dict[str, Any]) -> str:
    fields = (f"{key}={_value(value)}" for key, value in event.items() if key not in _FIXED_KEYS)
    return " ".join((message, *fields))[:MAX_TEXT]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def now() -> str:
    """This moment as logs write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time(happening: Happening) -> str:
    """Alone, so that what one member logs within a microsecond stays in its order."""
    return happening.time


class Story:
    """The newest happenings of all members, by time."""

    def __init__(self) -> None:
        self._kept: deque[Happening] = deque(maxlen=KEPT)

    def add(self, happenings: list[Happening]) -> list[Happening]:
        """Takes in new ones and returns them in order."""
        fresh = sorted(happenings, key=_time)
        if fresh and self._kept and fresh[0].time < self._kept[-1].time:
            merged = sorted([*self._kept, *fresh], key=_time)
            self._kept.clear()
            self._kept.extend(merged)
        else:
            self._kept.extend(fresh)
        return fresh

    def newest_last(self) -> tuple[Happening, ...]:
        """All that is kept."""
        return tuple(self._kept)
