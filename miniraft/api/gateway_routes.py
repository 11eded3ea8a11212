"""Which JSON path stands for which RPC."""

from __future__ import annotations

PREFIX = "/v3/"
# Older clients look for the gateway here before they have read /version.
LEGACY_PREFIXES = ("/v3beta/", "/v3alpha/")


def _routes(service: str, prefix: str, methods: dict[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{prefix}{path}": f"/{service}/{method}" for path, method in methods.items()}


# Path to RPC, `/package.Service/Method`.
ROUTES: dict[str, str] = {
    **_routes(
        "etcdserverpb.KV",
        "kv/",
        {
            "range": "Range",
            "put": "Put",
            "deleterange": "DeleteRange",
            "txn": "Txn",
            "compaction": "Compact",
        },
    ),
    **_routes("etcdserverpb.Watch", "", {"watch": "Watch"}),
    **_routes(
        "etcdserverpb.Lease",
        "lease/",
        {
            "grant": "LeaseGrant",
            "revoke": "LeaseRevoke",
            "keepalive": "LeaseKeepAlive",
            "timetolive": "LeaseTimeToLive",
            "leases": "LeaseLeases",
        },
    ),
    **_routes(
        "etcdserverpb.Lease",
        "kv/lease/",  # before etcd 3.4; clients still use them
        {"revoke": "LeaseRevoke", "timetolive": "LeaseTimeToLive", "leases": "LeaseLeases"},
    ),
    **_routes(
        "etcdserverpb.Cluster",
        "cluster/member/",
        {
            "add": "MemberAdd",
            "remove": "MemberRemove",
            "update": "MemberUpdate",
            "list": "MemberList",
            "promote": "MemberPromote",
        },
    ),
    **_routes(
        "etcdserverpb.Maintenance",
        "maintenance/",
        {
            "alarm": "Alarm",
            "status": "Status",
            "defragment": "Defragment",
            "hash": "Hash",
            "hashkv": "HashKV",
            "snapshot": "Snapshot",
            "transfer-leadership": "MoveLeader",
            "downgrade": "Downgrade",
        },
    ),
    **_routes(
        "etcdserverpb.Auth",
        "auth/",
        {
            "enable": "AuthEnable",
            "disable": "AuthDisable",
            "status": "AuthStatus",
            "authenticate": "Authenticate",
            "user/add": "UserAdd",
            "user/get": "UserGet",
            "user/list": "UserList",
            "user/delete": "UserDelete",
            "user/changepw": "UserChangePassword",
            "user/grant": "UserGrantRole",
            "user/revoke": "UserRevokeRole",
            "role/add": "RoleAdd",
            "role/get": "RoleGet",
            "role/list": "RoleList",
            "role/delete": "RoleDelete",
            "role/grant": "RoleGrantPermission",
            "role/revoke": "RoleRevokePermission",
        },
    ),
    **_routes("v3lockpb.Lock", "lock/", {"lock": "Lock", "unlock": "Unlock"}),
    **_routes(
        "v3electionpb.Election",
        "election/",
        {
            "campaign": "Campaign",
            "proclaim": "Proclaim",
            "leader": "Leader",
            "observe": "Observe",
            "resign": "Resign",
        },
    ),
}


# Their request bodies stay open and may be silent for days.
_OPEN_BODIES = ("watch", "lease/keepalive")
# Their answers may be silent for days, and the client may have left meanwhile.
_LONG_WAITS = ("watch", "lock/lock", "election/campaign", "election/observe")


def is_gateway_path(path: str) -> bool:
    """Whether a path belongs to the gateway, known or not."""
    return path.startswith((PREFIX, *LEGACY_PREFIXES))


def all_paths(path: str) -> tuple[str, ...]:
    """Returns a route's path under every prefix it is served at."""
    rest = path.removeprefix(PREFIX)
    return (path, *(prefix + rest for prefix in LEGACY_PREFIXES))


OPEN_BODY_PATHS = tuple(served for path in _OPEN_BODIES for served in all_paths(PREFIX + path))
LONG_WAIT_PATHS = frozenset(served for path in _LONG_WAITS for served in all_paths(PREFIX + path))
