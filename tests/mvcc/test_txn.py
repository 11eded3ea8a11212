import pytest

from miniraft.errors import EtcdError
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.rpc_pb2 import Compare
from tests.mvcc.helpers import (
    Leases,
    compact,
    delete_operation,
    get,
    keys,
    new_keyspace,
    put,
    put_operation,
    range_operation,
    txn_operation,
    values,
)


def txn(keyspace, compare=(), success=(), failure=()):
    return keyspace.txn(rpc.TxnRequest(compare=compare, success=success, failure=failure))


@pytest.fixture
def keyspace():
    """a: revision 2, version 1; b: 3 and 4, version 2, on lease 7."""
    keyspace = new_keyspace(Leases(7))
    put(keyspace, b"a", b"x")
    put(keyspace, b"b", b"m")
    put(keyspace, b"b", b"n", lease=7)
    return keyspace


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        ({"target": "VERSION", "key": b"b", "version": 2}, True),
        ({"target": "CREATE", "key": b"b", "create_revision": 3}, True),
        ({"target": "MOD", "key": b"b", "mod_revision": 4}, True),
        ({"target": "VALUE", "key": b"b", "value": b"n"}, True),
        ({"target": "LEASE", "key": b"b", "lease": 7}, True),
        ({"target": "LEASE", "key": b"a", "lease": 7}, False),
        ({"target": "MOD", "key": b"b", "mod_revision": 3, "result": "GREATER"}, True),
        ({"target": "MOD", "key": b"b", "mod_revision": 4, "result": "GREATER"}, False),
        ({"target": "MOD", "key": b"b", "mod_revision": 5, "result": "LESS"}, True),
        ({"target": "VALUE", "key": b"b", "value": b"m", "result": "NOT_EQUAL"}, True),
        # A missing key has version, revisions and lease 0, but no value at all.
        ({"target": "VERSION", "key": b"z", "version": 0}, True),
        ({"target": "MOD", "key": b"z", "mod_revision": 1, "result": "LESS"}, True),
        ({"target": "VALUE", "key": b"z", "value": b""}, False),
        ({"target": "VALUE", "key": b"z", "value": b"x", "result": "NOT_EQUAL"}, False),
        # Over a range it holds for every key, or for the zeroes of an empty one.
        ({"target": "VERSION", "key": b"a", "range_end": b"c", "version": 0, "result": "GREATER"}, True),
        ({"target": "VERSION", "key": b"a", "range_end": b"\0", "version": 1, "result": "GREATER"}, False),
        ({"target": "VERSION", "key": b"x", "range_end": b"z", "version": 0}, True),
        ({"target": "VALUE", "key": b"x", "range_end": b"z", "value": b"x", "result": "NOT_EQUAL"}, False),
        # Operands: unset, of another target; numbers nobody knows.
        ({"target": "VERSION", "key": b"b"}, False),
        ({"target": "VERSION", "key": b"b", "mod_revision": 2}, False),
        ({"target": "MOD", "key": b"b", "mod_revision": 99, "result": 9}, True),
        ({"target": 9, "key": b"b", "mod_revision": 99}, True),
        ({"target": 9, "key": b"b", "result": "NOT_EQUAL"}, False),
    ],
)
def test_compares(keyspace, compare, holds):
    assert txn(keyspace, [Compare(**compare)]).succeeded is holds


def test_all_compares_have_to_hold(keyspace):
    holds = Compare(target="VERSION", key=b"a", version=1)
    fails = Compare(target="VERSION", key=b"a", version=5)
    assert txn(keyspace, [holds, holds]).succeeded
    assert not txn(keyspace, [holds, fails]).succeeded
    assert txn(keyspace).succeeded


def test_reads_see_earlier_writes_and_revisions_move_once(keyspace):
    result = txn(
        keyspace,
        success=[
            range_operation(b"c"),
            put_operation(b"c", b"1", prev_kv=True),
            range_operation(b"c"),
            delete_operation(b"a", prev_kv=True),
            range_operation(b"\0", b"\0"),
            range_operation(b"\0", b"\0", revision=4),
            delete_operation(b"nothing"),
        ],
    )
    before, put_c, after, delete_a, everything, pinned, nothing = result.responses
    assert (before.revision, before.count) == (4, 0)
    assert (put_c.revision, put_c.previous) == (5, None)
    assert (after.revision, values(after)) == (5, [b"1"])
    assert (delete_a.revision, delete_a.deleted, len(delete_a.previous)) == (5, 1, 1)
    assert keys(everything) == [b"b", b"c"]
    assert (pinned.revision, keys(pinned)) == (5, [b"a", b"b"])
    assert (nothing.revision, nothing.deleted) == (5, 0)
    assert (result.revision, keyspace.revision) == (5, 5)


