"""Server reflection, asked by grpcio's own client and by hand."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from miniraft.pb.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from tests.support.client_api import served
from tests.support.memory_service import MemoryService

SERVICES = [
    "etcdserverpb.Auth",
    "etcdserverpb.Cluster",
    "etcdserverpb.KV",
    "etcdserverpb.Lease",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Watch",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "v3electionpb.Election",
    "v3lockpb.Lock",
]


@pytest.fixture(scope="module")
def channel():
    with served(MemoryService()) as api, api.channel() as channel:
        yield channel


@pytest.fixture
def database(channel):
    return ProtoReflectionDescriptorDatabase(channel)


def test_every_service_is_listed(database):
    assert list(database.get_services()) == SERVICES


def test_a_client_without_proto_files_can_call(channel, database):
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("etcdserverpb.KV")
    assert [method.name for method in service.methods][:2] == ["Range", "RangeStream"]
    put = service.methods_by_name["Put"]
    assert not put.client_streaming
    assert pool.FindServiceByName("etcdserverpb.Watch").methods_by_name["Watch"].client_streaming
    request = GetMessageClass(put.input_type)(key=b"reflected", value=b"yes")
    call(channel, put, request)
    read = service.methods_by_name["Range"]
    answer = call(channel, read, GetMessageClass(read.input_type)(key=b"reflected"))
    assert [(kv.key, kv.value) for kv in answer.kvs] == [(b"reflected", b"yes")]


def call(channel, method, request):
    path = f"/{method.containing_service.full_name}/{method.name}"
    raw = channel.unary_unary(path)(request.SerializeToString(), timeout=5)
    return GetMessageClass(method.output_type).FromString(raw)


@pytest.mark.parametrize(
    "symbol",
    [
        "etcdserverpb.KV",
        "etcdserverpb.KV.Txn",
        "etcdserverpb.TxnRequest",
        "etcdserverpb.TxnRequest.compare",
        "etcdserverpb.Compare.CompareResult",
        "mvccpb.KeyValue",
        "authpb.Permission",
        "v3lockpb.Lock",
        "grpc.reflection.v1alpha.ServerReflection",
    ],
)
def test_symbols_of_every_kind_are_found(database, symbol):
    package = symbol.rpartition(".")[0].split(".")[0]
    assert database.FindFileContainingSymbol(symbol).package.split(".")[0] == package


@pytest.mark.parametrize("symbol", ["etcdserverpb.Nothing", "", "miniraft.peer.Peer", "x" * 10_000])
def test_what_is_not_there_is_not_found(database, symbol):
    with pytest.raises(KeyError):
        database.FindFileContainingSymbol(symbol)


def test_how_members_speak_to_each_other_is_not_told(database):
    for name in ("miniraft/pb/peer.proto", "miniraft/pb/log.proto", "../../etc/passwd"):
        with pytest.raises(KeyError):
            database.FindFileByName(name)
    assert database.FindFileByName("miniraft/pb/rpc.proto").package == "etcdserverpb"


def test_no_message_is_extended(database):
    assert database.FindAllExtensionNumbers("etcdserverpb.PutRequest") == []
    with pytest.raises(KeyError):
        database.FindAllExtensionNumbers("etcdserverpb.Nothing")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_one_stream_answers_many_requests_in_order(channel, version):
    requests = [
        ServerReflectionRequest(host="h", list_services=""),
        ServerReflectionRequest(file_by_filename="nothing.proto"),
        ServerReflectionRequest(host="only"),
        ServerReflectionRequest(file_containing_symbol="v3lockpb.LockRequest"),
        ServerReflectionRequest(
            file_containing_extension={"containing_type": "etcdserverpb.PutRequest", "extension_number": 9}
        ),
    ]
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    stream = channel.stream_stream(path)(iter([r.SerializeToString() for r in requests]), timeout=5)
    answers = [ServerReflectionResponse.FromString(raw) for raw in stream]
    assert [answer.original_request for answer in answers] == requests
    assert [answer.valid_host for answer in answers] == ["h", "", "only", "", ""]
    assert [service.name for service in answers[0].list_services_response.service] == SERVICES
    assert answers[1].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert answers[1].error_response.error_message == "not found: file nothing.proto"
    assert answers[2].error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    # The file and what it imports: rpc.proto, kv.proto and auth.proto beside lock.proto.
    assert len(answers[3].file_descriptor_response.file_descriptor_proto) == 4
    assert answers[4].error_response.error_message == "not found: extension 9 of etcdserverpb.PutRequest"
