import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.change import Change
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue
from tests.mvcc.helpers import Leases, decoded, delete, get, new_keyspace, put, put_operation


def test_versions_and_revisions():
    keyspace = new_keyspace()
    assert put(keyspace, b"k", b"1").revision == 2
    assert put(keyspace, b"k", b"2").revision == 3
    pair = get(keyspace, b"k")
    assert (pair.create_revision, pair.mod_revision, pair.version, pair.value) == (2, 3, 2, b"2")
    assert delete(keyspace, b"k") == (4, 1, ())
    put(keyspace, b"k", b"3")
    pair = get(keyspace, b"k")
    assert (pair.create_revision, pair.mod_revision, pair.version) == (5, 5, 1)


def test_delete_of_nothing_moves_nothing():
    keyspace = new_keyspace()
    put(keyspace, b"k")
    assert delete(keyspace, b"x", b"z", prev_kv=True) == (2, 0, [])
    assert delete(keyspace, b"x") == (2, 0, ())
    assert keyspace.revision == 2


def test_delete_of_many_keys_is_one_revision():
    keyspace = new_keyspace()
    for key in (b"c", b"a", b"b", b"d"):
        put(keyspace, key, key)
    result = delete(keyspace, b"a", b"d", prev_kv=True)
    assert (result.revision, result.deleted) == (6, 3)
    assert [pair.value for pair in decoded(result.previous)] == [b"a", b"b", b"c"]
    assert keyspace.key_count == 1


def test_previous_pair():
    keyspace = new_keyspace()
    assert put(keyspace, b"k", b"1", prev_kv=True).previous is None
    put(keyspace, b"k", b"2")
    assert KeyValue.FromString(put(keyspace, b"k", b"3", prev_kv=True).previous).value == b"2"
    assert put(keyspace, b"k", b"4").previous is None


def test_ignore_value_and_ignore_lease_keep_what_is_there():
    leases = Leases(7, 8)
    keyspace = new_keyspace(leases)
    for options in ({"ignore_value": True}, {"ignore_lease": True}):
        with pytest.raises(EtcdError, match="key not found"):
            put(keyspace, b"k", **options)
    put(keyspace, b"k", b"v", lease=7)
    assert put(keyspace, b"k", ignore_value=True, lease=8).previous is None
    assert (get(keyspace, b"k").value, get(keyspace, b"k").lease) == (b"v", 8)
    put(keyspace, b"k", b"w", ignore_lease=True)
    assert (get(keyspace, b"k").value, get(keyspace, b"k").lease) == (b"w", 8)
    assert leases.keys == {7: set(), 8: {b"k"}}


def test_keys_hang_on_the_lease_of_their_last_put():
    leases = Leases(7, 8)
    keyspace = new_keyspace(leases)
    for key in (b"a", b"b", b"c"):
        put(keyspace, key, lease=7)
    before = leases.moves
    put(keyspace, b"a", lease=7)  # the same again: nothing to do
    assert leases.moves == before
    put(keyspace, b"b", lease=8)
    put(keyspace, b"c")
    assert leases.keys == {7: {b"a"}, 8: {b"b"}}
    delete(keyspace, b"a", b"c")
    assert leases.keys == {7: set(), 8: set()}


def test_unknown_lease_is_refused_before_anything_else():
    keyspace = new_keyspace(Leases(7))
    for lease in (9, -9):
        with pytest.raises(EtcdError, match="requested lease not found"):
            put(keyspace, b"k", lease=lease, ignore_value=True)
    assert keyspace.revision == 1
    with pytest.raises(EtcdError, match="requested lease not found"):
        put(new_keyspace(), b"k", lease=7)


def test_end_of_a_lease_deletes_its_keys_in_one_revision():
    leases = Leases(7)
    keyspace = new_keyspace(leases)
    for key in (b"b", b"a", b"c"):
        put(keyspace, key, lease=7)
    heard = []
    keyspace.on_changes = lambda revision, changes: heard.append((revision, [c.key for c in changes]))
    assert keyspace.delete_keys([b"c", b"a", b"gone"]) == (5, 2, ())
    assert heard == [(5, [b"a", b"c"])]
    assert leases.keys == {7: {b"b"}}
    assert keyspace.delete_keys([b"a"]) == (5, 0, ())


def test_changes_are_told_once_for_each_write():
    keyspace = new_keyspace()
    heard = []
    keyspace.on_changes = lambda revision, changes: heard.append((revision, changes))
    put(keyspace, b"k", b"v")
    delete(keyspace, b"absent")
    delete(keyspace, b"k")
    keyspace.txn(rpc.TxnRequest(success=[put_operation(b"x"), put_operation(b"y")]))
    assert [(revision, [change.key for change in changes]) for revision, changes in heard] == [
        (2, [b"k"]),
        (3, [b"k"]),
        (4, [b"x", b"y"]),
    ]
    stored = KeyValue(key=b"k", create_revision=2, mod_revision=2, version=1, value=b"v")
    assert heard[0][1] == [Change(b"k", stored.SerializeToString(), is_delete=False)]
    assert heard[1][1] == [Change(b"k", KeyValue(key=b"k").SerializeToString(), is_delete=True)]
