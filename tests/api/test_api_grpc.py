"""gRPC calls by grpcio through the real listener."""

import asyncio
import threading
import time

import grpc
import pytest

from miniraft.mvcc.results import PutResult
from miniraft.pb.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)
from miniraft.pb.rpc_pb2 import (
    AlarmRequest,
    AlarmResponse,
    CompactionRequest,
    CompactionResponse,
    Compare,
    DeleteRangeRequest,
    DeleteRangeResponse,
    HashKVRequest,
    HashKVResponse,
    MemberListRequest,
    MemberListResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    RangeStreamResponse,
    RequestOp,
    StatusRequest,
    StatusResponse,
    TxnRequest,
    TxnResponse,
)
from miniraft.server.limits import Limits
from tests.support.client_api import served
from tests.support.memory_service import CLUSTER_ID, MEMBER_ID, MemoryService

RESPONSES = {
    "/etcdserverpb.KV/Range": RangeResponse,
    "/etcdserverpb.KV/Put": PutResponse,
    "/etcdserverpb.KV/DeleteRange": DeleteRangeResponse,
    "/etcdserverpb.KV/Txn": TxnResponse,
    "/etcdserverpb.KV/Compact": CompactionResponse,
    "/etcdserverpb.Cluster/MemberList": MemberListResponse,
    "/etcdserverpb.Maintenance/Status": StatusResponse,
    "/etcdserverpb.Maintenance/HashKV": HashKVResponse,
    "/etcdserverpb.Maintenance/Alarm": AlarmResponse,
    "/etcdserverpb.Maintenance/MoveLeader": MoveLeaderResponse,
    "/grpc.health.v1.Health/Check": HealthCheckResponse,
    "/grpc.health.v1.Health/List": HealthListResponse,
}


class Client:
    """Calls by path: `client("KV/Put", PutRequest(...))`."""

    def __init__(self, channel):
        self.channel = channel

    def __call__(self, name, request, timeout=10, metadata=()):
        path = name if name.startswith("/") else f"/etcdserverpb.{name}"
        call = self.channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=RESPONSES[path].FromString,
        )
        return call(request, timeout=timeout, metadata=metadata)

    def fails(self, name, request, **options):
        """Returns (code name, text) of a call that must fail."""
        with pytest.raises(grpc.RpcError) as raised:
            self(name, request, **options)
        return raised.value.code().name, raised.value.details()


@pytest.fixture
def api():
    with served(MemoryService()) as api:
        yield api


@pytest.fixture
def client(api):
    with api.channel() as channel:
        yield Client(channel)


# Answers --------------------------------------------------------------------------------------
def test_put_and_range(client):
    put = client("KV/Put", PutRequest(key=b"k", value=b"v"))
    assert (put.header.cluster_id, put.header.member_id) == (CLUSTER_ID, MEMBER_ID)
    assert (put.header.revision, put.header.raft_term) == (2, 3)
    for serializable in (False, True):
        answer = client("KV/Range", RangeRequest(key=b"k", serializable=serializable))
        (pair,) = answer.kvs
        assert (pair.key, pair.value, pair.mod_revision) == (b"k", b"v", 2)
        assert (answer.count, answer.more, answer.header.revision) == (1, False, 2)


def test_only_linearizable_reads_ask_for_the_read_index(api, client):
    def rounds(name, request_):
        before = api.service.read_index_rounds
        client(name, request_)
        return api.service.read_index_rounds - before

    def reading(serializable):
        return RequestOp(request_range=RangeRequest(key=b"k", serializable=serializable))

    assert rounds("KV/Range", RangeRequest(key=b"k")) == 1
    assert rounds("KV/Range", RangeRequest(key=b"k", serializable=True)) == 0
    assert rounds("KV/Txn", TxnRequest(success=[reading(True), reading(False)])) == 1
    assert rounds("KV/Txn", TxnRequest(success=[reading(True)], failure=[reading(True)])) == 0
    assert rounds("Cluster/MemberList", MemberListRequest(linearizable=True)) == 1
    assert rounds("Cluster/MemberList", MemberListRequest()) == 0
    assert rounds("KV/Put", PutRequest(key=b"k")) == 0
    before = api.service.read_index_rounds
    stream_pieces(client, RangeRequest(key=b"k"))
    assert api.service.read_index_rounds == before + 1


