"""The hash of a compaction comes out as etcd's, whatever was written, deleted and compacted before."""

import random

import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.pb import rpc_pb2 as rpc
from tests.support.auth_client import Failure, GrpcClient
from tests.support.dict_store import DictStore
from tests.support.real_etcd import running_etcd


class Pair:
    """A real etcd and a keyspace, to be written alike."""

    def __init__(self, address):
        self.client = GrpcClient(address)
        self.keyspace = Keyspace(DictStore())

    def put(self, key):
        self.same_revision("Put", self.keyspace.put, rpc.PutRequest(key=key, value=b"v"))

    def delete(self, key, range_end=b""):
        request = rpc.DeleteRangeRequest(key=key, range_end=range_end)
        self.same_revision("DeleteRange", self.keyspace.delete_range, request)

    def same_revision(self, name, own, request):
        assert self.client.call(name, request).header.revision == own(request).revision

    def compact(self, revision):
        """Returns when both have dropped everything, and know the hash."""
        request = rpc.CompactionRequest(revision=revision, physical=True)
        assert not isinstance(self.client.call("Compact", request), Failure)
        self.keyspace.compact(request)
        while self.keyspace.compact_step(3):
            pass

    def hash(self, revision):
        """Returns the hash and the compaction it counts from, which both agree on; or the error."""
        answer = self.client.call("HashKV", rpc.HashKVRequest(revision=revision))
        real = answer.message if isinstance(answer, Failure) else (answer.hash, answer.compact_revision)
        try:
            ours = self.keyspace.hash_kv(revision)[:2]
        except EtcdError as error:
            ours = error.message
        assert ours == real, f"at revision {revision}"
        return ours


@pytest.fixture
def pair(tmp_path):
    with running_etcd(tmp_path) as address:
        pair = Pair(address)
        yield pair
        pair.client.close()


def test_random_histories(pair):
    generator = random.Random(11)
    compactions = []
    for _ in range(14):
        for _ in range(generator.randrange(1, 25)):
            key = b"k%d" % generator.randrange(8)
            generator.choices([pair.put, pair.delete], [5, 3])[0](key)
            if generator.random() < 0.1:
                pair.delete(b"k", b"l")
        first = compactions[-1] + 1 if compactions else 1
        compactions.append(generator.randint(first, pair.keyspace.revision))
        pair.compact(compactions[-1])
        for revision in compactions:  # the oldest are forgotten at the end: compacted then
            pair.hash(revision)
    assert [taken.revision for taken in pair.keyspace.compaction_hashes.newest_first()] == [
        *reversed(compactions[-10:])
    ]
    assert pair.hash(compactions[-10])[1] == compactions[-11]
    assert "compacted" in pair.hash(compactions[-11])


def test_deletes_at_the_very_revision(pair):
    """A delete at the compaction's revision is kept, and kept out of the next hash."""
    pair.put(b"a")
    pair.put(b"b")
    pair.compact(2)  # b is not there yet
    pair.hash(2)
    pair.delete(b"a", b"c")
    pair.compact(4)  # nothing is alive any more
    assert pair.hash(4)[1] == 2
    pair.put(b"a")
    pair.delete(b"a")
    pair.compact(5)
    assert pair.hash(5)[1] == 4
    pair.compact(6)
    assert pair.hash(6)[1] == 5
    pair.hash(0)
