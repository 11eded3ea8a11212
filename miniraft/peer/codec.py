"""Raft messages and their bytes on the wire (proto/miniraft/pb/peer.proto).

A batch is put together from pieces instead of being built as one protobuf object: protobuf
fields may simply follow each other, so the entries, which are bytes already and may go to
several followers, are copied once, into the bytes that are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.pb import peer_pb2
from miniraft.raft.entry import decode_entries, encode_entries
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.state import ConfigState, SnapshotMetadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry

_LENGTH_DELIMITED = 2  # protobuf's wire type of bytes and nested messages
_MESSAGES_TAG = bytes([peer_pb2.MessageBatch.MESSAGES_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
_ENTRIES_TAG = bytes([peer_pb2.Message.ENTRIES_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
_KINDS = {int(kind): kind for kind in MessageKind}
_NO_ENTRIES: tuple[Entry, ...] = ()


class EntriesEncoder:
    """Encodes entries, and the same entries for the next follower only once.

    Two runs of entries are the same when they start and end in the same two objects and are
    equally long: what one term has put between two entries of the log never differs (log
    matching, section 5.3).
    """

    __slots__ = ("_count", "_encoded", "_first", "_last")

    def __init__(self) -> None:
        self._first: Entry | None = None
        self._last: Entry | None = None
        self._count = 0
        self._encoded = b""

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """Returns the entries one after another."""
        count = len(entries)
        if not count:
            return b""
        first, last = entries[0], entries[-1]
        if first is not self._first or last is not self._last or count != self._count:
            self._encoded = encode_entries(entries)
            self._first, self._last, self._count = first, last, count
        return self._encoded


def append_message(pieces: list[bytes], message: Message, entries: bytes) -> int:
    """Appends the bytes of one message of a batch to `pieces`; returns how many.

    `entries` are the message's entries in their encoding.
    """
    head = message_to_pb(message).SerializeToString()
    if entries:
        entries_prefix = _ENTRIES_TAG + _varint(len(entries))
        length = len(head) + len(entries_prefix) + len(entries)
        prefix = _MESSAGES_TAG + _varint(length)
        pieces += (prefix, head, entries_prefix, entries)
    else:
        length = len(head)
        prefix = _MESSAGES_TAG + _varint(length)
        pieces += (prefix, head)
    return len(prefix) + length


def batch_sent_at(sent_at_ns: int) -> bytes:
    """Returns the piece of a batch that asks for an echo of this time."""
    return peer_pb2.MessageBatch(sent_at_ns=sent_at_ns).SerializeToString()


def decode_messages(batch: peer_pb2.MessageBatch) -> list[Message]:
    """Returns the messages of a batch; those of a kind only newer versions know are left out.

    Raises ValueError when entries are cut off.
    """
    messages: list[Message] = []
    for encoded in batch.messages:
        message = message_from_pb(encoded)
        if message is not None:
            messages.append(message)
    return messages


def message_to_pb(message: Message) -> peer_pb2.Message:
    """Returns a message without its entries."""
    encoded = peer_pb2.Message(
        kind=message.kind,
        sender=message.sender,
        receiver=message.receiver,
        term=message.term,
        log_term=message.log_term,
        index=message.index,
        commit=message.commit,
        reject=message.reject,
        reject_hint=message.reject_hint,
        reject_hint_term=message.reject_hint_term,
        reject_reason=message.reject_reason,
        context=message.context,
    )
    if message.snapshot is not None:
        encoded.snapshot.CopyFrom(snapshot_to_pb(message.snapshot))
    return encoded


def message_from_pb(encoded: peer_pb2.Message) -> Message | None:
    """Returns a message, or None when its kind is unknown.

    Raises ValueError when entries are cut off.
    """
    kind = _KINDS.get(encoded.kind)
    if kind is None:
        return None
    entries = encoded.entries
    return Message(
        kind,
        encoded.sender,
        encoded.receiver,
        encoded.term,
        encoded.log_term,
        encoded.index,
        encoded.commit,
        decode_entries(entries) if entries else _NO_ENTRIES,
        encoded.reject,
        encoded.reject_hint,
        encoded.reject_hint_term,
        encoded.reject_reason,
        encoded.context,
        snapshot_from_pb(encoded.snapshot) if encoded.HasField("snapshot") else None,
    )


def snapshot_to_pb(snapshot: SnapshotMetadata) -> peer_pb2.SnapshotMetadata:
    """Returns the metadata of a snapshot for the wire."""
    config = peer_pb2.ConfigState(voters=snapshot.config.voters, learners=snapshot.config.learners)
    return peer_pb2.SnapshotMetadata(index=snapshot.index, term=snapshot.term, config=config)


def snapshot_from_pb(encoded: peer_pb2.SnapshotMetadata) -> SnapshotMetadata:
    """Returns the metadata of a snapshot from the wire."""
    config = ConfigState(tuple(encoded.config.voters), tuple(encoded.config.learners))
    return SnapshotMetadata(encoded.index, encoded.term, config)


def _varint(number: int) -> bytes:
    """Returns protobuf's encoding of a length."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
