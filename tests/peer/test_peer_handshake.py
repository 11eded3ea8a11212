"""Who may open a stream, and what those who may not are told."""

import asyncio

from miniraft.pb import peer_pb2
from miniraft.peer import transport
from miniraft.peer.handshake import LocalMember, check_caller, check_receiver
from miniraft.peer.interface import PeerAddress
from miniraft.raft.message import Message, MessageKind
from tests.support.peer_ends import End, connected, eventually

LOCAL = LocalMember(
    0xC1,
    0xA1,
    "one",
    peers={0xB2: PeerAddress(0xB2, "two", ("http://127.0.0.1:1",))},
    is_removed={0xD4}.__contains__,
)


def hello(**changes):
    fields = {"cluster_id": 0xC1, "member_id": 0xB2, "receiver_id": 0xA1, "member_name": "two"}
    return peer_pb2.Hello(**{**fields, **changes})


def test_a_member_of_the_cluster_is_let_in():
    assert check_caller(LOCAL, hello()) is None


def test_each_mismatch_names_both_ends_and_what_to_do():
    cases = {
        "wrong-cluster": (hello(cluster_id=0xC2), ["c2", "c1", "--initial-cluster"]),
        "wrong-receiver": (hello(receiver_id=0xEE), ["ee", "a1", "member update"]),
        "same-member": (hello(member_id=0xA1), ["a1", "own data directory"]),
        "removed-member": (hello(member_id=0xD4), ["d4", "member add"]),
        "unknown-member": (hello(member_id=0xF5), ["f5", "c1"]),
    }
    for kind, (greeting, words) in cases.items():
        refusal = check_caller(LOCAL, greeting)
        assert refusal.kind == kind
        assert all(word in refusal.text for word in words), refusal.text


def test_the_answer_is_checked_as_well():
    assert check_receiver(LOCAL, 0xB2, hello()) is None
    assert check_receiver(LOCAL, 0xB2, hello(cluster_id=9)).kind == "wrong-cluster"
    assert check_receiver(LOCAL, 0xB2, hello(member_id=9)).kind == "wrong-receiver"


def test_a_member_of_another_cluster_is_refused_and_told_why(tmp_path):
    async def scenario():
        async with End(tmp_path / "1", 1) as one, End(tmp_path / "2", 2, cluster_id=0xBAD) as two:
            one.transport.set_peers([two.address])
            two.transport.set_peers([one.address])
            await eventually(lambda: one.refusals and two.refusals)
            assert one.refusals[0][1].kind == "wrong-cluster"
            assert one.logged("cluster ID mismatch")
            assert not connected(one, two)
            assert not connected(two, one)

    asyncio.run(scenario())


def test_a_member_not_known_yet_is_let_in_if_it_can_be_answered():
    assert check_caller(LOCAL, hello(member_id=0xF5, peer_urls=["http://127.0.0.1:1"])) is None
    removed = check_caller(LOCAL, hello(member_id=0xD4, peer_urls=["http://127.0.0.1:1"]))
    assert removed.kind == "removed-member"


def test_a_member_not_known_yet_is_heard_and_answered(tmp_path):
    """Added while this one was away, it may be the leader that has the news of it."""

    async def scenario():
        async with End(tmp_path / "1", 1) as one, End(tmp_path / "2", 2) as two:
            two.local.peer_urls = (two.url,)
            two.transport.set_peers([one.address])
            await eventually(lambda: connected(two, one) and connected(one, two))
            two.transport.send([Message(MessageKind.HEARTBEAT, 2, 1, term=3)])
            await eventually(lambda: one.messages)
            one.transport.send([Message(MessageKind.HEARTBEAT_RESPONSE, 1, 2, term=3)])
            await eventually(lambda: two.messages)
            one.transport.set_peers([])  # the log tells of another change first
            one.transport.send([Message(MessageKind.HEARTBEAT_RESPONSE, 1, 2, term=4)])
            await eventually(lambda: [message.term for message in two.messages] == [3, 4])
            one.local.is_removed = {2}.__contains__
            one.transport.set_peers([])
            await eventually(lambda: two.refusals)
            assert two.refusals[0][1].kind == "removed-member"
            assert not connected(one, two)

    asyncio.run(scenario())


def test_a_member_that_has_moved_is_answered_where_it_says_it_is(tmp_path):
    async def scenario():
        async with End(tmp_path / "1", 1) as one, End(tmp_path / "2", 2) as two:
            two.local.peer_urls = (two.url,)
            one.transport.set_peers([PeerAddress(2, "m2", ("http://127.0.0.1:1",))])
            two.transport.set_peers([one.address])
            await eventually(lambda: connected(one, two))

    asyncio.run(scenario())


def test_of_callers_that_nobody_knows_only_some_are_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "_MOST_GUESTS", 1)

    async def scenario():
        async with (
            End(tmp_path / "1", 1) as one,
            End(tmp_path / "2", 2) as two,
            End(tmp_path / "3", 3) as three,
        ):
            for guest in (two, three):
                guest.local.peer_urls = (guest.url,)
                guest.transport.set_peers([one.address])
                await eventually(lambda guest=guest: connected(one, guest))
            assert not connected(one, two)

    asyncio.run(scenario())


def test_a_member_that_does_not_say_where_it_is_gets_in_once_it_is_known(tmp_path):
    async def scenario():
        async with End(tmp_path / "1", 1) as one, End(tmp_path / "2", 2) as two:
            two.transport.set_peers([one.address])
            await eventually(lambda: two.refusals)
            assert two.refusals[0][1].kind == "unknown-member"
            assert not [line for line in two.log_lines if line[0] in ("warn", "error")]
            one.transport.set_peers([two.address])
            await eventually(lambda: connected(two, one))

    asyncio.run(scenario())