def test_delete_range_and_previous_pairs(client):
    client("KV/Put", PutRequest(key=b"a", value=b"1"))
    again = client("KV/Put", PutRequest(key=b"a", value=b"2", prev_kv=True))
    assert again.prev_kv.value == b"1"
    deleted = client("KV/DeleteRange", DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True))
    assert (deleted.deleted, [pair.value for pair in deleted.prev_kvs]) == (1, [b"2"])
    assert client("KV/Range", RangeRequest(key=b"a")).count == 0


def test_txn_reads_and_writes(client):
    put = RequestOp(request_put=PutRequest(key=b"k", value=b"v"))
    get = RequestOp(request_range=RangeRequest(key=b"k"))
    absent = Compare(key=b"k", target=Compare.CREATE, result=Compare.EQUAL, create_revision=0)
    created = client("KV/Txn", TxnRequest(compare=[absent], success=[put, get], failure=[get]))
    assert created.succeeded
    assert created.responses[1].response_range.kvs[0].value == b"v"
    assert created.responses[0].response_put.header.revision == 2
    assert created.responses[0].response_put.header.cluster_id == 0
    seen = client("KV/Txn", TxnRequest(compare=[absent], success=[get], failure=[get]))
    assert not seen.succeeded
    assert (seen.header.revision, seen.responses[0].response_range.count) == (2, 1)


def test_compact(client):
    for value in (b"1", b"2"):
        client("KV/Put", PutRequest(key=b"k", value=value))
    assert client("KV/Compact", CompactionRequest(revision=3)).header.revision == 3
    assert client.fails("KV/Range", RangeRequest(key=b"k", revision=2)) == (
        "OUT_OF_RANGE",
        "etcdserver: mvcc: required revision has been compacted",
    )
    assert client.fails("KV/Compact", CompactionRequest(revision=9))[1] == (
        "etcdserver: mvcc: required revision is a future revision"
    )


def test_member_list_has_no_revision(client):
    answer = client("Cluster/MemberList", MemberListRequest(linearizable=True))
    assert (answer.header.revision, answer.header.raft_term) == (0, 3)
    (member,) = answer.members
    assert (member.ID, member.name, list(member.clientURLs)) == (MEMBER_ID, "one", ["http://127.0.0.1:2379"])


def test_status(api, client):
    status = client("Maintenance/Status", StatusRequest())
    assert status.version == "3.7.1"
    assert status.storageVersion == "3.7.0"
    assert (status.dbSize, status.dbSizeInUse, status.dbSizeQuota) == (20480, 16384, 2147483648)
    assert (status.leader, status.raftTerm, status.raftIndex) == (MEMBER_ID, 3, 10)
    assert status.HasField("downgradeInfo")
    assert list(status.errors) == []
    api.service.leader = 0
    assert list(client("Maintenance/Status", StatusRequest()).errors) == ["etcdserver: no leader"]


def test_hash_kv(api, client):
    client("KV/Put", PutRequest(key=b"k", value=b"v"))
    answer = client("Maintenance/HashKV", HashKVRequest())
    expected = api.thread.call(api.service.keyspace.hash_kv, 0)
    assert (answer.hash, answer.compact_revision, answer.hash_revision) == expected
    assert client.fails("Maintenance/HashKV", HashKVRequest(revision=99))[0] == "OUT_OF_RANGE"


def test_alarms(api, client):
    assert list(client("Maintenance/Alarm", AlarmRequest()).alarms) == []
    api.service.raised_alarms = [(MEMBER_ID, 1), (7, 2)]
    alarms = client("Maintenance/Alarm", AlarmRequest(alarm=2)).alarms
    assert [(alarm.memberID, alarm.alarm) for alarm in alarms] == [(7, 2)]
    disarm = AlarmRequest(action=AlarmRequest.DEACTIVATE, memberID=7, alarm=2)
    assert [alarm.memberID for alarm in client("Maintenance/Alarm", disarm).alarms] == [7]
    assert list(client("Maintenance/Alarm", disarm).alarms) == []
    raised = client("Maintenance/Alarm", AlarmRequest(action=AlarmRequest.ACTIVATE, memberID=8, alarm=1))
    assert [(alarm.memberID, alarm.alarm) for alarm in raised.alarms] == [(8, 1)]


