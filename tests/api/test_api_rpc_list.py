"""Every RPC there is, by gRPC and by JSON: answered, or refused as not implemented. None hangs."""

import http.client
import json

import grpc
import pytest

from miniraft.api.method import MethodTable
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
    "etcdserverpb.Watch/Watch": (False, "/v3/watch"),
    "etcdserverpb.Lease/LeaseGrant": (False, "/v3/lease/grant"),
    "etcdserverpb.Lease/LeaseRevoke": (False, "/v3/lease/revoke"),
    "etcdserverpb.Lease/LeaseKeepAlive": (False, "/v3/lease/keepalive"),
    "etcdserverpb.Lease/LeaseTimeToLive": (False, "/v3/lease/timetolive"),
    "etcdserverpb.Lease/LeaseLeases": (False, "/v3/lease/leases"),
    "etcdserverpb.Cluster/MemberAdd": (False, "/v3/cluster/member/add"),
    "etcdserverpb.Cluster/MemberRemove": (False, "/v3/cluster/member/remove"),
    "etcdserverpb.Cluster/MemberUpdate": (False, "/v3/cluster/member/update"),
    "etcdserverpb.Cluster/MemberList": (True, "/v3/cluster/member/list"),
    "etcdserverpb.Cluster/MemberPromote": (False, "/v3/cluster/member/promote"),
    "etcdserverpb.Maintenance/Alarm": (True, "/v3/maintenance/alarm"),
    "etcdserverpb.Maintenance/Status": (True, "/v3/maintenance/status"),
    "etcdserverpb.Maintenance/Defragment": (False, "/v3/maintenance/defragment"),
    "etcdserverpb.Maintenance/Hash": (False, "/v3/maintenance/hash"),
    "etcdserverpb.Maintenance/HashKV": (True, "/v3/maintenance/hashkv"),
    "etcdserverpb.Maintenance/Snapshot": (False, "/v3/maintenance/snapshot"),
    "etcdserverpb.Maintenance/MoveLeader": (True, "/v3/maintenance/transfer-leadership"),
    "etcdserverpb.Maintenance/Downgrade": (False, "/v3/maintenance/downgrade"),
    "etcdserverpb.Auth/AuthEnable": (False, "/v3/auth/enable"),
    "etcdserverpb.Auth/AuthDisable": (False, "/v3/auth/disable"),
    "etcdserverpb.Auth/AuthStatus": (False, "/v3/auth/status"),
    "etcdserverpb.Auth/Authenticate": (False, "/v3/auth/authenticate"),
    "etcdserverpb.Auth/UserAdd": (False, "/v3/auth/user/add"),
    "etcdserverpb.Auth/UserGet": (False, "/v3/auth/user/get"),
    "etcdserverpb.Auth/UserList": (False, "/v3/auth/user/list"),
    "etcdserverpb.Auth/UserDelete": (False, "/v3/auth/user/delete"),
    "etcdserverpb.Auth/UserChangePassword": (False, "/v3/auth/user/changepw"),
    "etcdserverpb.Auth/UserGrantRole": (False, "/v3/auth/user/grant"),
    "etcdserverpb.Auth/UserRevokeRole": (False, "/v3/auth/user/revoke"),
    "etcdserverpb.Auth/RoleAdd": (False, "/v3/auth/role/add"),
    "etcdserverpb.Auth/RoleGet": (False, "/v3/auth/role/get"),
    "etcdserverpb.Auth/RoleList": (False, "/v3/auth/role/list"),
    "etcdserverpb.Auth/RoleDelete": (False, "/v3/auth/role/delete"),
    "etcdserverpb.Auth/RoleGrantPermission": (False, "/v3/auth/role/grant"),
    "etcdserverpb.Auth/RoleRevokePermission": (False, "/v3/auth/role/revoke"),
    "v3lockpb.Lock/Lock": (False, "/v3/lock/lock"),
    "v3lockpb.Lock/Unlock": (False, "/v3/lock/unlock"),
    "v3electionpb.Election/Campaign": (False, "/v3/election/campaign"),
    "v3electionpb.Election/Proclaim": (False, "/v3/election/proclaim"),
    "v3electionpb.Election/Leader": (False, "/v3/election/leader"),
    "v3electionpb.Election/Observe": (False, "/v3/election/observe"),
    "v3electionpb.Election/Resign": (False, "/v3/election/resign"),
    "grpc.health.v1.Health/Check": (True, None),
    "grpc.health.v1.Health/Watch": (True, None),
    "grpc.health.v1.Health/List": (True, None),
}
LEGACY_PATHS = ["/v3/kv/lease/revoke", "/v3/kv/lease/timetolive", "/v3/kv/lease/leases"]
STREAMS = {
    "etcdserverpb.Watch/Watch",
    "etcdserverpb.Lease/LeaseKeepAlive",
    "etcdserverpb.Maintenance/Snapshot",
    "v3electionpb.Election/Observe",
}


@pytest.fixture(scope="module")
def api():
    with served(MemoryService()) as api:
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
    call = channel.stream_stream(f"/{rpc}")(iter([b""]), timeout=5)
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
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)
        return
    service, method = rpc.split("/")
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert text == f"method {method} of service {service} is not implemented by this server"


@pytest.mark.parametrize("prefix", ["/v3", "/v3beta", "/v3alpha"])
@pytest.mark.parametrize("rpc", [rpc for rpc, (_, path) in RPCS.items() if path])
def test_by_json(api, rpc, prefix):
    is_built, path = RPCS[rpc]
    status, body = post(api, prefix + path.removeprefix("/v3"))
    if is_built:
        assert status in (200, 400)
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
    assert (status, body["code"]) == (501, 12)


def post(api, path):
    host, port = api.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("POST", path, b"{}")
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
