"""What a watch stream has to tell its client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_WATCH_ID: Final = -1  # of a refusal, and of progress that holds for the whole stream

_EVENT_OVERHEAD_BYTES = 32


@dataclass(slots=True, eq=False)
class WatchEvent:
    """One change of one key. Every watcher that sees the change shares the object."""

    key: bytes
    pair: bytes  # serialized KeyValue as stored: of a delete it has the key alone
    revision: int  # main revision of the change
    is_delete: bool
    previous: bytes | None = None  # serialized; only if somebody who sees the event asked for it
    # Kept by whoever sends the event, so that it is encoded once for all: without the
    # previous pair, and with it.
    encoded: bytes | None = None
    encoded_with_previous: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """About how much memory the event takes."""
        return len(self.pair) + len(self.previous or b"") + _EVENT_OVERHEAD_BYTES


class EventsMessage(NamedTuple):
    """Events of one watcher: all it sees of one revision, or of several while it catches up."""

    watch_id: int
    revision: int  # for the header: the events' own, or the current one while catching up
    events: Sequence[WatchEvent]
    with_previous: bool
    may_fragment: bool  # a message that is too large may be split
    size_bytes: int


class Notice(NamedTuple):
    """Anything but events: created, refused, cancelled, compacted, progress."""

    watch_id: int
    revision: int  # for the header; 0 when the watcher's revision was compacted
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""


Message: TypeAlias = EventsMessage | Notice
