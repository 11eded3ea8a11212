"""A store of ours with something in it, made without a server."""

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.store import Bucket
from miniraft.pb.rpc_pb2 import CompactionRequest, DeleteRangeRequest, PutRequest
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.bootstrap import new_cluster, seed_store
from miniraft.server.metastate import store_position
from miniraft.snapshot.export import write_snapshot
from miniraft.snapshot.importing import commit_now
from miniraft.snapshot.store_contents import StoreContents

APPLIED_INDEX = 4321


def filled_store(path, keys=200, value=b"value", applied_index=APPLIED_INDEX):
    """A store as a member leaves it; it is open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    store = LmdbStore(path, unsafe_no_fsync=True)
    seed_store(store, new_cluster({"old": ("http://old:2380",)}, "old", "token"))
    keyspace = Keyspace(store)
    for number in range(keys):
        keyspace.put(PutRequest(key=b"key%05d" % (number % 150), value=value))
    keyspace.delete_range(DeleteRangeRequest(key=b"key00003"))
    keyspace.compact(CompactionRequest(revision=20))
    while keyspace.compact_step(1000):
        pass
    store.put(Bucket.ALARM, b"\x08\x05\x10\x01", b"")
    store.put(Bucket.MEMBERS_REMOVED, b"abc", b"removed")
    store.put(Bucket.CLUSTER, b"clusterVersion", b"3.7.0")
    store.put(Bucket.AUTH_USERS, b"ada", b"\n\x03ada")
    store_position(store, applied_index, 7)
    commit_now(store)
    return store


def snapshot_of_own(folder, **changes):
    """A snapshot file of such a store."""
    filled_store(folder / "source.db", **changes).close()
    contents = StoreContents(folder / "source.db")
    write_snapshot(contents, folder / "snapshot.db")
    contents.close()
    return folder / "snapshot.db"
