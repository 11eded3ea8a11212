"""Joined key ranges against the plain meaning of them: every key looked at."""

from hypothesis import given
from hypothesis import strategies as st

from miniraft.auth.ranges import OPEN_END, RangeSet, bounds

KEYS = [bytes([first, *rest]) for first in b"abcd" for rest in ([], [0], [97])]
keys = st.sampled_from(KEYS)
ends = st.one_of(st.none(), keys)
ranges = st.lists(st.tuples(keys, ends), max_size=6)


def holds(start, end, key):
    return start <= key and (end is None or key < end)


@given(ranges, keys, ends)
def test_covers_what_every_key_of_the_range_is_in(granted, start, end):
    asked = [key for key in [*KEYS, b"z"] if holds(start, end, key)]
    every_key = all(any(holds(*one, key) for one in granted) for key in asked)
    covered = RangeSet(granted).covers(start, end)
    if end is not None and end <= start:  # empty: judged by its start
        assert covered is any(holds(*one, start) for one in granted)
    elif covered:
        assert every_key
    elif every_key and asked:
        # Between two keys of the sample there are others: no single union of ranges covers those.
        limits = sorted({limit for one in granted for limit in one if limit is not None})
        assert any(
            not any(holds(*one, probe) for one in granted)
            for limit in [*limits, *asked]
            for probe in (limit, limit + b"\0", limit + b"\xff")
            if holds(start, end, probe)
        )


def test_ranges_that_touch_are_one():
    joined = RangeSet([(b"m", b"z"), (b"a", b"m")])
    assert joined.covers(b"a", b"z")
    assert not RangeSet([(b"a", b"l"), (b"m", b"z")]).covers(b"a", b"z")


def test_only_a_range_without_end_covers_one():
    assert RangeSet([(b"b", None)]).covers(b"b", None)
    assert not RangeSet([(b"b", b"\xff\xff\xff")]).covers(b"b", None)
    assert not RangeSet([(b"b", None)]).covers(b"a", None)


def test_a_key_alone_is_a_range_of_one():
    assert bounds(b"a", b"") == (b"a", b"a\0")
    assert bounds(b"a", OPEN_END) == (b"a", None)
    only_a = RangeSet([bounds(b"a", b"")])
    assert only_a.covers(*bounds(b"a", b""))
    assert not only_a.covers(*bounds(b"a\0", b""))
    assert not only_a.covers(b"a", b"b")
