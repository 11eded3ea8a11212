"""The Cluster service: who the members are, and changes of that.

A change answers with the members as they are once it has been applied by the member asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.pb.rpc_pb2 import (
    Member,
    MemberAddRequest,
    MemberAddResponse,
    MemberListRequest,
    MemberListResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
)
from miniraft.server.peer_urls import parse_peer_urls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import MemberInfo, Service

_PREFIX = "/etcdserverpb.Cluster/"


class ClusterApi:
    """Handlers of `etcdserverpb.Cluster`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        return {
            _PREFIX + "MemberAdd": self.member_add,
            _PREFIX + "MemberRemove": self.member_remove,
            _PREFIX + "MemberUpdate": self.member_update,
            _PREFIX + "MemberList": self.member_list,
            _PREFIX + "MemberPromote": self.member_promote,
        }

    async def member_add(self, call: Call, raw: bytes) -> bytes:
        """Adds a member, which then has to be started."""
        request = MemberAddRequest.FromString(raw)
        urls = parse_peer_urls(request.peerURLs)
        await self._guard.require_root(call)
        added, members = await call.wait_on(self._service.administration.add_member(urls, request.isLearner))
        return MemberAddResponse(
            header=self._headers.message(revision=False), member=_member(added), members=_members(members)
        ).SerializeToString()

    async def member_remove(self, call: Call, raw: bytes) -> bytes:
        """Removes a member for good; it stops by itself if it runs."""
        request = MemberRemoveRequest.FromString(raw)
        await self._guard.require_root(call)
        members = await call.wait_on(self._service.administration.remove_member(request.ID))
        return MemberRemoveResponse(
            header=self._headers.message(revision=False), members=_members(members)
        ).SerializeToString()

    async def member_update(self, call: Call, raw: bytes) -> bytes:
        """Changes a member's peer URLs."""
        request = MemberUpdateRequest.FromString(raw)
        await self._guard.require_root(call)
        members = await call.wait_on(
            self._service.administration.update_member(request.ID, list(request.peerURLs))
        )
        return MemberUpdateResponse(
            header=self._headers.message(revision=False), members=_members(members)
        ).SerializeToString()

    async def member_promote(self, call: Call, raw: bytes) -> bytes:
        """Makes a learner a voter."""
        request = MemberPromoteRequest.FromString(raw)
        await self._guard.require_root(call)
        members = await call.wait_on(self._service.administration.promote_member(request.ID))
        return MemberPromoteResponse(
            header=self._headers.message(revision=False), members=_members(members)
        ).SerializeToString()

    async def member_list(self, call: Call, raw: bytes) -> bytes:
        """Lists the members; as this member knows them unless a linearizable answer is asked."""
        request = MemberListRequest.FromString(raw)
        if request.linearizable:
            await call.wait_on(self._service.read_index())
        await self._guard.require_user(call)
        return MemberListResponse(
            header=self._headers.message(revision=False), members=_members(self._service.members())
        ).SerializeToString()


def _members(members: Iterable[MemberInfo]) -> list[Member]:
    return [_member(member) for member in members]


def _member(member: MemberInfo) -> Member:
    return Member(
        ID=member.id,
        name=member.name,
        peerURLs=member.peer_urls,
        clientURLs=member.client_urls,
        isLearner=member.is_learner,
    )
