"""JSON objects taken out of a stream of bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniraft.api.json_codec import JsonError
from miniraft.api.json_splitter import JsonSplitter

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('{}[]"\\,: \u00e9', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('{}"\\', max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text('k{}"\\', max_size=4), values, max_size=3)


def split(pieces):
    splitter = JsonSplitter()
    found = []
    for piece in pieces:
        splitter.feed(piece)
        while (value := splitter.next()) is not None:
            found.append(json.loads(value))
    splitter.end()
    return found


@given(
    st.lists(st.tuples(objects, st.sampled_from([None, 2]), st.sampled_from(["", "\n", " \t\r\n"]))),
    st.integers(1, 7),
)
def test_however_the_stream_is_cut(requests, size):
    text = "".join(space + json.dumps(value, indent=indent) for value, indent, space in requests) + "\n"
    stream = text.encode()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert split(pieces) == [value for value, _, _ in requests]


@pytest.mark.parametrize("text", [b"[1]", b"null", b"5", b"garbage", b"  }", b'"{}"', b"\xff"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(JsonError, match="each request of a stream must be an object"):
        split([text])


@pytest.mark.parametrize("text", [b"{", b'{"a":"', b'{"a":"\\', b'{} {"a":{}'])
def test_an_end_inside_an_object_is_refused(text):
    with pytest.raises(JsonError, match="ends inside an object"):
        split([text])


def test_a_long_object_in_small_pieces_is_looked_at_once():
    splitter = JsonSplitter()
    splitter.feed(b'{"a":"')
    for _ in range(20_000):
        splitter.feed(b"x" * 50)
        assert splitter.next() is None
    splitter.feed(b'"}')
    assert len(splitter.next()) == 1_000_008
