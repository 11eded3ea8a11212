"""The Cluster service: who the members are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.pb.rpc_pb2 import Member, MemberListRequest, MemberListResponse

if TYPE_CHECKING:
    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service


class ClusterApi:
    """Handlers of `etcdserverpb.Cluster`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        return {"/etcdserverpb.Cluster/MemberList": self.member_list}

    async def member_list(self, call: Call, raw: bytes) -> bytes:
        """Lists the members; as this member knows them unless a linearizable answer is asked."""
        request = MemberListRequest.FromString(raw)
        if request.linearizable:
            await call.wait_on(self._service.read_index())
        members = [
            Member(
                ID=member.id,
                name=member.name,
                peerURLs=member.peer_urls,
                clientURLs=member.client_urls,
                isLearner=member.is_learner,
            )
            for member in self._service.members()
        ]
        return MemberListResponse(
            header=self._headers.message(revision=False), members=members
        ).SerializeToString()
