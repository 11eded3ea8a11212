import pytest

from miniraft.errors import EtcdError
from tests.mvcc.helpers import Leases, compact, decoded, delete, get, keys, new_keyspace, put, read, values


@pytest.fixture
def keyspace():
    """a, b, c, d, each at its own revision (2 to 5), and b again at 6."""
    keyspace = new_keyspace(Leases(7))
    for key, value in ((b"a", b"4"), (b"b", b"3"), (b"c", b"2"), (b"d", b"1"), (b"b", b"9")):
        put(keyspace, key, value, lease=7)
    return keyspace


def test_empty_keyspace_is_at_revision_one():
    keyspace = new_keyspace()
    assert (keyspace.revision, keyspace.compact_revision, keyspace.key_count) == (1, -1, 0)
    assert read(keyspace) == (1, [], False, 0)


@pytest.mark.parametrize(
    ("key", "range_end", "expected"),
    [
        (b"b", b"", [b"b"]),
        (b"bb", b"", []),
        (b"b", b"d", [b"b", b"c"]),
        (b"b", b"\0", [b"b", b"c", b"d"]),
        (b"\0", b"\0", [b"a", b"b", b"c", b"d"]),
        (b"c", b"b", []),
        (b"c", b"c", []),
        (b"a", b"b\0", [b"a", b"b"]),
        (b"e", b"\0", []),
    ],
)
def test_range_ends(keyspace, key, range_end, expected):
    result = read(keyspace, key, range_end)
    assert keys(result) == expected
    assert result.count == len(expected)
    assert read(keyspace, key, range_end, count_only=True) == (6, (), False, len(expected))


@pytest.mark.parametrize(
    ("limit", "expected", "more"),
    [(0, 4, False), (-1, 4, False), (1, 1, True), (3, 3, True), (4, 4, False), (2**63 - 1, 4, False)],
)
@pytest.mark.parametrize("revision", [0, 5])
def test_limit_cuts_pairs_but_not_the_count(keyspace, limit, expected, more, revision):
    result = read(keyspace, limit=limit, revision=revision)
    assert (len(result.kvs), result.more, result.count) == (expected, more, 4)


def test_old_revision_is_read_under_the_current_header(keyspace):
    result = read(keyspace, revision=3)
    assert (keys(result), values(result)) == ([b"a", b"b"], [b"4", b"3"])
    assert (result.revision, result.count) == (6, 2)
    assert get(keyspace, b"b", 5).value == b"3"
    assert get(keyspace, b"b", 2) is None


def test_old_revision_shows_what_is_deleted_by_now(keyspace):
    delete(keyspace, b"b", b"d")
    assert keys(read(keyspace)) == [b"a", b"d"]
    assert keys(read(keyspace, revision=6)) == [b"a", b"b", b"c", b"d"]
    assert read(keyspace, revision=6, count_only=True).count == 4
    assert keys(read(keyspace, revision=7)) == [b"a", b"d"]


def test_revisions_that_cannot_be_read(keyspace):
    with pytest.raises(EtcdError, match="future revision"):
        read(keyspace, revision=7)
    compact(keyspace, 4)
    with pytest.raises(EtcdError, match="has been compacted"):
        read(keyspace, revision=3)
    assert read(keyspace, revision=4).count == 3
    assert read(keyspace, revision=-1).count == 4


def test_count_only_ignores_filters_and_limit(keyspace):
    result = read(keyspace, count_only=True, limit=1, min_mod_revision=6, sort_order=2)
    assert result == (6, (), False, 4)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"min_mod_revision": 5}, [b"b", b"d"]),
        ({"max_mod_revision": 4}, [b"a", b"c"]),
        ({"min_create_revision": 3, "max_create_revision": 4}, [b"b", b"c"]),
        ({"max_mod_revision": -1}, []),
        ({"min_mod_revision": -1}, [b"a", b"b", b"c", b"d"]),
    ],
)
def test_filters_leave_the_count_alone(keyspace, filters, expected):
    result = read(keyspace, **filters)
    assert (keys(result), result.count) == (expected, 4)


def test_limit_comes_after_filters(keyspace):
    result = read(keyspace, min_mod_revision=4, limit=2)
    assert (keys(result), result.more, result.count) == ([b"b", b"c"], True, 4)


@pytest.mark.parametrize(
    ("target", "order", "expected"),
    [
        ("KEY", "NONE", b"abcd"),
        ("KEY", "ASCEND", b"abcd"),
        ("KEY", "DESCEND", b"dcba"),
        ("VERSION", "DESCEND", b"bacd"),
        ("CREATE", "DESCEND", b"dcba"),
        ("MOD", "ASCEND", b"acdb"),
        ("MOD", "NONE", b"acdb"),
        ("VALUE", "ASCEND", b"dcab"),
    ],
)
def test_sorting(keyspace, target, order, expected):
    result = read(keyspace, sort_target=target, sort_order=order)
    assert b"".join(keys(result)) == expected


def test_limit_comes_after_an_explicit_order(keyspace):
    result = read(keyspace, sort_target="VALUE", sort_order="ASCEND", limit=2)
    assert (keys(result), result.more) == ([b"d", b"c"], True)


def test_limit_comes_before_an_implied_order(keyspace):
    # limit + 1 keys are read in key order: a, b, c. d, the smallest value, is not among them.
    result = read(keyspace, sort_target="VALUE", sort_order="NONE", limit=2)
    assert (keys(result), result.more, result.count) == ([b"c", b"a"], True, 4)


@pytest.mark.parametrize("single", [True, False])
def test_keys_only_has_neither_value_nor_lease(keyspace, single):
    ends = (b"b", b"") if single else (b"\0", b"\0")
    pairs = decoded(read(keyspace, *ends, keys_only=True).kvs)
    found = next(pair for pair in pairs if pair.key == b"b")
    assert (found.value, found.lease) == (b"", 0)
    assert (found.create_revision, found.mod_revision, found.version) == (3, 6, 2)


def test_keys_only_sorted_by_value_keeps_the_lease(keyspace):
    pairs = decoded(read(keyspace, keys_only=True, sort_target="VALUE").kvs)
    assert [(pair.key, pair.value, pair.lease) for pair in pairs[:2]] == [(b"d", b"", 7), (b"c", b"", 7)]
