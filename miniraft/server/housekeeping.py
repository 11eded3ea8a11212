"""What a member proposes of its own accord: who it is, and the version the cluster agrees on.

Both can be lost on their way like any proposal, and nobody waits for them; so they are
proposed again until they are seen to have been applied. Applying one twice does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.pb.log_pb2 import PublishMember, SetClusterVersion
from miniraft.server.proposal import RequestKind
from miniraft.version import CLUSTER_VERSION

if TYPE_CHECKING:
    from miniraft.raft.interface import RaftCore
    from miniraft.server.config import MemberConfig
    from miniraft.server.membership import Cluster


class Housekeeping:
    """Which of the member's own proposals are due."""

    __slots__ = ("_config", "_publish_at_ms", "_version_at_ms")

    def __init__(self, config: MemberConfig) -> None:
        self._config = config
        self._publish_at_ms = 0
        self._version_at_ms = 0

    def due(self, raft: RaftCore, cluster: Cluster, now_ms: int) -> list[tuple[int, bytes]]:
        """Returns (kind, request) of what is to be proposed now, at most once a request timeout."""
        proposals: list[tuple[int, bytes]] = []
        if not raft.leader:
            return proposals
        if not cluster.version and raft.leader == raft.member_id and now_ms >= self._version_at_ms:
            self._version_at_ms = now_ms + self._config.request_timeout_ms
            message = SetClusterVersion(version=CLUSTER_VERSION)
            proposals.append((RequestKind.SET_CLUSTER_VERSION, message.SerializeToString()))
        if self._unpublished(cluster) and now_ms >= self._publish_at_ms:
            self._publish_at_ms = now_ms + self._config.request_timeout_ms
            proposals.append((RequestKind.PUBLISH_MEMBER, self._publication()))
        return proposals

    def _unpublished(self, cluster: Cluster) -> bool:
        own = cluster.member(self._config.member_id)
        return own is not None and (own.name, own.client_urls) != (
            self._config.name,
            self._config.client_urls,
        )

    def _publication(self) -> bytes:
        config = self._config
        message = PublishMember(
            member_id=config.member_id, name=config.name, client_urls=list(config.client_urls)
        )
        return message.SerializeToString()
