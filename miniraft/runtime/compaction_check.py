"""Comparing the hashes that members took at the same compaction (feature gate CompactHashCheck).

Compactions come by the log, so every member makes the same ones and hashes the same data at
each; comparing what was hashed anyway costs the members nothing. The leader takes the newest
compaction that all members can tell of. Where no majority agrees nobody can say who is wrong,
and the alarm names no member, as in etcd.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from miniraft.errors import EtcdError
from miniraft.peer.describe import PeerUnreachableError
from miniraft.runtime import log
from miniraft.runtime.hashing import KeyspaceHash, ask_hash
from miniraft.server.alarms import CORRUPT, alarm_request
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.mvcc.compaction_hashes import CompactionHash
    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.runtime.node import Node

NOBODY_KNOWS_WHO = 0  # the alarm's member where there is no majority
_ANSWER_TIMEOUT_MS = 10_000


def find_suspects(hashes: Mapping[int, int], member_count: int) -> frozenset[int]:
    """Returns the members that differ from the majority of `member_count`; none if all are the same.

    Without a majority for one hash: NOBODY_KNOWS_WHO alone.
    """
    common, count = Counter(hashes.values()).most_common(1)[0]
    suspects = frozenset(member_id for member_id, value in hashes.items() if value != common)
    if suspects and 2 * count <= member_count:
        return frozenset({NOBODY_KNOWS_WHO})
    return suspects


class CompactionCheck:
    """The leader's check. A member that comes to lead checks anew what it knows of."""

    def __init__(self, node: Node, transport: GrpcPeerTransport) -> None:
        self._node = node
        self._transport = transport
        self._checked_revision = 0  # up to here all members were found to agree

    async def run(self, period_seconds: float) -> None:
        """Checks once in a period, while this member leads. Runs until cancelled."""
        while True:
            await asyncio.sleep(period_seconds)
            if self._node.leader != self._node.member_id:
                continue
            try:
                await self.check()
            except EtcdError as error:
                log.event("warn", "could not raise the alarm for data that differ", error=error.message)

    async def check(self) -> frozenset[int]:
        """Compares the newest compaction that can be; raises alarms, and returns for whom.

        Raises EtcdError when the alarm is not taken.
        """
        for taken in self._node.member.keyspace.compaction_hashes.newest_first():
            if taken.revision <= self._checked_revision:
                break
            hashes = await self._collect(taken)
            member_count = len(self._node.members())
            suspects = find_suspects(hashes, member_count)
            if suspects:
                await self._raise_alarms(taken, hashes, suspects)
                return suspects
            if len(hashes) == member_count:
                self._checked_revision = taken.revision
                log.event("info", "all members agree on a compaction", revision=taken.revision)
                break
        return frozenset()

    async def _collect(self, taken: CompactionHash) -> dict[int, int]:
        """Returns the hashes of this member and of all others that took one at the same compaction."""
        others = [member.id for member in self._node.members() if member.id != self._node.member_id]
        answers = await asyncio.gather(
            *(ask_hash(self._transport, other, taken.revision, _ANSWER_TIMEOUT_MS) for other in others),
            return_exceptions=True,
        )
        hashes = {self._node.member_id: taken.hash}
        for member_id, answer in zip(others, answers, strict=True):
            if isinstance(answer, KeyspaceHash):
                if answer.compact_revision == taken.compact_revision:
                    hashes[member_id] = answer.hash
            elif not isinstance(answer, EtcdError | PeerUnreachableError):
                raise answer
        return hashes

    async def _raise_alarms(
        self, taken: CompactionHash, hashes: Mapping[int, int], suspects: frozenset[int]
    ) -> None:
        node = self._node
        log.event(
            "error",
            "members differ at a compaction",
            revision=taken.revision,
            compact_revision=taken.compact_revision,
            hashes={node.name_of(member_id): f"{value:08x}" for member_id, value in hashes.items()},
            suspects=[node.name_of(member_id) for member_id in sorted(suspects) if member_id],
        )
        for member_id in sorted(suspects):
            if not node.member.alarms.is_raised(member_id, CORRUPT):
                await node.propose(RequestKind.ALARM, alarm_request(member_id, CORRUPT))
