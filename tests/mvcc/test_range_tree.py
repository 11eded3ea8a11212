"""The interval tree against a list of all ranges."""

from hypothesis import given, settings
from hypothesis import strategies as st

from miniraft.mvcc.watch.range_tree import RangeTree

bounds = st.tuples(st.binary(max_size=2), st.none() | st.binary(max_size=2))
steps = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "find"]), bounds, st.integers(0, 3)), max_size=80
)


def found(tree, key):
    items = []
    tree.collect(key, items)
    return items


@settings(max_examples=200, deadline=None)
@given(steps)
def test_it_finds_what_a_list_finds(steps):
    tree, ranges = RangeTree(), []
    for step, (start, end), item in steps:
        entry = (start, end, item)
        if step == "add" and entry not in ranges:
            tree.add(*entry)
            ranges.append(entry)
        elif step == "remove" and entry in ranges:
            tree.remove(*entry)
            ranges.remove(entry)
        expected = [i for s, e, i in ranges if s <= start and (e is None or start < e)]
        assert sorted(found(tree, start)) == sorted(expected)
        assert bool(tree) is bool(ranges)


def depth(node):
    return 0 if node is None else 1 + max(depth(node.left), depth(node.right))


def test_it_stays_flat_when_ranges_come_in_order():
    tree = RangeTree()
    for number in range(5000):
        tree.add(b"%05d" % number, b"%05d" % (number + 1), number)
    assert depth(tree._root) < 60
    for number in range(0, 5000, 2):
        tree.remove(b"%05d" % number, b"%05d" % (number + 1), number)
    assert found(tree, b"00003") == [3]
    assert found(tree, b"00004") == []


def test_what_is_found_comes_in_the_order_of_the_ranges():
    tree = RangeTree()
    for number in (3, 1, 2, 0):
        tree.add(b"%d" % number, None, number)
    assert found(tree, b"9") == [0, 1, 2, 3]
