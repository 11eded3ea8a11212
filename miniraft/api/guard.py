"""Who calls, and whether they may: what handlers ask before they read or propose.

Handlers look at `guard.authorization.enabled` first where every microsecond counts; everything
here also passes while authentication is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.client_certificate import common_name
from miniraft.auth.caller import ANONYMOUS, Caller
from miniraft.pb.log_pb2 import ProposalHeader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from miniraft.api.asgi import Scope
    from miniraft.pb.rpc_pb2 import TxnRequest
    from miniraft.server.service import Service

    class AnyCall(Protocol):
        """A unary call or a stream."""

        metadata: Mapping[bytes, bytes]
        scope: Scope | None


class Guard:
    """Finds out who calls, and checks it against the service's users and roles."""

    def __init__(self, service: Service) -> None:
        self.authorization = service.authorization
        self._credentials = service.credentials

    async def caller(self, call: AnyCall) -> Caller:
        """Returns who calls: by token, else by certificate, else ANONYMOUS.

        May wait for a token of the future. Raises INVALID_AUTH_TOKEN.
        """
        if not self.authorization.enabled:
            return ANONYMOUS
        token = token_of(call.metadata)
        if token is not None:
            return await self._credentials.identify(token)
        if self._credentials.accepts_certificates and call.scope is not None:
            name = common_name(call.scope)
            if name is not None:
                return Caller(name, self.authorization.users.revision)
        return ANONYMOUS

    def ignores_certificate(self, scope: Scope) -> bool:
        """Whether a request by JSON comes with a certificate that would name a user by gRPC."""
        return (
            self.authorization.enabled and self._credentials.accepts_certificates and bool(common_name(scope))
        )

    async def header(self, call: AnyCall) -> bytes:
        """Returns the header of a proposal: it is checked when it is applied.

        Raises INVALID_AUTH_TOKEN.
        """
        if not self.authorization.enabled:
            return b""
        return header_of(await self.caller(call))

    async def require_user(self, call: AnyCall) -> None:
        """Lets any user pass. Raises INVALID_AUTH_TOKEN, USER_NAME_EMPTY."""
        if self.authorization.enabled:
            self.authorization.check_user(await self.caller(call))

    async def require_root(self, call: AnyCall) -> None:
        """Lets users with role root pass.

        Raises INVALID_AUTH_TOKEN, USER_NAME_EMPTY, USER_NOT_FOUND, PERMISSION_DENIED.
        """
        if self.authorization.enabled:
            self.authorization.check_root(await self.caller(call))

    async def require_read(self, call: AnyCall, key: bytes, range_end: bytes = b"") -> None:
        """Lets users pass who may read the whole range.

        Raises INVALID_AUTH_TOKEN, USER_NAME_EMPTY, AUTH_REVISION_OLD, PERMISSION_DENIED.
        """
        if self.authorization.enabled:
            self.authorization.check_read(await self.caller(call), key, range_end)

    async def require_txn(self, call: AnyCall, request: TxnRequest) -> None:
        """Lets users pass who may do everything in a transaction. Raises as `require_read` does."""
        if self.authorization.enabled:
            self.authorization.check_txn(await self.caller(call), request)


def header_of(caller: Caller) -> bytes:
    """Returns the header of a proposal by `caller`."""
    return ProposalHeader(username=caller.username, auth_revision=caller.auth_revision).SerializeToString()


def token_of(metadata: Mapping[bytes, bytes]) -> bytes | None:
    """Returns the token a call came with, which may be empty, or None without one."""
    token = metadata.get(b"token")
    if token is not None:
        return token
    token = metadata.get(b"authorization")
    return None if token is None else token.removeprefix(b"Bearer ")