def test_move_leader(api, client):
    answer = client("Maintenance/MoveLeader", MoveLeaderRequest(targetID=42))
    assert not answer.HasField("header")
    assert api.service.transferred_to == [42]
    api.service.leader = 42
    assert client.fails("Maintenance/MoveLeader", MoveLeaderRequest(targetID=1)) == (
        "FAILED_PRECONDITION",
        "etcdserver: not leader",
    )


def test_health_service(api, client):
    check = "/grpc.health.v1.Health/Check"
    assert client(check, HealthCheckRequest()).status == HealthCheckResponse.SERVING
    assert client.fails(check, HealthCheckRequest(service="x")) == ("NOT_FOUND", "unknown service")
    listed = client("/grpc.health.v1.Health/List", HealthListRequest()).statuses
    assert {name: answer.status for name, answer in listed.items()} == {"": HealthCheckResponse.SERVING}


def test_health_watch_stays_open_until_the_client_leaves(api, client):
    watch = client.channel.unary_stream("/grpc.health.v1.Health/Watch")
    for service, status in (("", HealthCheckResponse.SERVING), ("x", HealthCheckResponse.SERVICE_UNKNOWN)):
        stream = watch(HealthCheckRequest(service=service).SerializeToString())
        assert HealthCheckResponse.FromString(next(stream)).status == status
        assert api.request_count() == 1
        stream.cancel()
        wait_until(lambda: api.request_count() == 0)


# RangeStream ----------------------------------------------------------------------------------
def stream_pieces(client, request):
    stream = client.channel.unary_stream(
        "/etcdserverpb.KV/RangeStream", response_deserializer=RangeStreamResponse.FromString
    )
    return [answer.range_response for answer in stream(request.SerializeToString(), timeout=10)]


def test_range_stream_comes_in_growing_pieces_of_one_revision(api, client):
    for number in range(100):
        client("KV/Put", PutRequest(key=b"k%03d" % number, value=b"v"))
    whole = client("KV/Range", RangeRequest(key=b"k", range_end=b"l"))
    pieces = stream_pieces(client, RangeRequest(key=b"k", range_end=b"l"))
    assert [len(piece.kvs) for piece in pieces] == [10, 20, 40, 30]
    assert [pair for piece in pieces for pair in piece.kvs] == list(whole.kvs)
    assert not any(piece.HasField("header") or piece.count or piece.more for piece in pieces[:-1])
    assert (pieces[-1].header, pieces[-1].count, pieces[-1].more) == (whole.header, 100, False)


def test_range_stream_does_not_see_what_is_written_meanwhile(api, client):
    for number in range(30):
        client("KV/Put", PutRequest(key=b"k%03d" % number, value=b"old"))
    read = api.service.keyspace.range

    def range_then_write(request_):
        result = read(request_)
        api.service.keyspace.put(PutRequest(key=b"k029", value=b"new"))
        return result

    api.service.range = range_then_write
    pieces = stream_pieces(client, RangeRequest(key=b"k", range_end=b"l"))
    assert len(pieces) > 1
    assert {pair.value for piece in pieces for pair in piece.kvs} == {b"old"}


def test_range_stream_honours_limit_and_count(client):
    for number in range(30):
        client("KV/Put", PutRequest(key=b"k%03d" % number, value=b"v"))
    pieces = stream_pieces(client, RangeRequest(key=b"k", range_end=b"l", limit=15))
    assert [len(piece.kvs) for piece in pieces] == [10, 5]
    assert (pieces[-1].count, pieces[-1].more) == (30, True)
    (only,) = stream_pieces(client, RangeRequest(key=b"k", range_end=b"l", count_only=True))
    assert (only.count, len(only.kvs)) == (30, 0)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            RangeRequest(key=b"k", sort_order=RangeRequest.DESCEND),
            "RangeStream does not support custom sort orders",
        ),
        (RangeRequest(key=b"k", min_mod_revision=1), "RangeStream does not support revision filters"),
    ],
)
def test_range_stream_refuses_what_needs_all_pairs(client, request_, text):
    with pytest.raises(grpc.RpcError) as raised:
        stream_pieces(client, request_)
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, text)


