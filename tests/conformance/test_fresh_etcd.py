"""What can only be compared from the first revision on: each test has an etcd of its own."""

import random

import pytest

from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.endpoint import KeyspaceEndpoint
from tests.conformance.requests import LEASES
from tests.conformance.server import Server
from tests.support.auth_client import Failure
from tests.support.real_etcd import running_etcd


@pytest.fixture
def pair(tmp_path):
    """A real etcd and a keyspace, both empty."""
    with running_etcd(tmp_path) as address:
        real, ours = Server(address), KeyspaceEndpoint()
        for endpoint in (real, ours):
            for lease in LEASES:
                endpoint.grant_lease(lease)
        yield real, ours
        real.close()


def both(pair, request):
    """Sends the request to both and returns the answer they agree on."""
    answers = [endpoint.call(request) for endpoint in pair]
    for answer in answers:
        if not isinstance(answer, Failure):
            for name in ("cluster_id", "member_id", "raft_term"):
                answer.header.ClearField(name)
    assert answers[0] == answers[1]
    return answers[0]


def write_at_random(pair, generator, count):
    keys = [b"k%d" % number for number in range(12)]
    for _ in range(count):
        key, value = generator.choice(keys), generator.randbytes(generator.randrange(4))
        put = rpc.PutRequest(key=key, value=value, lease=generator.choice([0, *LEASES]))
        delete = rpc.DeleteRangeRequest(key=generator.choice(keys), range_end=generator.choice([b"", b"k2"]))
        txn = rpc.TxnRequest(
            success=[
                rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=b"k3", range_end=b"k6")),
                rpc.RequestOp(request_put=rpc.PutRequest(key=b"k1", value=value)),
                rpc.RequestOp(request_put=rpc.PutRequest(key=b"k8")),
            ]
        )
        both(pair, generator.choices([put, delete, txn], [6, 3, 1])[0])


def test_hash_of_the_same_history_is_the_same(pair):
    real, ours = pair
    generator = random.Random(7)
    assert ours.hash_kv(0) == real.hash_kv(0)
    compacted = 0
    for _ in range(6):
        write_at_random(pair, generator, 40)
        current = ours.keyspace.revision
        # At the very revision of a compaction etcd may answer with the hash it took back then.
        for revision in {0, current, compacted + 1, generator.randint(compacted + 1, current)}:
            assert ours.hash_kv(revision) == real.hash_kv(revision)
        for revision in (current + 1, compacted - 1, -3):
            if revision != 0:
                assert ours.hash_kv(revision) == real.hash_kv(revision)
        compacted = generator.randint(compacted + 1, current)
        both(pair, rpc.CompactionRequest(revision=compacted, physical=True))
        assert ours.hash_kv(0) == real.hash_kv(0)


def test_hash_with_no_key_alive(pair):
    real, ours = pair
    for key in (b"a", b"b", b"a"):
        both(pair, rpc.PutRequest(key=key))
    both(pair, rpc.DeleteRangeRequest(key=b"a"))
    both(pair, rpc.PutRequest(key=b"c"))
    both(pair, rpc.CompactionRequest(revision=5, physical=True))
    both(pair, rpc.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
    assert ours.hash_kv(0) == real.hash_kv(0)
    while ours.keyspace.compact_step(1):
        assert ours.hash_kv(0) == real.hash_kv(0)
    assert ours.hash_kv(0) == real.hash_kv(0)
    both(pair, rpc.CompactionRequest(revision=7, physical=True))
    both(pair, rpc.PutRequest(key=b"d"))
    assert ours.hash_kv(0) == real.hash_kv(0)


@pytest.mark.parametrize("revision", [-1, -2, 0, 1, 2])
def test_before_any_compaction(pair, revision):
    read = rpc.RangeRequest(key=b"a", revision=revision)
    both(pair, read)
    both(pair, rpc.TxnRequest(success=[rpc.RequestOp(request_range=read)]))
    both(pair, rpc.CompactionRequest(revision=revision))
    both(pair, rpc.CompactionRequest(revision=0))
    both(pair, rpc.CompactionRequest(revision=0))
    both(pair, rpc.TxnRequest(success=[rpc.RequestOp(request_range=read)]))


@pytest.mark.parametrize("put_key", [b"a", b"b"])
@pytest.mark.parametrize("put_first", [True, False])
def test_delete_from_a_key_on_with_a_put_in_one_txn(pair, put_key, put_first):
    """The overlap rule does not see a range without upper bound: the key changes twice."""
    for key in (b"a", b"b", b"c"):
        both(pair, rpc.PutRequest(key=key, value=b"old", lease=LEASES[0]))
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=put_key, value=b"new", prev_kv=True))
    delete = rpc.RequestOp(
        request_delete_range=rpc.DeleteRangeRequest(key=b"a", range_end=b"\0", prev_kv=True)
    )
    read = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"\0", range_end=b"\0"))
    operations = [put, read, delete, read] if put_first else [delete, read, put, read]
    answer = both(pair, rpc.TxnRequest(success=operations))
    assert not isinstance(answer, Failure)
    for revision in range(2, answer.header.revision + 1):
        both(pair, rpc.RangeRequest(key=b"\0", range_end=b"\0", revision=revision))
