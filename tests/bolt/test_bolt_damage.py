"""Damaged files are refused, with file, page and reason; nothing hangs or blows up."""

import contextlib
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniraft.bolt.page import BRANCH, LEAF, PAGE_BYTES, checksum
from miniraft.bolt.problem import BoltError
from miniraft.bolt.reader import Database
from miniraft.bolt.source import BytesSource
from miniraft.bolt.writer import write_database

PAIRS = [(b"%05d" % number, bytes(50)) for number in range(600)] + [(b"large", bytes(30000))]


def sound():
    sink = io.BytesIO()
    write_database(sink, [(b"key", PAIRS), (b"meta", [(b"k", b"v")])])
    return bytearray(sink.getvalue())


def check(data):
    database = Database(BytesSource(bytes(data), "some.db"))
    database.check()
    return database


def page_of_kind(data, kind):
    for number in range(2, len(data) // PAGE_BYTES):
        own, found = struct.unpack_from("<QH", data, number * PAGE_BYTES)
        if own == number and found == kind:
            return number
    raise AssertionError(kind)


def set_meta(data, place, value):
    """Changes a field of both meta pages, with a right checksum."""
    for page in (0, 1):
        start = page * PAGE_BYTES + 16
        struct.pack_into("<Q", data, start + place, value)
        struct.pack_into("<Q", data, start + 56, checksum(bytes(data[start : start + 56])))


def test_one_broken_meta_page_does_no_harm():
    for page in (0, 1):
        data = sound()
        data[page * PAGE_BYTES + 16 + 20] ^= 1
        assert list(check(data).items(b"key")) == PAIRS


def test_two_broken_meta_pages_do():
    data = sound()
    for page in (0, 1):
        data[page * PAGE_BYTES + 16 + 20] ^= 1
    with pytest.raises(BoltError, match=r"^some\.db: no valid meta page: the checksum is wrong"):
        check(data)


@pytest.mark.parametrize("data", [b"", b"hello", bytes(8192)])
def test_what_is_no_bbolt_file(data):
    with pytest.raises(BoltError, match="no valid meta page"):
        check(data)


def test_cut_off():
    with pytest.raises(BoltError, match="it was cut off: "):
        check(sound()[:-PAGE_BYTES])


def test_cycle():
    data = sound()
    branch = page_of_kind(data, BRANCH)
    struct.pack_into("<Q", data, branch * PAGE_BYTES + 16 + 8, branch)  # its first child is itself
    with pytest.raises(BoltError, match=f"page {branch}: it is used twice"):
        check(data)


def test_child_outside_the_file():
    data = sound()
    branch = page_of_kind(data, BRANCH)
    struct.pack_into("<Q", data, branch * PAGE_BYTES + 16 + 8, 1 << 60)
    with pytest.raises(BoltError, match=f"page {1 << 60}: it is named, but there are only"):
        check(data)


def test_counts_that_are_absurd():
    data = sound()
    branch = page_of_kind(data, BRANCH)
    struct.pack_into("<HI", data, branch * PAGE_BYTES + 10, 65535, 0)
    with pytest.raises(BoltError, match="65535 elements: too many"):
        check(data)
    data = sound()
    struct.pack_into("<I", data, branch * PAGE_BYTES + 12, 0xFFFFFFFF)
    with pytest.raises(BoltError, match="pages more belong to it: too many"):
        check(data)
    data = sound()
    set_meta(data, 40, 1 << 60)  # how many pages there are
    with pytest.raises(BoltError, match="cut off"):
        check(data)


def test_root_and_freelist_outside_the_file():
    for place in (16, 32):
        data = sound()
        set_meta(data, place, 1 << 40)
        with pytest.raises(BoltError, match=f"page {1 << 40}"):
            check(data)


def with_free_pages(numbers, page_count):
    """A file of `page_count` pages that calls these ones free; its freelist has the long form."""
    data = bytearray(sound())
    freelist = len(data) // PAGE_BYTES
    body = struct.pack(f"<{len(numbers) + 1}Q", len(numbers), *numbers)
    span = -(-(16 + len(body)) // PAGE_BYTES)
    data += (struct.pack("<QHHI", freelist, 0x10, 0xFFFF, span - 1) + body).ljust(span * PAGE_BYTES, b"\0")
    data += bytes(page_count * PAGE_BYTES - len(data))
    set_meta(data, 32, freelist)
    set_meta(data, 40, page_count)
    return data, [freelist - 1, *range(freelist + span, page_count)]  # the pages that are free


def test_free_pages_are_accounted_for():
    _, free = with_free_pages([], 100)
    data, now_free = with_free_pages(free, 100)
    assert now_free == free
    assert list(check(data).items(b"key")) == PAIRS
    for numbers, complaint in (
        (free[:-1], "page 99: it is neither in use nor free"),
        ([2, *free], "page 2: it is in use, and yet listed as free"),
        ([*free, 99], "page 99: it is in use, and yet listed as free \\(or listed twice\\)"),
        ([*free, 100], "it has page 100, which does not exist, as free"),
    ):
        with pytest.raises(BoltError, match=complaint):
            check(with_free_pages(numbers, 100)[0])


def test_keys_out_of_order():
    data = sound()
    place = data.rindex(b"00300")
    data[place : place + 5] = b"zzzzz"
    with pytest.raises(BoltError, match=r"its keys are not in ascending order"):
        check(data)


def test_keys_in_the_wrong_page():
    last_of_a_page = b"%05d" % (int(leaf_starts(sound())[3]) - 1)
    data = sound()
    place = data.index(last_of_a_page)
    data[place : place + 5] = b"00599"
    with pytest.raises(BoltError, match="it has keys that belong in another page"):
        check(data)
    data = sound()
    place = data.index(leaf_starts(data)[3])  # first in the branch page, or in its leaf
    data[place : place + 5] = b"00000"
    with pytest.raises(BoltError, match=r"belong in another page|ascending order"):
        check(data)


def leaf_starts(data):
    """The keys in the branch page."""
    branch = page_of_kind(data, BRANCH)
    (count,) = struct.unpack_from("<H", data, branch * PAGE_BYTES + 10)
    return [bytes(data[branch * PAGE_BYTES + 16 * (1 + count) + 5 * n :][:5]) for n in range(count)]


def test_elements_that_reach_out_of_their_page():
    for place in (4, 8, 12):  # position, key bytes, value bytes
        data = sound()
        struct.pack_into("<I", data, page_of_kind(data, LEAF) * PAGE_BYTES + 16 + place, 5000)
        with pytest.raises(BoltError, match="its element 0 reaches out of the page"):
            check(data)
    data = sound()
    struct.pack_into("<I", data, page_of_kind(data, BRANCH) * PAGE_BYTES + 16, 5000)
    with pytest.raises(BoltError, match="its element 0 reaches out of the page"):
        check(data)


def test_overflow_beyond_the_end():
    data = sound()
    leaf = page_of_kind(data, LEAF)
    data += bytes(PAGE_BYTES)  # something behind the database, as a hash is
    struct.pack_into("<I", data, leaf * PAGE_BYTES + 12, len(data) // PAGE_BYTES - leaf - 1)
    with pytest.raises(BoltError, match="pages more belong to it: too many"):
        check(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_ends_in_an_answer_or_a_bolt_error(data):
    damaged = sound()
    for _ in range(data.draw(st.integers(1, 4))):
        page = data.draw(st.integers(0, len(damaged) // PAGE_BYTES - 1))
        place = page * PAGE_BYTES + data.draw(st.integers(0, 200))
        damaged[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BoltError):
        check(damaged)
