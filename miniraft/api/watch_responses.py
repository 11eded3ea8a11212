"""Messages of a watch stream as serialized WatchResponse messages.

A change is encoded once, for all who see it: a response is its header, the watch's id and
bytes that are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.wire import embedded, varint
from miniraft.mvcc.watch.message import Notice
from miniraft.pb.rpc_pb2 import WatchResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from miniraft.api.response_header import HeaderWriter
    from miniraft.mvcc.watch.message import Message, WatchEvent

_WATCH_ID = b"\x10"  # WatchResponse.watch_id: field 2
_FRAGMENT = b"\x38\x01"  # WatchResponse.fragment: field 7
_EVENTS = b"\x5a"  # WatchResponse.events: field 11

_DELETE = b"\x08\x01"  # Event.type
_KV = b"\x12"  # Event.kv: field 2
_PREVIOUS_KV = b"\x1a"  # Event.prev_kv: field 3
_MOD_REVISION = b"\x18"  # KeyValue.mod_revision: field 3

_NEGATIVE = 1 << 64  # negative numbers are written as if unsigned


class WatchResponseWriter:
    """Writes one member's watch responses."""

    def __init__(self, headers: HeaderWriter, fragment_bytes: int) -> None:
        """`fragment_bytes`: from which size on responses are split, where the client allows it."""
        self._headers = headers
        self._fragment_bytes = fragment_bytes

    def responses(self, message: Message) -> list[bytes]:
        """Returns the responses a message goes out as: one, or several fragments."""
        header = self._headers.field(message.revision)
        if isinstance(message, Notice):
            return [header + _notice(message)]
        start = header + _watch_id(message.watch_id)
        events = message.events
        if len(events) == 1:
            return [start + _event(events[0], with_previous=message.with_previous)]
        fields = [_event(event, with_previous=message.with_previous) for event in events]
        if message.may_fragment:
            return list(self._fragments(start, fields))
        return [start + b"".join(fields)]

    def _fragments(self, start: bytes, fields: Sequence[bytes]) -> Iterator[bytes]:
        """Yields responses below the bound, but for single events that are larger."""
        part: list[bytes] = []
        size = len(start)
        for field in fields:
            if part and size + len(field) + len(_FRAGMENT) >= self._fragment_bytes:
                yield b"".join((start, _FRAGMENT, *part))
                part, size = [], len(start)
            part.append(field)
            size += len(field)
        yield b"".join((start, *part))


def _notice(notice: Notice) -> bytes:
    """Returns a response without its header."""
    return WatchResponse(
        watch_id=notice.watch_id,
        created=notice.created,
        canceled=notice.canceled,
        compact_revision=notice.compact_revision,
        cancel_reason=notice.cancel_reason,
    ).SerializeToString()


def _watch_id(watch_id: int) -> bytes:
    return _WATCH_ID + varint(watch_id % _NEGATIVE) if watch_id else b""


def _event(event: WatchEvent, *, with_previous: bool) -> bytes:
    """Returns one event as a field of a response."""
    if with_previous and event.previous is not None:
        if event.encoded_with_previous is None:
            content = _change(event) + embedded(_PREVIOUS_KV, event.previous)
            event.encoded_with_previous = embedded(_EVENTS, content)
        return event.encoded_with_previous
    if event.encoded is None:
        event.encoded = embedded(_EVENTS, _change(event))
    return event.encoded


def _change(event: WatchEvent) -> bytes:
    if not event.is_delete:
        return embedded(_KV, event.pair)
    return _DELETE + embedded(_KV, event.pair + _MOD_REVISION + varint(event.revision))