# Errors ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "request_", "code", "text"),
    [
        ("KV/Range", RangeRequest(), "INVALID_ARGUMENT", "etcdserver: key is not provided"),
        (
            "KV/Range",
            RangeRequest(key=b"k", sort_order=9),
            "INVALID_ARGUMENT",
            "etcdserver: invalid sort option",
        ),
        ("KV/Put", PutRequest(), "INVALID_ARGUMENT", "etcdserver: key is not provided"),
        (
            "KV/Put",
            PutRequest(key=b"k", value=b"v", ignore_value=True),
            "INVALID_ARGUMENT",
            "etcdserver: value is provided",
        ),
        (
            "KV/Put",
            PutRequest(key=b"k", ignore_value=True),
            "INVALID_ARGUMENT",
            "etcdserver: key not found",
        ),
        ("KV/Put", PutRequest(key=b"k", lease=7), "NOT_FOUND", "etcdserver: requested lease not found"),
        ("KV/DeleteRange", DeleteRangeRequest(), "INVALID_ARGUMENT", "etcdserver: key is not provided"),
        (
            "KV/Txn",
            TxnRequest(success=[RequestOp(request_put=PutRequest(key=b"k"))] * 2),
            "INVALID_ARGUMENT",
            "etcdserver: duplicate key given in txn request",
        ),
        (
            "KV/Txn",
            TxnRequest(compare=[Compare(key=b"k")] * 129),
            "INVALID_ARGUMENT",
            "etcdserver: too many operations in txn request",
        ),
        ("KV/Txn", TxnRequest(success=[RequestOp()]), "INVALID_ARGUMENT", "etcdserver: key not found"),
    ],
)
def test_errors_as_etcds(client, name, request_, code, text):
    assert client.fails(name, request_) == (code, text)


def test_quota_comes_before_everything_else(api, client):
    api.service.has_space = False
    no_space = ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
    assert client.fails("KV/Put", PutRequest()) == no_space
    put = RequestOp(request_put=PutRequest(key=b"k"))
    assert client.fails("KV/Txn", TxnRequest(success=[put])) == no_space
    assert client("KV/DeleteRange", DeleteRangeRequest(key=b"k")).deleted == 0


def test_has_leader(api, client):
    required = [("hasleader", "true")]
    assert client("KV/Range", RangeRequest(key=b"k"), metadata=required).count == 0
    api.service.leader = 0
    assert client.fails("KV/Range", RangeRequest(key=b"k"), metadata=required) == (
        "UNAVAILABLE",
        "etcdserver: no leader",
    )
    assert client("KV/Range", RangeRequest(key=b"k", serializable=True)).count == 0


def test_learner_serves_little(api, client):
    api.service.is_learner = True
    unsupported = ("FAILED_PRECONDITION", "etcdserver: rpc not supported for learner")
    assert client.fails("KV/Range", RangeRequest(key=b"k")) == unsupported
    assert client.fails("KV/Put", PutRequest(key=b"k")) == unsupported
    assert client.fails("Cluster/MemberList", MemberListRequest()) == unsupported
    assert client("KV/Range", RangeRequest(key=b"k", serializable=True)).count == 0
    assert client("Maintenance/Status", StatusRequest()).version == "3.7.1"


def test_error_text_is_escaped(api, client):
    api.service.unexpected = grpc_error("100 % wrong: 'ünïcode'\nsecond line")
    assert client.fails("KV/Range", RangeRequest(key=b"k", serializable=True))[1] == (
        "100 % wrong: 'ünïcode'\nsecond line"
    )


def grpc_error(text):
    from miniraft.errors import Code, EtcdError

    return EtcdError(Code.ABORTED, text)


def test_a_mistake_of_ours_is_logged_and_answered(api, client, caplog):
    api.service.unexpected = ZeroDivisionError("planted")
    assert client.fails("KV/Range", RangeRequest(key=b"k", serializable=True)) == (
        "UNKNOWN",
        "unexpected error in the server: its log has the details",
    )
    assert "planted" in caplog.text
    assert "/etcdserverpb.KV/Range" in caplog.text


