"""Who may do what: the checks of requests against users and roles, for reads and at apply.

A write is checked when it is applied, on every member with the same result: the proposal's
header says who asked and as of which auth revision. A read is checked right before it is
answered. All of it is passed over while authentication is off; `enabled` says so, and is the
one thing that the hot path looks at.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from miniraft.auth.auth_store import AuthStore
from miniraft.auth.caller import Caller
from miniraft.auth.simple_tokens import SimpleTokens
from miniraft.errors import (
    AUTH_NOT_ENABLED,
    AUTH_REVISION_OLD,
    NO_PASSWORD_USER,
    PERMISSION_DENIED,
    USER_NAME_EMPTY,
    USER_NOT_FOUND,
)
from miniraft.pb.log_pb2 import AssignToken, ProposalHeader
from miniraft.pb.rpc_pb2 import (
    AuthRoleAddRequest,
    AuthRoleDeleteRequest,
    AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest,
    AuthUserAddRequest,
    AuthUserChangePasswordRequest,
    AuthUserDeleteRequest,
    AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest,
    DeleteRangeRequest,
    LeaseRevokeRequest,
    PutRequest,
    TxnRequest,
)
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from miniraft.auth.permissions import UserPermissions
    from miniraft.mvcc.lessor import Lessor
    from miniraft.mvcc.store import Store
    from miniraft.pb.rpc_pb2 import RequestOp

# What the receiving member has checked already and no change of users can make dangerous, and
# what members say to each other.
_NOT_CHECKED_AT_APPLY = frozenset(
    (
        RequestKind.COMPACT,
        RequestKind.LEASE_GRANT,
        RequestKind.ALARM,
        RequestKind.LEASE_CHECKPOINT,
        RequestKind.AUTHENTICATE,
        RequestKind.SET_CLUSTER_VERSION,
        RequestKind.PUBLISH_MEMBER,
    )
)


class Authorization:
    """Users, roles, tokens, and the checks over them. Lives as long as the member.

    Invariant: `enabled` is `users.enabled`.
    """

    def __init__(self, store: Store, token_ttl_ms: int) -> None:
        """Raises ValueError when the store cannot be read."""
        self.users = AuthStore(store)
        self.enabled = self.users.enabled
        self.tokens = SimpleTokens(token_ttl_ms)
        self.leases: Lessor | None = None  # set when there are leases; another after a snapshot
        self._checks: dict[int, Callable[[Caller, bytes], None]] = {
            RequestKind.PUT: lambda caller, raw: self.check_put(caller, PutRequest.FromString(raw)),
            RequestKind.DELETE_RANGE: lambda caller, raw: self.check_delete_range(
                caller, DeleteRangeRequest.FromString(raw)
            ),
            RequestKind.TXN: lambda caller, raw: self.check_txn(caller, TxnRequest.FromString(raw)),
            RequestKind.LEASE_REVOKE: lambda caller, raw: self.check_lease_write(
                caller, LeaseRevokeRequest.FromString(raw).ID
            ),
        }
        self._administration: dict[int, Callable[[bytes], None]] = {
            RequestKind.AUTH_ENABLE: self._enable,
            RequestKind.AUTH_DISABLE: self._disable,
            RequestKind.USER_ADD: self._add_user,
            RequestKind.USER_DELETE: self._delete_user,
            RequestKind.USER_CHANGE_PASSWORD: self._change_password,
            RequestKind.USER_GRANT_ROLE: self._grant_role,
            RequestKind.USER_REVOKE_ROLE: self._revoke_role,
            RequestKind.ROLE_ADD: self._add_role,
            RequestKind.ROLE_DELETE: self._delete_role,
            RequestKind.ROLE_GRANT_PERMISSION: self._grant_permission,
            RequestKind.ROLE_REVOKE_PERMISSION: self._revoke_permission,
        }

    def load(self, store: Store) -> None:
        """A snapshot has replaced the store. Raises ValueError when it cannot be read.

        Users may have changed in entries that were never seen here: then no token is safe.
        """
        before = self.users.revision
        self.users.load(store)
        self.enabled = self.users.enabled
        if not self.enabled or self.users.revision != before:
            self.tokens.clear()

    # At apply ---------------------------------------------------------------------------------
    @property
    def handlers(self) -> dict[int, Callable[[bytes], Any]]:
        """What applies a request that changes users, roles or authentication, by its kind."""
        return dict(self._administration)

    def check_proposal(self, kind: int, header: bytes, request: bytes) -> None:
        """Checks an entry that is about to be applied; called while authentication is on.

        A kind that nobody thought of is refused. Raises EtcdError.
        """
        if kind in _NOT_CHECKED_AT_APPLY:
            return
        who = ProposalHeader.FromString(header)
        if who.leader_term:
            return  # the members' own decision, such as the end of a lease
        caller = Caller(who.username, who.auth_revision)
        check = self._checks.get(kind)
        if check is not None:
            check(caller, request)
        else:
            self.check_root(caller)

    def assign_token(self, index: int, header: bytes, request: bytes) -> str:
        """Applies AUTHENTICATE: returns the token of the log entry at `index`.

        Raises AUTH_NOT_ENABLED, AUTH_REVISION_OLD: users have changed since the password was checked.
        """
        if not self.enabled:
            raise AUTH_NOT_ENABLED.fresh()
        who = ProposalHeader.FromString(header)
        if who.auth_revision != self.users.revision:
            raise AUTH_REVISION_OLD.fresh()
        return self.tokens.give(AssignToken.FromString(request).letters, index, who.username)

    # Checks of who it is ----------------------------------------------------------------------
    def check_user(self, caller: Caller) -> None:
        """Any user will do. Raises USER_NAME_EMPTY."""
        if self.enabled and not caller.auth_revision:
            raise USER_NAME_EMPTY.fresh()

    def check_root(self, caller: Caller) -> None:
        """Only users with role root. Raises USER_NAME_EMPTY, USER_NOT_FOUND, PERMISSION_DENIED.

        As in etcd an old auth revision is no obstacle: the role itself is looked at.
        """
        if not self.enabled:
            return
        if not caller.username:
            raise USER_NAME_EMPTY.fresh()
        permissions = self.users.permissions(caller.username)
        if permissions is None:
            raise USER_NOT_FOUND.fresh()
        if not permissions.is_root:
            raise PERMISSION_DENIED.fresh()

    def check_user_shown(self, caller: Caller, user_name: str) -> None:
        """Users may look at themselves. Raises what `check_root` does."""
        if caller.username != user_name:
            self.check_root(caller)

    def check_role_shown(self, caller: Caller, role_name: str) -> None:
        """Users may look at their own roles. Raises what `check_root` does."""
        user = self.users.user(caller.username)
        if user is None or role_name not in user.roles:
            self.check_root(caller)

    # Checks of keys ---------------------------------------------------------------------------
    # Each raises USER_NAME_EMPTY, AUTH_REVISION_OLD, PERMISSION_DENIED.
    def check_read(self, caller: Caller, key: bytes, range_end: bytes = b"") -> None:
        """Every key of the range must be readable."""
        if self.enabled and not self._permissions(caller).may_read(key, range_end):
            raise PERMISSION_DENIED.fresh()

    def check_write(self, caller: Caller, key: bytes, range_end: bytes = b"") -> None:
        """Every key of the range must be writable."""
        if self.enabled and not self._permissions(caller).may_write(key, range_end):
            raise PERMISSION_DENIED.fresh()

    def check_put(self, caller: Caller, request: PutRequest) -> None:
        """A put on a lease could later remove the lease's other keys: all must be writable."""
        self.check_write(caller, request.key)
        if request.lease:
            self.check_lease_write(caller, request.lease)
        if request.prev_kv:
            self.check_read(caller, request.key)

    def check_delete_range(self, caller: Caller, request: DeleteRangeRequest) -> None:
        """See `check_put`; what is deleted may be anything in the range."""
        self.check_write(caller, request.key, request.range_end)
        if request.prev_kv:
            self.check_read(caller, request.key, request.range_end)

    def check_txn(self, caller: Caller, request: TxnRequest) -> None:
        """All comparisons and both branches, at every depth: which is taken tells something too."""
        if not self.enabled:
            return
        for compare in request.compare[:]:
            self.check_read(caller, compare.key, compare.range_end)
        self._check_operations(caller, request.success[:])
        self._check_operations(caller, request.failure[:])

    def check_lease_write(self, caller: Caller, lease_id: int) -> None:
        """Every key on the lease must be writable. Root passes whatever its revision, as in etcd."""
        permissions = self.users.permissions(caller.username) if self.enabled else None
        if permissions is None or not permissions.is_root:
            for key in self._lease_keys(lease_id):
                self.check_write(caller, key)

    def check_lease_read(self, caller: Caller, lease_id: int) -> None:
        """Every key on the lease must be readable."""
        for key in self._lease_keys(lease_id):
            self.check_read(caller, key)

    def _check_operations(self, caller: Caller, operations: Sequence[RequestOp]) -> None:
        for operation in operations:
            kind = operation.WhichOneof("request")
            if kind == "request_range":
                self.check_read(caller, operation.request_range.key, operation.request_range.range_end)
            elif kind == "request_put":
                self.check_put(caller, operation.request_put)
            elif kind == "request_delete_range":
                self.check_delete_range(caller, operation.request_delete_range)
            elif kind == "request_txn":
                self.check_txn(caller, operation.request_txn)

    def _lease_keys(self, lease_id: int) -> Iterable[bytes]:
        lease = self.leases.find(lease_id) if self.enabled and self.leases is not None else None
        return () if lease is None else lease.keys

    def _permissions(self, caller: Caller) -> UserPermissions:
        if not caller.auth_revision:
            raise USER_NAME_EMPTY.fresh()
        if caller.auth_revision < self.users.revision:
            raise AUTH_REVISION_OLD.fresh()
        permissions = self.users.permissions(caller.username)
        if permissions is None:
            raise PERMISSION_DENIED.fresh()
        return permissions

    # Changes ----------------------------------------------------------------------------------
    def _enable(self, _request: bytes) -> None:
        self.users.enable()
        self.enabled = True

    def _disable(self, _request: bytes) -> None:
        self.users.disable()
        self.enabled = False
        self.tokens.clear()

    def _add_user(self, request: bytes) -> None:
        message = AuthUserAddRequest.FromString(request)
        no_password = message.options.no_password
        password_hash = b"" if no_password else _decode_hash(message.hashedPassword)
        self.users.add_user(message.name, password_hash, no_password=no_password)

    def _delete_user(self, request: bytes) -> None:
        name = AuthUserDeleteRequest.FromString(request).name
        self.users.delete_user(name)
        self.tokens.drop_user(name)

    def _change_password(self, request: bytes) -> None:
        message = AuthUserChangePasswordRequest.FromString(request)
        self.users.change_password(message.name, _decode_hash(message.hashedPassword))
        self.tokens.drop_user(message.name)

    def _grant_role(self, request: bytes) -> None:
        message = AuthUserGrantRoleRequest.FromString(request)
        self.users.grant_role(message.user, message.role)

    def _revoke_role(self, request: bytes) -> None:
        message = AuthUserRevokeRoleRequest.FromString(request)
        self.users.revoke_role(message.name, message.role)

    def _add_role(self, request: bytes) -> None:
        self.users.add_role(AuthRoleAddRequest.FromString(request).name)

    def _delete_role(self, request: bytes) -> None:
        self.users.delete_role(AuthRoleDeleteRequest.FromString(request).role)

    def _grant_permission(self, request: bytes) -> None:
        message = AuthRoleGrantPermissionRequest.FromString(request)
        self.users.grant_permission(message.name, message.perm if message.HasField("perm") else None)

    def _revoke_permission(self, request: bytes) -> None:
        message = AuthRoleRevokePermissionRequest.FromString(request)
        self.users.revoke_permission(message.role, message.key, message.range_end)


def _decode_hash(text: str) -> bytes:
    """Returns a bcrypt hash as it came through the log. Raises NO_PASSWORD_USER for no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NO_PASSWORD_USER.fresh() from None
