"""etcd#18667: a transaction with a compacted read ended the member, or left a part of itself behind.

It has to fail as a whole, with the error of the read, on every member alike.
"""

import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.pb.rpc_pb2 import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    PutRequest,
    PutResponse,
    RangeRequest,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from tests.support.member_processes import Processes, initial_cluster, until

COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE = "etcdserver: mvcc: required revision is a future revision"
WRITTEN, COMPACT_AT = 8, 6  # puts of one key, at revisions 2 to 9
LAST = 1 + WRITTEN


def put(key=b"partly"):
    return RequestOp(request_put=PutRequest(key=key, value=b"applied"))


def read(revision):
    return RequestOp(request_range=RangeRequest(key=b"k", revision=revision))


def delete():
    return RequestOp(request_delete_range=DeleteRangeRequest(key=b"k"))


def nested(*operations):
    return RequestOp(request_txn=TxnRequest(success=operations))


def transactions():
    """Name, transaction and the error it has to end with."""
    for text, revision in ((COMPACTED, COMPACT_AT - 1), (COMPACTED, 1), (FUTURE, LAST + 1)):
        yield f"read {revision}, then put", [read(revision), put()], text
        yield f"put, then read {revision}", [put(), read(revision)], text
        yield f"delete and put, then read {revision}", [delete(), put(), read(revision)], text
        yield f"put, then nested read {revision}", [put(), nested(read(revision))], text
        yield f"nested put and read {revision}", [nested(put(), read(revision))], text
        yield f"twice nested {revision}", [put(b"a"), nested(put(), nested(put(b"b"), read(revision)))], text
        yield f"read alone {revision}", [read(revision)], text


CASES = {name: (operations, text) for name, operations, text in transactions()}


@pytest.mark.parametrize("name", CASES)
def test_it_leaves_the_keyspace_as_it_was_18667(name):
    store = MemoryStore()
    keyspace = Keyspace(store)
    for _ in range(WRITTEN):
        keyspace.put(PutRequest(key=b"k", value=b"v"))
    keyspace.compact(CompactionRequest(revision=COMPACT_AT))
    before = keyspace.revision, keyspace.hash_kv(0), store.pending_operations()
    operations, text = CASES[name]
    for request in (TxnRequest(success=operations), in_failure(operations)):
        with pytest.raises(EtcdError, match=text):
            keyspace.txn(request)
        assert (keyspace.revision, keyspace.hash_kv(0), store.pending_operations()) == before


def test_members_refuse_it_alike_and_live_on_18667(tmp_path):
    with Processes(tmp_path) as processes:
        members = [processes.new(f"m{number}") for number in (1, 2, 3)]
        for member in members:
            member.start(initial_cluster(*members))
        until(lambda: all(member.status().leader for member in members), "a leader")
        for _ in range(WRITTEN):
            members[0].call("KV/Put", PutRequest(key=b"k", value=b"v"), PutResponse)
        members[0].call("KV/Compact", CompactionRequest(revision=COMPACT_AT), CompactionResponse)
        for number, (name, (operations, text)) in enumerate(CASES.items()):
            answer = members[number % 3].fails("KV/Txn", TxnRequest(success=operations))
            assert answer == ("OUT_OF_RANGE", text), name
        fine = TxnRequest(success=[read(COMPACT_AT), put(b"after")])
        revision = members[1].call("KV/Txn", fine, TxnResponse).header.revision
        assert revision == LAST + 1, "one of those that failed has written"
        hashes = {member.name: member.hash_kv(revision) for member in members}
        assert len(set(hashes.values())) == 1, hashes
        for member in members:
            assert set(member.keys(serializable=True)) == {b"k", b"after"}
            assert member.process.poll() is None, member.log()[-1500:]


def in_failure(operations):
    """The same operations, run because a condition does not hold."""
    request = TxnRequest(failure=operations)
    condition = request.compare.add()
    condition.key, condition.target, condition.version = b"k", condition.VERSION, 77
    return request
