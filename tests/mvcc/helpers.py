"""Short spellings of requests, and of what comes back."""

from miniraft.mvcc.keyspace import Keyspace
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue
from tests.support.dict_store import DictStore


def new_keyspace(leases=None):
    return Keyspace(DictStore(), leases)


def put(keyspace, key, value=b"", **options):
    return keyspace.put(rpc.PutRequest(key=key, value=value, **options))


def delete(keyspace, key, range_end=b"", **options):
    return keyspace.delete_range(rpc.DeleteRangeRequest(key=key, range_end=range_end, **options))


def read(keyspace, key=b"\0", range_end=b"\0", **options):
    return keyspace.range(rpc.RangeRequest(key=key, range_end=range_end, **options))


def get(keyspace, key, revision=0):
    """Returns the key's pair, or None."""
    pairs = decoded(read(keyspace, key, b"", revision=revision).kvs)
    return pairs[0] if pairs else None


def compact(keyspace, revision, finish=True):
    keyspace.compact(rpc.CompactionRequest(revision=revision))
    while finish and keyspace.compact_step(1000):
        pass


def decoded(pairs):
    return [KeyValue.FromString(pair) for pair in pairs]


def keys(result):
    return [pair.key for pair in decoded(result.kvs)]


def values(result):
    return [pair.value for pair in decoded(result.kvs)]


def put_operation(key, value=b"", **options):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value, **options))


def range_operation(key, range_end=b"", **options):
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key, range_end=range_end, **options))


def delete_operation(key, range_end=b"", **options):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=range_end, **options))


def txn_operation(**lists):
    return rpc.RequestOp(request_txn=rpc.TxnRequest(**lists))


class Leases:
    """Leases that exist, each with the set of its keys; `moves` counts the calls that changed one."""

    def __init__(self, *ids):
        self.keys = {lease_id: set() for lease_id in ids}
        self.moves = 0

    def exists(self, lease_id):
        return lease_id in self.keys

    def attach(self, lease_id, key):
        if key in self.keys[lease_id]:
            raise AssertionError(f"{key!r} attached twice")
        self.moves += 1
        self.keys[lease_id].add(key)

    def detach(self, lease_id, key):
        self.moves += 1
        self.keys[lease_id].remove(key)
