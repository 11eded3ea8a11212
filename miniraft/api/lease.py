"""The Lease service: grants and revocations are replicated, time is asked of the leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.api.space import refuse_for_space
from miniraft.pb.rpc_pb2 import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseLeasesRequest,
    LeaseLeasesResponse,
    LeaseRevokeRequest,
    LeaseStatus,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from miniraft.server.alarms import LEASE_COST_BYTES
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from miniraft.api.call import Call, StreamCall, StreamHandler, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service

_PREFIX = "/etcdserverpb.Lease/"
_UNKNOWN_TTL = -1


class LeaseApi:
    """Handlers of `etcdserverpb.Lease`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the unary handlers by path."""
        return {
            _PREFIX + "LeaseGrant": self.lease_grant,
            _PREFIX + "LeaseRevoke": self.lease_revoke,
            _PREFIX + "LeaseTimeToLive": self.lease_time_to_live,
            _PREFIX + "LeaseLeases": self.lease_leases,
        }

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {_PREFIX + "LeaseKeepAlive": self.lease_keep_alive}

    async def lease_grant(self, call: Call, raw: bytes) -> bytes:
        """Grants a lease."""
        request = LeaseGrantRequest.FromString(raw)
        if not self._service.has_space_for(LEASE_COST_BYTES):
            await refuse_for_space(self._service, call)
        await self._guard.require_user(call)
        header = await self._guard.header(call)
        granted = await call.wait_on(self._service.grant_lease(request.ID, request.TTL, header))
        return LeaseGrantResponse(
            header=self._headers.message(), ID=granted.lease_id, TTL=granted.ttl_seconds
        ).SerializeToString()

    async def lease_revoke(self, call: Call, raw: bytes) -> bytes:
        """Ends a lease and deletes its keys, in one revision."""
        LeaseRevokeRequest.FromString(raw)
        await self._guard.require_user(call)
        header = await self._guard.header(call)
        result = await call.wait_on(self._service.propose(RequestKind.LEASE_REVOKE, raw, header))
        return self._headers.field(result.revision)

    async def lease_keep_alive(self, call: StreamCall) -> None:
        """Renews leases, one for each request; one that does not exist is answered with TTL 0."""
        authorization = self._guard.authorization
        while (raw := await call.receive()) is not None:
            lease_id = LeaseKeepAliveRequest.FromString(raw).ID
            if authorization.enabled:
                caller = await self._guard.caller(call)
                authorization.check_user(caller)
                authorization.check_lease_write(caller, lease_id)
            # As in etcd: of before the renewal, so that a client can trust what it saw up to there.
            response = LeaseKeepAliveResponse(header=self._headers.message(), ID=lease_id)
            renewed = await self._service.renew_lease(lease_id)
            if renewed is not None:
                response.TTL = renewed.granted_ttl_seconds
            await call.send(response.SerializeToString())

    async def lease_time_to_live(self, call: Call, raw: bytes) -> bytes:
        """Tells how long a lease still has."""
        request = LeaseTimeToLiveRequest.FromString(raw)
        await self._guard.require_user(call)
        times = await call.wait_for(self._service.lease_time_to_live(request.ID, with_keys=request.keys))
        response = LeaseTimeToLiveResponse(header=self._headers.message(), ID=request.ID, TTL=_UNKNOWN_TTL)
        if times is not None:
            for key in times.keys:  # as the leader knows them: this member may lag behind
                await self._guard.require_read(call, key)
            response.TTL = times.remaining_ttl_seconds
            response.grantedTTL = times.granted_ttl_seconds
            response.keys.extend(times.keys)
        return response.SerializeToString()

    async def lease_leases(self, call: Call, raw: bytes) -> bytes:
        """Lists the leases."""
        LeaseLeasesRequest.FromString(raw)
        await self._guard.require_user(call)
        ids = self._service.leases()
        if self._guard.authorization.enabled:
            caller = await self._guard.caller(call)
            for lease_id in ids:
                self._guard.authorization.check_lease_read(caller, lease_id)
        leases = [LeaseStatus(ID=lease_id) for lease_id in ids]
        return LeaseLeasesResponse(header=self._headers.message(), leases=leases).SerializeToString()