def test_no_change_no_revision(keyspace):
    result = txn(keyspace, success=[range_operation(b"a"), delete_operation(b"nothing")])
    assert (result.revision, keyspace.revision) == (4, 4)
    assert [part.revision for part in result.responses] == [4, 4]


def test_nested_compares_do_not_see_outer_writes(keyspace):
    inner = txn_operation(
        compare=[Compare(target="VALUE", key=b"a", value=b"x")],
        success=[put_operation(b"inner", b"old value seen"), range_operation(b"a")],
        failure=[put_operation(b"inner", b"new value seen")],
    )
    result = txn(keyspace, success=[put_operation(b"a", b"y"), inner])
    nested = result.responses[1]
    assert nested.succeeded
    assert nested.revision == 0  # as etcd leaves it
    assert values(nested.responses[1]) == [b"y"]
    assert get(keyspace, b"inner").value == b"old value seen"
    assert get(keyspace, b"inner").mod_revision == get(keyspace, b"a").mod_revision == 5


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (put_operation(b"k", lease=9), "requested lease not found"),
        (put_operation(b"k", ignore_value=True), "key not found"),
        (put_operation(b"k", ignore_value=True, lease=9), "key not found"),
        (range_operation(b"a", revision=5), "future revision"),
        (range_operation(b"a", revision=1), "has been compacted"),
        (range_operation(b"a", revision=-1), "has been compacted"),
        (txn_operation(success=[range_operation(b"a", revision=1)]), "has been compacted"),
    ],
)
def test_a_txn_that_fails_changes_nothing(keyspace, last, error):
    compact(keyspace, 3)
    heard = []
    keyspace.on_changes = lambda revision, changes: heard.append(revision)
    with pytest.raises(EtcdError, match=error):
        txn(keyspace, success=[put_operation(b"first"), delete_operation(b"a"), last])
    assert (keyspace.revision, get(keyspace, b"first"), heard) == (4, None, [])
    assert get(keyspace, b"a") is not None


def test_only_the_branch_taken_is_checked(keyspace):
    assert txn(keyspace, failure=[put_operation(b"k", lease=9)]).succeeded


def test_minus_one_is_readable_in_a_txn_before_any_compaction(keyspace):
    assert txn(keyspace, success=[range_operation(b"a", revision=-1)]).responses[0].count == 1
    with pytest.raises(EtcdError, match="has been compacted"):
        txn(keyspace, success=[range_operation(b"a", revision=-2)])


def test_read_only_txn(keyspace):
    request = rpc.TxnRequest(
        compare=[Compare(target="VERSION", key=b"a", version=5)],
        success=[range_operation(b"a")],
        failure=[range_operation(b"b"), range_operation(b"a", revision=2)],
    )
    result = keyspace.read_only_txn(request)
    assert (result.succeeded, result.revision, len(result.responses)) == (False, 4, 2)
    request.success.append(put_operation(b"a"))
    with pytest.raises(ValueError, match="propose it"):
        keyspace.read_only_txn(request)


def test_a_key_that_changes_twice_in_one_txn(keyspace):
    # Validation lets a delete without upper bound pass beside a put, as etcd's does.
    result = txn(keyspace, success=[delete_operation(b"a", b"\0"), put_operation(b"b", b"new")])
    assert result.revision == 5
    pair = get(keyspace, b"b")
    assert (pair.create_revision, pair.version, pair.value) == (5, 1, b"new")
    assert get(keyspace, b"b", 4).value == b"n"
    compact(keyspace, 5)
    assert get(keyspace, b"b") == pair
    assert get(keyspace, b"a") is None


def test_a_put_that_ignores_the_value_of_a_key_deleted_just_before(keyspace):
    operations = [delete_operation(b"a", b"\0"), put_operation(b"b", ignore_value=True)]
    assert txn(keyspace, success=operations).revision == 5
    assert get(keyspace, b"b").value == b""
