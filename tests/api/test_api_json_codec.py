"""The gateway's JSON: equal to protobuf's own mapping where that applies, lenient where etcd is."""

import base64
import json

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from miniraft.api.json_codec import JsonError, MessageCodec
from miniraft.pb import auth_pb2, election_pb2, lock_pb2, rpc_pb2

MESSAGES = [
    message
    for module in (rpc_pb2, lock_pb2, election_pb2, auth_pb2)
    for message in module.DESCRIPTOR.message_types_by_name.values()
]

_SCALARS = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
    "bool": st.booleans(),
}
_TYPE_NAMES = {3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "uint32"}


def values(field, depth):
    """A strategy for one value of a field."""
    if field.message_type is not None:
        return messages(field.message_type, depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values] + [77])
    return _SCALARS[_TYPE_NAMES[field.type]]


@st.composite
def messages(draw, descriptor, depth=3):
    """Any message of a type, with any fields set."""
    message = rpc_pb2.DESCRIPTOR.pool.FindMessageTypeByName(descriptor.full_name)._concrete_class()
    for field in descriptor.fields:
        if not draw(st.booleans()) or (field.message_type is not None and not depth):
            continue
        if field.is_repeated:
            drawn = draw(st.lists(values(field, depth), max_size=2))
            getattr(message, field.name).extend(drawn)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(values(field, depth)))
        else:
            setattr(message, field.name, draw(values(field, depth)))
    return message


any_message = st.sampled_from(MESSAGES).flatmap(messages)


@settings(max_examples=400, deadline=None)
@given(any_message)
def test_writes_what_protobuf_writes(message):
    ours = json.loads(MessageCodec(message.DESCRIPTOR).encode(message))
    assert ours == json_format.MessageToDict(message, preserving_proto_field_name=True)


@settings(max_examples=400, deadline=None)
@given(any_message, st.booleans())
def test_reads_what_protobuf_writes(message, proto_names):
    text = json_format.MessageToJson(message, preserving_proto_field_name=proto_names)
    assert MessageCodec(message.DESCRIPTOR).decode(text.encode()) == message


@settings(max_examples=100, deadline=None)
@given(any_message)
def test_output_is_read_back(message):
    codec = MessageCodec(message.DESCRIPTOR)
    assert codec.decode(codec.encode(message)) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
txn_keys = st.sampled_from(["compare", "success", "requestPut", "request_range", "key", "target", "version"])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(txn_keys, json_values | st.dictionaries(txn_keys, json_values)))
def test_garbage_is_refused_or_read_but_never_breaks(value):
    codec = MessageCodec(rpc_pb2.TxnRequest.DESCRIPTOR)
    text = json.dumps(value).encode()
    try:
        ours = codec.decode(text)
    except JsonError:
        return
    assert isinstance(ours, rpc_pb2.TxnRequest)


def decode(message_class, value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return MessageCodec(message_class.DESCRIPTOR).decode(text)


def test_compact_output_in_etcds_spelling():
    message = rpc_pb2.StatusResponse(dbSize=5, raftTerm=2, isLearner=False, version="3.7.1")
    message.header.revision = 7
    assert MessageCodec(message.DESCRIPTOR).encode(message) == (
        b'{"header":{"revision":"7"},"version":"3.7.1","dbSize":"5","raftTerm":"2"}'
    )


def test_empty_message_that_is_set_is_an_empty_object():
    response = rpc_pb2.TxnResponse(responses=[rpc_pb2.ResponseOp(response_put=rpc_pb2.PutResponse())])
    encoded = MessageCodec(response.DESCRIPTOR).encode(response)
    assert encoded == b'{"responses":[{"response_put":{}}]}'
    assert MessageCodec(response.DESCRIPTOR).decode(encoded) == response


@pytest.mark.parametrize("text", [b"", b"  \n", b"{}", b'{"key":null,"nobody":[{"x":1}]}'])
def test_nothing_stands_for_the_defaults(text):
    assert decode(rpc_pb2.RangeRequest, text) == rpc_pb2.RangeRequest()


@pytest.mark.parametrize("value", [12, "12", 12.0])
def test_integers_as_numbers_and_strings(value):
    assert decode(rpc_pb2.RangeRequest, {"limit": value}).limit == 12


@pytest.mark.parametrize(
    "value", [1.5, "1.5", "", " 1", "1_0", "--1", "x", True, [], {}, 2**63, -(2**63) - 1, "9" * 30, "९"]
)
def test_what_is_no_int64_is_refused(value):
    with pytest.raises(JsonError, match="limit"):
        decode(rpc_pb2.RangeRequest, {"limit": value})


@pytest.mark.parametrize("value", [2, "DESCEND", 2.0])
def test_enums_as_numbers_and_names(value):
    assert decode(rpc_pb2.RangeRequest, {"sortOrder": value}).sort_order == rpc_pb2.RangeRequest.DESCEND


@pytest.mark.parametrize("value", ["descend", 1.5, True, [], 2**40])
def test_unknown_enum_values_are_refused(value):
    with pytest.raises(JsonError, match="sort_order must be one of NONE, ASCEND, DESCEND"):
        decode(rpc_pb2.RangeRequest, {"sort_order": value})


RAW = b"\xfb\xff\xfe key?"


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(RAW).decode(),
        base64.urlsafe_b64encode(RAW).decode(),
        base64.b64encode(RAW).decode().rstrip("="),
        base64.urlsafe_b64encode(RAW).decode().rstrip("="),
        base64.encodebytes(RAW).decode(),
    ],
)
def test_base64_in_every_alphabet(text):
    assert decode(rpc_pb2.RangeRequest, {"key": text}).key == RAW


@pytest.mark.parametrize("value", ["a", "plain text!", "Zm9v=YmFy", "é", 5, {}])
def test_what_is_no_base64_is_refused(value):
    with pytest.raises(JsonError, match="key must be"):
        decode(rpc_pb2.RangeRequest, {"key": value})


@pytest.mark.parametrize("text", [b"{", b"[]", b"1", b'"x"', b"null", b'{"key":}', b"\xff\xfe", b"{} {}"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(JsonError):
        decode(rpc_pb2.RangeRequest, text)


def test_wrong_shapes_name_the_field():
    with pytest.raises(JsonError, match="success must be an array, not an object"):
        decode(rpc_pb2.TxnRequest, {"success": {}})
    with pytest.raises(JsonError, match="serializable must be true or false, not a string"):
        decode(rpc_pb2.RangeRequest, {"serializable": "true"})
    with pytest.raises(JsonError, match="RequestOp must be a JSON object, not null"):
        decode(rpc_pb2.TxnRequest, {"success": [None]})


def test_two_members_of_a_oneof_are_refused():
    both = {"success": [{"request_put": {"key": "YQ=="}, "request_range": {"key": "YQ=="}}]}
    with pytest.raises(JsonError, match="request_put and request_range are both set"):
        decode(rpc_pb2.TxnRequest, both)


def test_depth_is_bounded():
    def nested(levels):
        value = {}
        for _ in range(levels):
            value = {"success": [{"request_txn": value}]}
        return value

    assert decode(rpc_pb2.TxnRequest, nested(49)).success
    with pytest.raises(JsonError, match="nested deeper than 100"):
        decode(rpc_pb2.TxnRequest, nested(51))
    with pytest.raises(JsonError):
        decode(rpc_pb2.TxnRequest, b'{"a":' * 100_000)
