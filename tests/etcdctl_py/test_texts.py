"""Go's texts, and the messages against the protocol's own description."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdctl_py import messages
from etcdctl_py.golang.durations import format_duration, parse_duration
from etcdctl_py.golang.jsontext import dump
from etcdctl_py.golang.numbers import NumberError, parse_bool, parse_int, parse_uint
from etcdctl_py.golang.quoting import quote
from etcdctl_py.golang.sizes import humanize_bytes
from etcdctl_py.keyrange import prefix_end
from miniraft.pb import auth_pb2, election_pb2, kv_pb2, lock_pb2, rpc_pb2


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1_000, "1µs"),
        (861_749, "861.749µs"),
        (2_498_208, "2.498208ms"),
        (1_000_426_910, "1.00042691s"),
        (60_000_000_000, "1m0s"),
        (3_723_500_000_000, "1h2m3.5s"),
        (-1_500_000_000, "-1.5s"),
    ],
)
def test_durations_are_written_as_go_does(duration_ns, text):
    assert format_duration(duration_ns) == text
    assert parse_duration(text) == pytest.approx(duration_ns / 1e9)


@given(st.integers(min_value=-(2**50), max_value=2**50))
def test_written_durations_are_read_back(duration_ns):
    assert round(parse_duration(format_duration(duration_ns)) * 1e9) == pytest.approx(duration_ns, abs=128)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (9, "9 B"),
        (10, "10 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (20480, "20 kB"),
        (24576, "25 kB"),
        (2_147_483_648, "2.1 GB"),
        (10_500_000, "10 MB"),
        (11_500_000, "12 MB"),
    ],
)
def test_sizes_for_people(size_bytes, text):
    assert humanize_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        ("12", 10, 12),
        ("-7", 10, -7),
        ("+7", 10, 7),
        ("7f", 16, 127),
        ("0x1F", 0, 31),
        ("010", 0, 8),
        ("0b11", 0, 3),
        ("0o17", 0, 15),
        ("1_000", 0, 1000),
        ("0x_f", 0, 15),
    ],
)
def test_numbers_in_every_base(text, base, number):
    assert parse_int(text, base) == number


@pytest.mark.parametrize("text", ["", "-", "x", "1 ", "0x", "1__0", "_1", "1_", "٣", "0x1", "9" * 5000])
def test_what_is_no_number(text):
    with pytest.raises(NumberError):
        parse_int(text, 10 if text == "0x1" else 0)


def test_the_bounds_of_numbers():
    assert parse_int("-9223372036854775808") == -(2**63)
    assert parse_uint("ffffffffffffffff", 16) == 2**64 - 1
    for parse, text in ((parse_int, "9223372036854775808"), (parse_uint, "18446744073709551616")):
        with pytest.raises(NumberError, match="value out of range"):
            parse(text)
    with pytest.raises(NumberError, match="invalid syntax"):
        parse_uint("-1")
    assert [parse_bool(text) for text in ("t", "TRUE", "0", "F")] == [True, True, False, False]


def test_json_is_gos():
    assert dump({"a": [1, True, None, b"\xff", "<&>\u2028\n\x01\udcff"], "b": {}, "c": []}) == (
        '{"a":[1,true,null,"/w==","\\u003c\\u0026\\u003e\\u2028\\n\\u0001\\ufffd"],"b":{},"c":[]}'
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_json(value):
    assert json.loads(dump(value)) == value


def test_quotes():
    assert quote(b'a"\\\x00\x7f\xff\xc3\xa9\xe2\x80\xa8\xf3\xa0\x80\x81\xe2\x80') == (
        '"a\\"\\\\\\x00\\x7f\\xffé\\u2028\\U000e0001\\xe2\\x80"'
    )


@given(st.binary(min_size=1), st.binary())
def test_a_prefix_ends_behind_everything_that_begins_with_it(prefix, rest):
    end = prefix_end(prefix)
    assert end == b"\0" or prefix + rest < end
    if end != b"\0":
        assert not end.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xfe", b"a\xff"), (b"\xff\xff", b"\0")]
)
def test_ends_of_prefixes(prefix, end):
    assert prefix_end(prefix) == end


def message_classes(base=messages.Message):
    for kind in base.__subclasses__():
        yield kind
        yield from message_classes(kind)


_OTHER_NAMES = {"MembersResponse": None, "Response": None}


@pytest.mark.parametrize(
    "kind", sorted(message_classes(), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_messages_are_those_of_the_protocol(kind):
    """Every field in the protocol's order, none missing: Go's JSON depends on both."""
    modules = (rpc_pb2, kv_pb2, auth_pb2, lock_pb2, election_pb2)
    found = next(
        (getattr(module, kind.__name__) for module in modules if hasattr(module, kind.__name__)), None
    )
    if found is None:
        assert kind.__name__ in _OTHER_NAMES
        return
    described = [field.name for field in found.DESCRIPTOR.fields]
    own = [field.name for field in kind.FIELDS]
    if kind.__name__ == "WatchResponse":
        described.remove("fragment")
    assert own == described
    for field in kind.FIELDS:
        repeated = found.DESCRIPTOR.fields_by_name[field.name].is_repeated
        assert field.repeated == repeated
        assert hasattr(kind({}), field.target)
