"""The bytes in the store are etcd's, so that hashes over them agree."""

from hypothesis import given
from hypothesis import strategies as st

from miniraft.mvcc.key_value import encode_pair, without_value
from miniraft.mvcc.keyspace import SCHEDULED_COMPACTION_KEY, Keyspace
from miniraft.mvcc.revision import is_tombstone, main_of, revision_key, tombstone_key
from miniraft.mvcc.store import Bucket
from miniraft.pb.kv_pb2 import KeyValue
from tests.mvcc.helpers import Leases, compact, delete, put
from tests.support.dict_store import DictStore

_revisions = st.integers(0, 2**63 - 1)


def test_rows():
    store = DictStore()
    keyspace = Keyspace(store, Leases(-1))
    put(keyspace, b"k", b"v")
    put(keyspace, b"l", lease=-1)
    delete(keyspace, b"k", b"m")
    assert list(store.scan(Bucket.KEY)) == [
        (b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", b"\n\x01k\x10\x02\x18\x02 \x01*\x01v"),
        (b"\0\0\0\0\0\0\0\x03_\0\0\0\0\0\0\0\0", b"\n\x01l\x10\x03\x18\x03 \x010" + b"\xff" * 9 + b"\x01"),
        (b"\0\0\0\0\0\0\0\x04_\0\0\0\0\0\0\0\0t", b"\n\x01k"),
        (b"\0\0\0\0\0\0\0\x04_\0\0\0\0\0\0\0\x01t", b"\n\x01l"),
    ]
    compact(keyspace, 2, finish=False)
    assert store.get(Bucket.META, SCHEDULED_COMPACTION_KEY) == b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0"


@given(_revisions, _revisions, _revisions, _revisions)
def test_byte_order_is_revision_order(main, sub, other_main, other_sub):
    one, other = revision_key(main, sub), revision_key(other_main, other_sub)
    assert (one < other) == ((main, sub) < (other_main, other_sub))
    assert one < tombstone_key(main, sub)
    if one < other:
        assert tombstone_key(main, sub) < other
    assert main_of(one) == main_of(tombstone_key(main, sub)) == main
    assert is_tombstone(tombstone_key(main, sub))
    assert not is_tombstone(one)


@given(st.binary(min_size=1), _revisions, st.binary(), st.integers(-(2**63), 2**63 - 1), st.booleans())
def test_without_value(key, revision, value, lease, keep_lease):
    pair = KeyValue.FromString(encode_pair(key, 1, revision, 3, value, lease))
    left = KeyValue.FromString(without_value(pair, keep_lease=keep_lease))
    assert left == KeyValue(
        key=key, create_revision=1, mod_revision=revision, version=3, lease=lease if keep_lease else 0
    )
