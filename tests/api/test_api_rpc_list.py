"""Every RPC there is, by gRPC and by JSON: answered, or refused as not implemented. None hangs."""

import base64
import http.client
import itertools
import json

import grpc
import pytest
from google.protobuf import json_format

from miniraft.api.method import MethodTable
from miniraft.pb.election_pb2 import CampaignRequest, LeaderRequest
from miniraft.pb.lock_pb2 import LockRequest
from miniraft.pb.rpc_pb2 import WatchCreateRequest, WatchRequest
from tests.support.client_api import served
from tests.support.memory_service import MemoryService

# RPC: (built, JSON path or None)
RPCS = {
    "etcdserverpb.KV/Range": (True, "/v3/kv/range"),
    "etcdserverpb.KV/RangeStream": (True, None),
    "etcdserverpb.KV/Put": (True, "/v3/kv/put"),
    "etcdserverpb.KV/DeleteRange": (True, "/v3/kv/deleterange"),
    "etcdserverpb.KV/Txn": (True, "/v3/kv/txn"),
    "etcdserverpb.KV/Compact": (True, "/v3/kv/compaction"),
    "etcdserverpb.Watch/Watch": (True, "/v3/watch"),
    "etcdserverpb.Lease/LeaseGrant": (True, "/v3/lease/grant"),
    "etcdserverpb.Lease/LeaseRevoke": (True, "/v3/lease/revoke"),
    "etcdserverpb.Lease/LeaseKeepAlive": (True, "/v3/lease/keepalive"),
    "etcdserverpb.Lease/LeaseTimeToLive": (True, "/v3/lease/timetolive"),
    "etcdserverpb.Lease/LeaseLeases": (True, "/v3/lease/leases"),
    "etcdserverpb.Cluster/MemberAdd": (True, "/v3/cluster/member/add"),
    "etcdserverpb.Cluster/MemberRemove": (True, "/v3/cluster/member/remove"),
    "etcdserverpb.Cluster/MemberUpdate": (True, "/v3/cluster/member/update"),
    "etcdserverpb.Cluster/MemberList": (True, "/v3/cluster/member/list"),
    "etcdserverpb.Cluster/MemberPromote": (True, "/v3/cluster/member/promote"),
    "etcdserverpb.Maintenance/Alarm": (True, "/v3/maintenance/alarm"),
    "etcdserverpb.Maintenance/Status": (True, "/v3/maintenance/status"),
    "etcdserverpb.Maintenance/Defragment": (True, "/v3/maintenance/defragment"),
    "etcdserverpb.Maintenance/Hash": (True, "/v3/maintenance/hash"),
    "etcdserverpb.Maintenance/HashKV": (True, "/v3/maintenance/hashkv"),
    "etcdserverpb.Maintenance/Snapshot": (True, "/v3/maintenance/snapshot"),
    "etcdserverpb.Maintenance/MoveLeader": (True, "/v3/maintenance/transfer-leadership"),
    "etcdserverpb.Maintenance/Downgrade": (True, "/v3/maintenance/downgrade"),
    "etcdserverpb.Auth/AuthEnable": (True, "/v3/auth/enable"),
    "etcdserverpb.Auth/AuthDisable": (True, "/v3/auth/disable"),
    "etcdserverpb.Auth/AuthStatus": (True, "/v3/auth/status"),
    "etcdserverpb.Auth/Authenticate": (True, "/v3/auth/authenticate"),
    "etcdserverpb.Auth/UserAdd": (True, "/v3/auth/user/add"),
    "etcdserverpb.Auth/UserGet": (True, "/v3/auth/user/get"),
    "etcdserverpb.Auth/UserList": (True, "/v3/auth/user/list"),
    "etcdserverpb.Auth/UserDelete": (True, "/v3/auth/user/delete"),
    "etcdserverpb.Auth/UserChangePassword": (True, "/v3/auth/user/changepw"),
    "etcdserverpb.Auth/UserGrantRole": (True, "/v3/auth/user/grant"),
    "etcdserverpb.Auth/UserRevokeRole": (True, "/v3/auth/user/revoke"),
    "etcdserverpb.Auth/RoleAdd": (True, "/v3/auth/role/add"),
    "etcdserverpb.Auth/RoleGet": (True, "/v3/auth/role/get"),
    "etcdserverpb.Auth/RoleList": (True, "/v3/auth/role/list"),
    "etcdserverpb.Auth/RoleDelete": (True, "/v3/auth/role/delete"),
    "etcdserverpb.Auth/RoleGrantPermission": (True, "/v3/auth/role/grant"),
    "etcdserverpb.Auth/RoleRevokePermission": (True, "/v3/auth/role/revoke"),
    "v3lockpb.Lock/Lock": (True, "/v3/lock/lock"),
    "v3lockpb.Lock/Unlock": (True, "/v3/lock/unlock"),
    "v3electionpb.Election/Campaign": (True, "/v3/election/campaign"),
    "v3electionpb.Election/Proclaim": (True, "/v3/election/proclaim"),
    "v3electionpb.Election/Leader": (True, "/v3/election/leader"),
    "v3electionpb.Election/Observe": (True, "/v3/election/observe"),
    "v3electionpb.Election/Resign": (True, "/v3/election/resign"),
    "grpc.health.v1.Health/Check": (True, None),
    "grpc.health.v1.Health/Watch": (True, None),
    "grpc.health.v1.Health/List": (True, None),
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": (True, None),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (True, None),
}
LEGACY_PATHS = ["/v3/kv/lease/revoke", "/v3/kv/lease/timetolive", "/v3/kv/lease/leases"]
STREAMS = {
    "etcdserverpb.Watch/Watch",
    "etcdserverpb.Lease/LeaseKeepAlive",
    "etcdserverpb.Maintenance/Snapshot",
    "v3electionpb.Election/Observe",
}
ELECTION = b"that somebody has won"
_fresh_names = map(b"%d".__mod__, itertools.count())
REQUESTS = {
    "etcdserverpb.Watch/Watch": lambda: WatchRequest(create_request=WatchCreateRequest(key=b"a")),
    "v3lockpb.Lock/Lock": lambda: LockRequest(name=next(_fresh_names)),
    "v3electionpb.Election/Campaign": lambda: CampaignRequest(name=next(_fresh_names)),
    "v3electionpb.Election/Observe": lambda: LeaderRequest(name=ELECTION),
}


