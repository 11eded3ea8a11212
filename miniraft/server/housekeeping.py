"""What a member proposes of its own accord: who it is, the version the cluster agrees on, alarms.

All of them can be lost on their way like any proposal, and nobody waits for them; so they are
proposed again until they are seen to have been applied. Applying one twice does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.pb.log_pb2 import PublishMember, SetClusterVersion
from miniraft.server.alarms import alarm_request
from miniraft.server.proposal import RequestKind
from miniraft.version import CLUSTER_VERSION

if TYPE_CHECKING:
    from miniraft.raft.interface import RaftCore
    from miniraft.server.config import MemberConfig
    from miniraft.server.membership import Cluster


class Housekeeping:
    """Which of the member's own proposals are due."""

    __slots__ = (
        "_alarms_at_ms",
        "_alarms_wanted",
        "_config",
        "_publish_at_ms",
        "_version_at_ms",
        "common_version",
    )

    def __init__(self, config: MemberConfig) -> None:
        self._config = config
        self._publish_at_ms = 0
        self._version_at_ms = 0
        self._alarms_at_ms = 0
        self._alarms_wanted: set[int] = set()  # not raised yet
        self.common_version = CLUSTER_VERSION  # what all members understand, as far as is known

    def alarm_wanted(self, alarm: int) -> None:
        """This member has reason to raise an alarm."""
        self._alarms_wanted.add(alarm)

    def alarm_raised(self, alarm: int) -> None:
        """An alarm of this member stands: if it is disarmed there must be a new reason to raise it."""
        self._alarms_wanted.discard(alarm)
        self._alarms_at_ms = 0

    def due(self, raft: RaftCore, cluster: Cluster, now_ms: int) -> list[tuple[int, bytes]]:
        """Returns (kind, request) of what is to be proposed now, at most once a request timeout."""
        proposals: list[tuple[int, bytes]] = []
        if not raft.leader:
            return proposals
        leads = raft.leader == raft.member_id
        if leads and cluster.version != self.common_version and now_ms >= self._version_at_ms:
            self._version_at_ms = now_ms + self._config.request_timeout_ms
            message = SetClusterVersion(version=self.common_version)
            proposals.append((RequestKind.SET_CLUSTER_VERSION, message.SerializeToString()))
        if self._unpublished(cluster) and now_ms >= self._publish_at_ms:
            self._publish_at_ms = now_ms + self._config.request_timeout_ms
            proposals.append((RequestKind.PUBLISH_MEMBER, self._publication()))
        if self._alarms_wanted:
            proposals += self._due_alarms(now_ms)
        return proposals

    def _due_alarms(self, now_ms: int) -> list[tuple[int, bytes]]:
        if now_ms < self._alarms_at_ms:
            return []
        self._alarms_at_ms = now_ms + self._config.request_timeout_ms
        own_id = self._config.member_id
        return [(RequestKind.ALARM, alarm_request(own_id, alarm)) for alarm in sorted(self._alarms_wanted)]

    def _unpublished(self, cluster: Cluster) -> bool:
        own = cluster.member(self._config.member_id)
        return own is not None and (own.name, own.client_urls) != (
            self._config.name,
            self._config.client_urls,
        )

    def _publication(self) -> bytes:
        config = self._config
        message = PublishMember(
            member_id=config.member_id,
            name=config.name,
            client_urls=list(config.client_urls),
            life=config.life,
        )
        return message.SerializeToString()
