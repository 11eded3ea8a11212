"""What the clients were promised about watches, against the committed log as it grows.

- ordered, unique, atomic: a message goes on where the last one ended, and has whole revisions;
- reliable: between what a client had seen and what it sees now, nothing is left out, also where
  it has gone on at another member;
- progress tells of a revision only when all events up to it have been told;
- filters, ranges and previous pairs are as asked for;
- a watch is cancelled for a compaction only when one has taken what it needs next, and names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miniraft.pb.kv_pb2 import KeyValue
from miniraft.sim.onlooker import Onlooker
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.mvcc.watch.message import EventsMessage, Notice, WatchEvent
    from miniraft.server.effects import Effects
    from miniraft.sim.log_checker import LogChecker
    from miniraft.sim.model import Change, Model
    from miniraft.sim.server import SimServer


@dataclass(slots=True, eq=False)
class Watch:
    """What a client wants to know, and up to where it knows it, over all its connections."""

    number: int
    key: bytes
    end: bytes  # empty: the key alone; b"\\0": no bound
    keeps_puts: bool
    keeps_deletes: bool
    with_previous: bool
    wants_progress: bool
    next_revision: int  # everything before it is known, or was not asked for; 0: from the answer on

    def shows(self, change: Change) -> bool:
        """Whether the client is to hear of a change."""
        if not (self.keeps_puts if change.value is not None else self.keeps_deletes):
            return False
        if not self.end:
            return change.key == self.key
        return self.key <= change.key and (self.end == b"\0" or change.key < self.end)

    def __str__(self) -> str:
        return f"watch {self.number} (of {self.key.decode()!r} to {self.end.decode()!r})"


class WatchChecker(Onlooker):
    """Compares what the watches of a run tell with the committed log."""

    def __init__(self, logs: LogChecker, model: Model) -> None:
        self.event_count = 0
        self._logs = logs
        self._model = model

    def drained(self, server: SimServer, effects: Effects) -> None:  # noqa: ARG002 (see Onlooker)
        """Follows the committed log; no member tells of what none has applied."""
        self._model.follow(self._logs.committed)

    # What the clients hear --------------------------------------------------------------------
    def created(self, watch: Watch, notice: Notice) -> None:
        """The watch has begun; one that asked for no revision sees what comes behind the answer's."""
        if notice.canceled:
            raise Violation(f"{watch} is refused: {notice.cancel_reason}")
        if not watch.next_revision:
            watch.next_revision = notice.revision + 1

    def told(self, watch: Watch, server: str, message: EventsMessage) -> None:
        """Events: exactly those that come next, up to the last one told."""
        last = message.events[-1].revision
        where = f"{watch} at {server}, which knows all before revision {watch.next_revision},"
        if last > self._model.revision:
            raise Violation(
                f"{where} is told of revision {last}, the committed log ends at {self._model.revision}"
            )
        if message.revision < last:
            raise Violation(f"{where} is told of revision {last} under revision {message.revision}")
        wanted = self._wanted(watch, last)
        found = [_seen(event) for event in message.events]
        expected = [(change.revision, change.key, change.value) for change in wanted]
        if found != expected:
            raise Violation(f"{where} is told {found} and not {expected}")
        for event, change in zip(message.events, wanted, strict=True):
            self._check_previous(where, watch, event, change)
        self.event_count += len(found)
        watch.next_revision = last + 1

    def progressed(self, watch: Watch, server: str, revision: int) -> None:
        """The watch is said to be complete up to `revision`."""
        where = f"{watch} at {server}, which knows all before revision {watch.next_revision},"
        if revision > self._model.revision:
            raise Violation(
                f"{where} is at revision {revision}, the committed log ends at {self._model.revision}"
            )
        missing = self._wanted(watch, revision)
        if missing:
            raise Violation(f"{where} is said to be complete up to {revision}, but was not told {missing[0]}")
        watch.next_revision = max(watch.next_revision, revision + 1)

    def compacted(self, watch: Watch, server: str, compact_revision: int) -> None:
        """The watch has been cancelled: what it needs next is no longer there."""
        if compact_revision not in self._model.compactions or compact_revision <= watch.next_revision:
            raise Violation(
                f"{watch} at {server}, which knows all before revision {watch.next_revision}, is cancelled"
                f" for a compaction at {compact_revision}; there were {self._model.compactions}"
            )

    def _wanted(self, watch: Watch, last: int) -> Sequence[Change]:
        changes = self._model.history(watch.next_revision, last)
        return [change for change in changes if watch.shows(change)]

    def _check_previous(self, where: str, watch: Watch, event: WatchEvent, change: Change) -> None:
        if not watch.with_previous:
            return
        before = change.before
        found = None if event.previous is None else KeyValue.FromString(event.previous)
        if found is None:
            is_compacted = change.revision - 1 < self._model.compact_revision
            if before.value is not None and not is_compacted:
                raise Violation(f"{where} is told {change} without what was there before")
        elif (found.mod_revision, found.value) != before:
            raise Violation(f"{where} is told {change}, and that before it was {found}")


def _seen(event: WatchEvent) -> tuple[int, bytes, bytes | None]:
    """Returns an event as revision, key and value, None for a delete."""
    pair = KeyValue.FromString(event.pair)
    if event.is_delete:
        return event.revision, pair.key, None
    return pair.mod_revision if pair.mod_revision == event.revision else -1, pair.key, pair.value
