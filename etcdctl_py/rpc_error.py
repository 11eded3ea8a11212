"""Errors the server sends, in both generations of the gateway's JSON, and what to do about them."""

from __future__ import annotations

import json
from typing import Any

from etcdctl_py.failure import CommandError, ExitCode

_CODE_NAMES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
_UNAVAILABLE = 14
_STALE_TOKEN = frozenset({"etcdserver: invalid auth token", "etcdserver: revision of auth store is old"})
# A member that answers with one of these has not even looked at the request.
_NEVER_APPLIED = frozenset({"etcdserver: rpc not supported for learner", "etcdserver: not capable"})

_ADVICE = {
    "etcdserver: mvcc: database space exceeded": (
        "The store is full: no more writes until it is made smaller. Three steps:",
        "  1. etcdctl-py compaction <revision>   (the revision from 'endpoint status -w fields')",
        "  2. etcdctl-py defrag --cluster        (gives the freed space back)",
        "  3. etcdctl-py alarm disarm            (allows writes again)",
    ),
    "etcdserver: no leader": (
        "The member is up but sees no leader: most members are down or cannot reach each other.",
        "See who is there with: etcdctl-py endpoint health --cluster",
    ),
    "etcdserver: request timed out": (
        "The member took the request but no majority confirmed it in time. It may still be carried out.",
        "See who is there with: etcdctl-py endpoint status -w table, on all endpoints",
    ),
    "etcdserver: user name is empty": (
        "Authentication is on: name yourself with --user name:password (or ETCDCTL_USER).",
    ),
    "etcdserver: permission denied": (
        "The user's roles do not allow this. Shown by: etcdctl-py user get <name> --detail",
    ),
    "etcdserver: authentication failed, invalid user ID or password": (
        "Check --user and the password; user names are case-sensitive.",
    ),
    "etcdserver: mvcc: required revision has been compacted": (
        "History before the compaction is gone. Leave out --rev for the present state.",
    ),
    "etcdserver: request is too large": (
        "The member's limit is its --max-request-bytes (1.5 MiB unless set otherwise).",
    ),
    "etcdserver: too many operations in txn request": (
        "The member's limit is its --max-txn-ops (128 unless set otherwise): split the transaction.",
    ),
    "etcdserver: not leader": (
        "Send it to the leader: etcdctl-py endpoint status --cluster -w table shows which one that is.",
    ),
    "etcdserver: rpc not supported for learner": (
        "This endpoint is a learner. Add a voting member to --endpoints.",
    ),
    "etcdserver: unhealthy cluster": (
        "With this change the members that are up would lose their majority.",
        "Bring the others back first: etcdctl-py endpoint health --cluster",
    ),
    "etcdserver: re-configuration failed due to not enough started members": (
        "With this change the started members would lose their majority.",
        "Start the members that 'etcdctl-py member list' shows as unstarted, or remove them first.",
    ),
    "etcdserver: root user does not exist": ("Make it first: etcdctl-py user add root",),
    "etcdserver: corrupt cluster": (
        "A member's data differs from the others': compare with etcdctl-py endpoint hashkv --cluster.",
    ),
}
_ADVICE["etcdserver: request timed out, possibly due to previous leader failure"] = _ADVICE[
    "etcdserver: request timed out"
]
_ADVICE["etcdserver: request timed out, possibly due to connection lost"] = _ADVICE[
    "etcdserver: request timed out"
]


class RpcError(CommandError):
    """An error the server sent. `text` is its own message, `status` the gRPC code."""

    def __init__(self, status: int, text: str, notes: tuple[str, ...] = ()) -> None:
        super().__init__(_shown(status, text), ExitCode.ERROR, notes or _ADVICE.get(text, ()))
        self.status = status
        self.text = text

    @property
    def token_is_stale(self) -> bool:
        """Whether logging in again may help."""
        return self.text in _STALE_TOKEN

    @property
    def may_pass_elsewhere(self) -> bool:
        """Whether another member may answer."""
        return self.status == _UNAVAILABLE

    @property
    def never_applied(self) -> bool:
        """Whether the member surely left the request alone."""
        return self.text in _NEVER_APPLIED


def _shown(status: int, text: str) -> str:
    """etcd's own messages stand alone; others name their code."""
    if text.startswith(("etcdserver: ", "etcdclient: ")):
        return text
    if status == 4 and text == "context deadline exceeded":
        return text
    name = _CODE_NAMES[status] if 0 <= status < len(_CODE_NAMES) else f"Code({status})"
    return f"rpc error: code = {name} desc = {text}"


def read_error(http_status: int, content: bytes, endpoint: str, path: str) -> CommandError:
    """Reads an error body of either gateway generation, or explains an answer that is none."""
    try:
        body: Any = json.loads(content)
    except ValueError:
        body = None
    nested = body.get("error") if isinstance(body, dict) else None
    if isinstance(nested, dict):
        body = nested
    if isinstance(body, dict):
        text = body.get("message") or body.get("error")
        code = body.get("grpc_code", body.get("code"))
        if isinstance(text, str) and isinstance(code, int) and not (code == 5 and text == "Not Found"):
            return RpcError(code, text)
    return _explain_answer(http_status, content, endpoint, path)


def _explain_answer(http_status: int, content: bytes, endpoint: str, path: str) -> CommandError:
    start = content[:200].decode("utf-8", "replace").strip().replace("\n", " ")
    if b"CommonName of client" in content:
        return CommandError(
            f"{endpoint} refuses the client certificate over HTTP: it carries a CommonName",
            ExitCode.ERROR,
            (
                "With authentication on, etcd takes no user from a certificate over its JSON API.",
                "Use a client certificate without CN together with --user name:password.",
            ),
        )
    if http_status == 404:
        return CommandError(
            f"{endpoint} does not know {path} (HTTP 404)",
            ExitCode.ERROR,
            (
                "Either this is not a client URL of etcd (is it the peer port, 2380?), or the member is too",
                "old for this command, or it runs with --enable-grpc-gateway=false.",
            ),
        )
    if http_status == 421:
        return CommandError(
            f"{endpoint} refuses this host name (HTTP 421)",
            ExitCode.ERROR,
            ("The member runs with --host-whitelist: add the name there, or use an address it allows.",),
        )
    return CommandError(
        f"{endpoint} did not answer as etcd does (HTTP {http_status}): {start or 'empty body'}",
        ExitCode.ERROR,
        ("Is another server, or a proxy, listening there? Check --endpoints.",),
    )
