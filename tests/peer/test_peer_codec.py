"""Messages survive the wire, and entries are encoded once for all followers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniraft.pb import peer_pb2
from miniraft.peer.codec import EntriesEncoder, append_message, decode_messages
from miniraft.raft.entry import Entry, encode_entries
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.state import ConfigState, SnapshotMetadata

U64 = st.integers(0, 2**64 - 1)
ENTRIES = st.lists(st.builds(Entry, U64, U64, st.sampled_from([0, 1]), st.binary(max_size=300)), max_size=4)
SNAPSHOTS = st.builds(SnapshotMetadata, U64, U64, st.builds(ConfigState, st.tuples(U64, U64), st.tuples(U64)))
MESSAGES = st.builds(
    Message,
    st.sampled_from(MessageKind),
    U64,
    U64,
    term=U64,
    log_term=U64,
    index=U64,
    commit=U64,
    entries=ENTRIES.map(tuple),
    reject=st.booleans(),
    reject_hint=U64,
    reject_hint_term=U64,
    reject_reason=st.integers(0, 6),
    context=U64,
    snapshot=st.none() | SNAPSHOTS,
)


def over_the_wire(messages):
    pieces = []
    size = sum(append_message(pieces, m, encode_entries(m.entries)) for m in messages)
    encoded = b"".join(pieces)
    assert len(encoded) == size
    return decode_messages(peer_pb2.MessageBatch.FromString(encoded))


@given(st.lists(MESSAGES, max_size=3))
def test_messages_come_out_as_they_went_in(messages):
    received = over_the_wire(messages)
    for message in received:
        message.entries = tuple(message.entries)
    assert received == messages


def test_large_entries_keep_their_length():
    message = Message(MessageKind.APPEND, 1, 2, entries=[Entry(1, 1, 0, b"x" * 300_000)])
    assert over_the_wire([message])[0].entries == message.entries


def test_a_kind_of_a_newer_version_is_left_out():
    batch = peer_pb2.MessageBatch(messages=[peer_pb2.Message(kind=99), peer_pb2.Message(kind=3)])
    assert [message.kind for message in decode_messages(batch)] == [MessageKind.HEARTBEAT]


def test_cut_off_entries_are_an_error():
    batch = peer_pb2.MessageBatch(messages=[peer_pb2.Message(kind=1, entries=b"\1\2\3")])
    with pytest.raises(ValueError, match="cut off"):
        decode_messages(batch)


def test_the_same_entries_are_encoded_once():
    log = [Entry(1, index, 0, b"data") for index in range(1, 6)]
    encoder = EntriesEncoder()
    first = encoder.encode(log[1:4])
    assert encoder.encode(log[1:4]) is first
    assert first == encode_entries(log[1:4])


def test_other_entries_are_encoded_anew():
    log = [Entry(1, index, 0, b"data") for index in range(1, 6)]
    encoder = EntriesEncoder()
    encoder.encode(log[1:4])
    assert encoder.encode(log[1:5]) == encode_entries(log[1:5])
    replaced = [*log[1:3], Entry(2, 4, 0, b"other")]
    assert encoder.encode(replaced) == encode_entries(replaced)
    assert encoder.encode([]) == b""