@pytest.fixture(scope="module")
def api():
    with served(MemoryService()) as api:
        post(api, "/v3/election/campaign", b'{"name":"%s"}' % base64.b64encode(ELECTION))
        yield api


@pytest.fixture(scope="module")
def channel(api):
    with api.channel() as channel:
        yield channel


def test_the_list_is_whole():
    table = MethodTable({}, {}, ())
    assert {path.removeprefix("/") for path in table.by_path} == set(RPCS)


@pytest.mark.parametrize("rpc", RPCS)
def test_by_grpc(channel, rpc):
    call = channel.stream_stream(f"/{rpc}")(iter([request_of(rpc).SerializeToString()]), timeout=5)
    code, text = grpc.StatusCode.OK, ""
    try:
        next(call)  # a stream may stay open behind its first message
        call.cancel()
    except StopIteration:
        pass
    except grpc.RpcError as error:
        code, text = error.code(), error.details()
    is_built, _ = RPCS[rpc]
    if is_built:
        # what an empty request is told: an answer, or that the key is missing
        assert code in (
            grpc.StatusCode.OK,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.OUT_OF_RANGE,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.NOT_FOUND,  # a lease
            grpc.StatusCode.UNKNOWN,  # elections
        )
        assert "unexpected" not in text
        return
    service, method = rpc.split("/")
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert text == f"method {method} of service {service} is not implemented by this server"


@pytest.mark.parametrize("prefix", ["/v3", "/v3beta", "/v3alpha"])
@pytest.mark.parametrize("rpc", [rpc for rpc, (_, path) in RPCS.items() if path])
def test_by_json(api, rpc, prefix):
    is_built, path = RPCS[rpc]
    request = json_format.MessageToJson(request_of(rpc)).encode()
    status, body = post(api, prefix + path.removeprefix("/v3"), request)
    if is_built:
        assert status in (200, 400, 404, 500)
        assert "unexpected" not in body.get("message", "")
        return
    assert status == 501
    if rpc in STREAMS:
        assert body["error"]["grpc_code"] == body["error"]["code"] == 12
        assert body["error"]["http_code"] == 501
        assert body["error"]["http_status"] == "Not Implemented"
    else:
        assert body["code"] == 12
        assert body["error"] == body["message"]
        assert rpc.split("/")[1] in body["message"]


@pytest.mark.parametrize("path", LEGACY_PATHS)
def test_legacy_lease_paths(api, path):
    status, body = post(api, path)
    if path.endswith("revoke"):
        assert (status, body["message"]) == (404, "etcdserver: requested lease not found")
    else:
        assert status == 200
        assert "header" in body


def request_of(rpc):
    """An empty request, or one that need not wait for others."""
    return REQUESTS.get(rpc, CampaignRequest)()


def post(api, path, request=b"{}"):
    host, port = api.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("POST", path, request)
        response = connection.getresponse()
        # Of a stream that stays open the first line will do.
        return response.status, json.loads(response.readline())
    finally:
        connection.close()
