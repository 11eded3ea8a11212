"""Responses written as bytes mean what protobuf would have written."""

from hypothesis import given
from hypothesis import strategies as st

from miniraft.api.response_header import HeaderWriter
from miniraft.api.responses import delete_range_response, put_response, range_response, txn_response
from miniraft.api.wire import varint
from miniraft.mvcc.results import DeleteRangeResult, PutResult, RangeResult, TxnResult
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import (
    DeleteRangeResponse,
    PutResponse,
    RangeResponse,
    ResponseHeader,
    StatusResponse,
    TxnResponse,
)
from tests.support.memory_service import CLUSTER_ID, MEMBER_ID, MemoryService

revisions = st.integers(1, 2**63 - 1)
pairs = st.builds(
    KeyValue,
    key=st.binary(min_size=1, max_size=5),
    value=st.sampled_from([b"", b"v", b"v" * 600]),
    version=revisions,
)


def header(revision):
    return ResponseHeader(cluster_id=CLUSTER_ID, member_id=MEMBER_ID, revision=revision, raft_term=3)


def header_field(revision):
    return HeaderWriter(MemoryService()).field(revision)


@given(st.integers(0, 2**64 - 1))
def test_varints(value):
    assert StatusResponse.FromString(b"\x20" + varint(value)).leader == value


@given(revisions, st.lists(pairs, max_size=4), st.booleans(), st.integers(0, 2**40))
def test_range(revision, kvs, more, count):
    result = RangeResult(revision, [pair.SerializeToString() for pair in kvs], more, count)
    expected = RangeResponse(header=header(revision), kvs=kvs, more=more, count=count)
    assert RangeResponse.FromString(range_response(header_field(revision), result)) == expected


@given(revisions, st.none() | pairs)
def test_put(revision, previous):
    result = PutResult(revision, None if previous is None else previous.SerializeToString())
    expected = PutResponse(header=header(revision), prev_kv=previous)
    assert PutResponse.FromString(put_response(header_field(revision), result)) == expected


@given(revisions, st.integers(0, 1000), st.lists(pairs, max_size=3))
def test_delete_range(revision, deleted, previous):
    result = DeleteRangeResult(revision, deleted, [pair.SerializeToString() for pair in previous])
    expected = DeleteRangeResponse(header=header(revision), deleted=deleted, prev_kvs=previous)
    assert DeleteRangeResponse.FromString(delete_range_response(header_field(revision), result)) == expected


def test_txn_has_revisions_alone_in_nested_headers():
    pair = KeyValue(key=b"k", value=b"v")
    result = TxnResult(
        9,
        True,
        [
            RangeResult(9, [pair.SerializeToString()], False, 1),
            PutResult(9, None),
            DeleteRangeResult(9, 2, []),
            TxnResult(9, False, [PutResult(9, pair.SerializeToString())]),
        ],
    )
    response = TxnResponse.FromString(txn_response(header_field(9), result))
    assert response.header == header(9)
    assert response.succeeded
    ranged, put, deleted, nested = response.responses
    only_revision = ResponseHeader(revision=9)
    assert ranged.response_range == RangeResponse(header=only_revision, kvs=[pair], count=1)
    assert put.response_put == PutResponse(header=only_revision)
    assert deleted.response_delete_range == DeleteRangeResponse(header=only_revision, deleted=2)
    assert nested.response_txn.HasField("header")
    assert nested.response_txn.header == ResponseHeader()
    assert nested.response_txn.responses[0].response_put.header == only_revision
    assert nested.response_txn.responses[0].response_put.prev_kv == pair


def test_header_follows_the_term():
    service = MemoryService()
    writer = HeaderWriter(service)
    first = writer.field(5)
    service.term = 4
    response = PutResponse.FromString(writer.field(5))
    assert (response.header.revision, response.header.raft_term) == (5, 4)
    service.term = 3
    assert writer.field(5) == first
