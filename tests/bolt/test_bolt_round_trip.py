"""What the writer wrote, the reader reads; and the file's form is bbolt's."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniraft.bolt.page import PAGE_BYTES, checksum
from miniraft.bolt.reader import Database
from miniraft.bolt.source import BytesSource
from miniraft.bolt.writer import write_database


def written(buckets):
    """The file that holds these buckets: {name: {key: value}}."""
    sink = io.BytesIO()
    size = write_database(sink, [(name, sorted(pairs.items())) for name, pairs in sorted(buckets.items())])
    data = sink.getvalue()
    assert len(data) == size
    return data


def read(data):
    database = Database(BytesSource(data))
    database.check()
    return {name: dict(database.items(name)) for name in database.buckets()}


KEYS = st.binary(min_size=1, max_size=40) | st.integers(1, 9000).map(lambda size: b"k" * size)
VALUES = st.binary(max_size=60) | st.integers(0, 20000).map(bytes)
BUCKETS = st.dictionaries(
    st.binary(min_size=1, max_size=12), st.dictionaries(KEYS, VALUES, max_size=30), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(BUCKETS)
def test_reads_back_what_was_written(buckets):
    assert read(written(buckets)) == buckets


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6000), st.integers(0, 300), st.integers(0, 12))
def test_many_pairs_make_trees_of_several_levels(count, value_bytes, key_padding):
    pairs = {b"%0*d" % (6 + key_padding * 50, number): bytes(value_bytes) for number in range(count)}
    database = Database(BytesSource(written({b"key": pairs})))
    database.check()
    assert list(database.items(b"key")) == list(pairs.items())


def test_an_empty_file_has_no_buckets():
    assert read(written({})) == {}


def test_small_buckets_stand_inside_the_root_bucket():
    few = len(written({b"a": {b"k": b"v"}, b"b": {}, b"c": {}}))
    assert few == 4 * PAGE_BYTES  # two meta pages, the root bucket, the freelist


def test_root_bucket_of_more_than_a_page():
    buckets = {b"bucket%03d" % number: {b"k": bytes(900)} for number in range(200)}
    assert read(written(buckets)) == buckets


def test_meta_pages_carry_bbolts_numbers():
    data = written({b"key": {b"k": b"v"}})
    for page in (0, 1):
        body = data[page * PAGE_BYTES + 16 :][:64]
        magic, version, page_bytes = struct.unpack_from("<III", body)
        assert (magic, version, page_bytes) == (0xED0CDAED, 2, 4096)
        assert struct.unpack("<Q", body[56:])[0] == checksum(body[:56])


def test_checksum_is_fnv_1a():
    assert checksum(b"") == 0xCBF29CE484222325
    assert checksum(b"foobar") == 0x85944171F73967E8


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ([(b"b", b""), (b"a", b"")], "ascending order"),
        ([(b"a", b""), (b"a", b"")], "ascending order"),
        ([(b"", b"")], "empty key"),
        ([(b"k" * 32769, b"")], "up to 32768"),
        ([(b"%04d" % n, bytes(100)) for n in range(100)] + [(b"0000", b"")], "ascending order"),
    ],
)
def test_writer_refuses_what_the_format_cannot_hold(pairs, complaint):
    with pytest.raises(ValueError, match=complaint):
        write_database(io.BytesIO(), [(b"key", pairs)])


@pytest.mark.parametrize("page_bytes", [512, 16384, 65536])
def test_files_of_other_machines_have_other_page_sizes(monkeypatch, page_bytes):
    for module in ("writer", "page"):
        monkeypatch.setattr(f"miniraft.bolt.{module}.PAGE_BYTES", page_bytes)
    pairs = {b"%05d" % number: bytes(30) for number in range(4000)}
    data = bytearray(written({b"key": pairs}))
    assert read(bytes(data)) == {b"key": pairs}
    data[16:80] = bytes(64)  # the second meta page has to be found without the first
    assert read(bytes(data)) == {b"key": pairs}


def test_writer_holds_little_in_memory():
    """While it reads pair number n, all but the last pages have been handed to the sink."""
    sink = io.BytesIO()
    behind = []

    def pairs():
        for number in range(40000):
            if number % 5000 == 4999:
                behind.append(number * 130 - sink.getbuffer().nbytes)
            yield b"%08d" % number, bytes(100)

    write_database(sink, [(b"key", pairs())])
    assert max(behind) < 2 << 20
