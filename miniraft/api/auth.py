"""The Auth service: logging in, users, roles, and whether authentication is on.

Changes are replicated and checked when they are applied. Passwords are hashed and compared
here, before, in threads: that takes a tenth of a second on purpose, and no password is logged.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from miniraft.api.guard import Guard, header_of
from miniraft.auth.caller import Caller
from miniraft.errors import (
    AUTH_FAILED,
    AUTH_NOT_ENABLED,
    AUTH_REVISION_OLD,
    NO_PASSWORD_USER,
    EtcdError,
)
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.log_pb2 import AssignToken
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service

_PREFIX = "/etcdserverpb.Auth/"
# Users may change while a password is being checked; then it is checked against the new state.
_LOGIN_ATTEMPTS = 10


class _Change(NamedTuple):
    """An RPC that is checked and carried out when it is applied, with nothing to do before."""

    kind: RequestKind
    request: type[Any]
    response: type[Any]


_CHANGES = {
    "AuthEnable": _Change(RequestKind.AUTH_ENABLE, rpc.AuthEnableRequest, rpc.AuthEnableResponse),
    "AuthDisable": _Change(RequestKind.AUTH_DISABLE, rpc.AuthDisableRequest, rpc.AuthDisableResponse),
    "UserDelete": _Change(RequestKind.USER_DELETE, rpc.AuthUserDeleteRequest, rpc.AuthUserDeleteResponse),
    "UserGrantRole": _Change(
        RequestKind.USER_GRANT_ROLE, rpc.AuthUserGrantRoleRequest, rpc.AuthUserGrantRoleResponse
    ),
    "UserRevokeRole": _Change(
        RequestKind.USER_REVOKE_ROLE, rpc.AuthUserRevokeRoleRequest, rpc.AuthUserRevokeRoleResponse
    ),
    "RoleAdd": _Change(RequestKind.ROLE_ADD, rpc.AuthRoleAddRequest, rpc.AuthRoleAddResponse),
    "RoleDelete": _Change(RequestKind.ROLE_DELETE, rpc.AuthRoleDeleteRequest, rpc.AuthRoleDeleteResponse),
    "RoleGrantPermission": _Change(
        RequestKind.ROLE_GRANT_PERMISSION,
        rpc.AuthRoleGrantPermissionRequest,
        rpc.AuthRoleGrantPermissionResponse,
    ),
    "RoleRevokePermission": _Change(
        RequestKind.ROLE_REVOKE_PERMISSION,
        rpc.AuthRoleRevokePermissionRequest,
        rpc.AuthRoleRevokePermissionResponse,
    ),
}


class AuthApi:
    """Handlers of `etcdserverpb.Auth`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)
        self._authorization = service.authorization
        self._credentials = service.credentials

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        handlers: dict[str, UnaryHandler] = {
            "AuthStatus": self.auth_status,
            "Authenticate": self.authenticate,
            "UserAdd": self.user_add,
            "UserChangePassword": self.user_change_password,
            "UserGet": self.user_get,
            "UserList": self.user_list,
            "RoleGet": self.role_get,
            "RoleList": self.role_list,
        }
        handlers.update((name, self._change_handler(change)) for name, change in _CHANGES.items())
        return {_PREFIX + name: handler for name, handler in handlers.items()}

    # Logging in -------------------------------------------------------------------------------
    async def auth_status(self, call: Call, raw: bytes) -> bytes:
        """Tells anybody whether authentication is on. Raises INVALID_AUTH_TOKEN."""
        rpc.AuthStatusRequest.FromString(raw)
        await self._guard.caller(call)  # a token is not needed, but a bad one is refused
        await call.wait_on(self._service.read_index())
        return rpc.AuthStatusResponse(
            header=self._headers.message(),
            enabled=self._authorization.enabled,
            authRevision=self._authorization.users.revision,
        ).SerializeToString()

    async def authenticate(self, call: Call, raw: bytes) -> bytes:
        """Gives a token for a password."""
        request = rpc.AuthenticateRequest.FromString(raw)
        await call.wait_on(self._service.read_index())
        for _ in range(_LOGIN_ATTEMPTS):
            caller = await self._check_password(request.name, request.password)
            token = await self._new_token(call, caller)
            if token is not None:
                return rpc.AuthenticateResponse(
                    header=self._headers.message(), token=token
                ).SerializeToString()
        raise AUTH_REVISION_OLD.fresh()

    async def _check_password(self, name: str, password: str) -> Caller:
        """Returns the user as of the revision at which the password was the right one."""
        if not self._authorization.enabled:
            raise AUTH_NOT_ENABLED.fresh()
        users = self._authorization.users
        caller = Caller(name, users.revision)
        user = users.user(name)
        if user is None:
            raise AUTH_FAILED.fresh()
        if user.options.no_password:
            raise NO_PASSWORD_USER.fresh()
        if not await self._credentials.is_password(password, user.password):
            raise AUTH_FAILED.fresh()
        return caller

    async def _new_token(self, call: Call, caller: Caller) -> str | None:
        """Returns a token, or None when users have changed since the password was checked."""
        token = self._credentials.signed_token(caller)
        if token is not None:
            return token if caller.auth_revision == self._authorization.users.revision else None
        request = AssignToken(letters=self._credentials.token_letters()).SerializeToString()
        proposed = self._service.propose(RequestKind.AUTHENTICATE, request, header_of(caller))
        try:
            given: str = await call.wait_on(proposed)
        except EtcdError as error:
            if error.message == AUTH_REVISION_OLD.message:
                return None
            raise
        return given

    # Changes ----------------------------------------------------------------------------------
    def _change_handler(self, change: _Change) -> UnaryHandler:
        async def handle(call: Call, raw: bytes) -> bytes:
            change.request.FromString(raw)
            return await self._change(call, change.kind, raw, change.response)

        return handle

    async def user_add(self, call: Call, raw: bytes) -> bytes:
        """Adds a user."""
        request = rpc.AuthUserAddRequest.FromString(raw)
        await self._guard.require_root(call)  # or anybody could keep the threads busy
        request.hashedPassword = ""
        if not request.options.no_password:
            request.hashedPassword = await self._hash(request.password)
        request.password = ""
        changed = request.SerializeToString()
        return await self._change(call, RequestKind.USER_ADD, changed, rpc.AuthUserAddResponse)

    async def user_change_password(self, call: Call, raw: bytes) -> bytes:
        """Replaces a password; without a new one the user can no longer log in with one."""
        request = rpc.AuthUserChangePasswordRequest.FromString(raw)
        await self._guard.require_root(call)
        request.hashedPassword = await self._hash(request.password) if request.password else ""
        request.password = ""
        return await self._change(
            call,
            RequestKind.USER_CHANGE_PASSWORD,
            request.SerializeToString(),
            rpc.AuthUserChangePasswordResponse,
        )

    async def _hash(self, password: str) -> str:
        return base64.b64encode(await self._credentials.hash_password(password)).decode()

    async def _change(
        self, call: Call, kind: RequestKind, request: bytes, response: Callable[..., Any]
    ) -> bytes:
        header = await self._guard.header(call)
        await call.wait_on(self._service.propose(kind, request, header))
        return self._answer(response())

    # Looking ----------------------------------------------------------------------------------
    async def user_get(self, call: Call, raw: bytes) -> bytes:
        """Lists a user's roles, to root and to the user."""
        request = rpc.AuthUserGetRequest.FromString(raw)
        self._authorization.check_user_shown(await self._caller(call), request.name)
        roles = self._authorization.users.existing_user(request.name).roles
        return self._answer(rpc.AuthUserGetResponse(roles=roles))

    async def user_list(self, call: Call, raw: bytes) -> bytes:
        """Lists all users, to root."""
        rpc.AuthUserListRequest.FromString(raw)
        self._authorization.check_root(await self._caller(call))
        return self._answer(rpc.AuthUserListResponse(users=self._authorization.users.users()))

    async def role_get(self, call: Call, raw: bytes) -> bytes:
        """Lists what a role grants, to root and to those who have it."""
        request = rpc.AuthRoleGetRequest.FromString(raw)
        self._authorization.check_role_shown(await self._caller(call), request.role)
        permissions = self._authorization.users.role_permissions(request.role)
        return self._answer(rpc.AuthRoleGetResponse(perm=permissions))

    async def role_list(self, call: Call, raw: bytes) -> bytes:
        """Lists all roles, to root."""
        rpc.AuthRoleListRequest.FromString(raw)
        self._authorization.check_root(await self._caller(call))
        return self._answer(rpc.AuthRoleListResponse(roles=self._authorization.users.roles()))

    async def _caller(self, call: Call) -> Caller:
        """Returns who calls once all changes before the call are known here."""
        await call.wait_on(self._service.read_index())
        return await self._guard.caller(call)

    def _answer(self, response: Any) -> bytes:
        response.header.CopyFrom(self._headers.message())
        answer: bytes = response.SerializeToString()
        return answer