def test_request_size_is_bounded():
    with served(MemoryService(Limits(max_request_bytes=1000))) as api, api.channel() as channel:
        client = Client(channel)
        limit = 1000 + 512 * 1024
        assert client("KV/Put", PutRequest(key=b"k", value=b"v" * (limit - 100))).header.revision == 2
        too_large = PutRequest(key=b"k", value=b"v" * limit)
        assert client.fails("KV/Put", too_large) == (
            "RESOURCE_EXHAUSTED",
            f"grpc: received message larger than max ({too_large.ByteSize()} vs. {limit})",
        )


def test_large_answers(client):
    for number in range(4):
        client("KV/Put", PutRequest(key=b"k%d" % number, value=b"v" * 1_500_000))
    with grpc.insecure_channel(
        client.channel._channel.target().decode(), options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        assert len(Client(channel)("KV/Range", RangeRequest(key=b"k", range_end=b"l")).kvs) == 4


def test_compressed_messages_are_refused(api):
    with grpc.insecure_channel(api.address, compression=grpc.Compression.Gzip) as channel:
        code, text = Client(channel).fails("KV/Put", PutRequest(key=b"k", value=b"v" * 10_000))
    assert code == "UNIMPLEMENTED"
    assert "compressed" in text


# Deadlines, cancellation, load ------------------------------------------------------------------
def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_deadline_ends_the_wait_and_frees_the_request(api, client):
    api.service.hold_writes = True
    assert client.fails("KV/Put", PutRequest(key=b"k"), timeout=0.2)[0] == "DEADLINE_EXCEEDED"
    wait_until(lambda: api.request_count() == 0)
    (future,) = api.service.held
    assert future.done()


def test_server_keeps_a_deadline_by_itself(api):
    """A client that sets a deadline and does not watch it is answered all the same."""
    api.service.hold_writes = True
    with api.channel() as channel:
        put = channel.unary_unary("/etcdserverpb.KV/Put")
        with pytest.raises(grpc.RpcError) as raised:
            put(b"\x0a\x01k", metadata=[("grpc-timeout", "50m")])
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert raised.value.details() == "context deadline exceeded"


def test_cancelled_call_is_freed(api, client):
    api.service.hold_writes = True
    call = client.channel.unary_unary("/etcdserverpb.KV/Put").future(b"\x0a\x01k")
    wait_until(lambda: api.service.held)
    call.cancel()
    wait_until(lambda: api.request_count() == 0)
    method = api.metrics.apis[0].methods.by_path["/etcdserverpb.KV/Put"]
    assert method.handled[1] == 1


def test_a_thousand_concurrent_requests(api):
    api.service.delay_seconds = 0.2

    async def burst():
        async with grpc.aio.insecure_channel(api.address) as channel:
            put = channel.unary_unary(
                "/etcdserverpb.KV/Put",
                request_serializer=PutRequest.SerializeToString,
                response_deserializer=PutResponse.FromString,
            )
            calls = [put(PutRequest(key=b"k%d" % number), timeout=20) for number in range(1000)]
            return await asyncio.gather(*calls)

    answers = asyncio.run(burst())
    assert sorted(answer.header.revision for answer in answers) == list(range(2, 1002))
    assert api.request_count() == 0


def test_writes_are_proposed_in_the_bytes_they_came_in(api, client):
    proposed = []

    def propose(kind, request, header=b""):
        proposed.append((kind, request))
        future = api.thread.loop.create_future()
        future.set_result(PutResult(2, None))
        return future

    api.service.propose = propose
    raw = b"\x12\x01v\x0a\x01k\xfa\x01\x01x"  # fields out of order, one unknown
    client.channel.unary_unary("/etcdserverpb.KV/Put")(raw, timeout=5)
    assert proposed == [(4, raw)]


def test_stopping_ends_streams_with_server_stopped():
    with served(MemoryService()) as api, api.channel() as channel:
        stream = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        next(stream)
        stopping = threading.Thread(target=lambda: api.thread.run(api.listener.stop(2.0)))
        stopping.start()
        with pytest.raises(grpc.RpcError) as raised:
            next(stream)
        stopping.join(5)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert raised.value.details() == "etcdserver: server stopped"
