"""Comparing members' data: at the start of one, and now and then by the leader.

Members that have applied the same entries hold the same pairs, so they have the same HashKV at
the same revision and compaction. Which of them is wrong is for the majority to say; where
there is none (two members), the leader's word counts, as in etcd.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from miniraft.errors import EtcdError
from miniraft.peer.describe import PeerUnreachableError
from miniraft.runtime import log
from miniraft.runtime.hashing import KeyspaceHash, ask_hash, hash_keyspace
from miniraft.server.alarms import CORRUPT, alarm_request
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.runtime.node import Node

_ANSWER_TIMEOUT_MS = 10_000


class CorruptDataError(Exception):
    """This member's data is not what the others have. The message says what to do."""


def find_corrupt(own_id: int, hashes: Mapping[int, KeyspaceHash]) -> frozenset[int]:
    """Returns the members whose data differ, among hashes of one revision that include `own_id`'s.

    Only hashes with the same compaction can be compared; members at another one are not judged.
    """
    own = hashes[own_id]
    comparable = {
        member_id: hashed.hash
        for member_id, hashed in hashes.items()
        if hashed.compact_revision == own.compact_revision
    }
    common, count = Counter(comparable.values()).most_common(1)[0]
    right = common if 2 * count > len(comparable) else own.hash
    return frozenset(member_id for member_id, value in comparable.items() if value != right)


async def check_before_serving(node: Node, transport: GrpcPeerTransport) -> None:
    """Compares with whoever answers, at this member's own revision. Raises CorruptDataError."""
    revision = node.revision
    hashes = await _collect(node, transport, revision, timeout_ms=_ANSWER_TIMEOUT_MS)
    log.event("info", "compared the data with other members", revision=revision, members=len(hashes) - 1)
    own = hashes[node.member_id]
    differing = [
        node.name_of(member_id)
        for member_id, hashed in hashes.items()
        if hashed.compact_revision == own.compact_revision and hashed.hash != own.hash
    ]
    if differing:
        raise CorruptDataError(
            f"the data of this member differs from that of {', '.join(differing)} at revision {revision} "
            f"(feature gate InitialCorruptCheck). If the others agree with each other, replace this member: "
            f"'etcdctl member remove {node.member_id:x}' and 'etcdctl member add' on one of them, then start "
            f"it with an empty data directory and --initial-cluster-state=existing"
        )


async def check_periodically(node: Node, transport: GrpcPeerTransport, period_seconds: float) -> None:
    """Has the leader compare all members, once in a period, and raise alarms. Runs until cancelled."""
    while True:
        await asyncio.sleep(period_seconds)
        if node.leader != node.member_id:
            continue
        try:
            await check_once(node, transport)
        except EtcdError as error:
            log.event("warn", "could not compare the members' data", error=error.message)


async def check_once(node: Node, transport: GrpcPeerTransport) -> frozenset[int]:
    """Compares all members now; raises an alarm for each that differs, and returns them.

    Raises EtcdError when this member cannot be hashed or the alarm is not taken.
    """
    await node.read_index()
    hashes = await _collect(node, transport, node.revision, timeout_ms=_ANSWER_TIMEOUT_MS)
    corrupt = find_corrupt(node.member_id, hashes)
    for member_id in sorted(corrupt):
        log.event(
            "error",
            "found a member whose data differs",
            member=node.name_of(member_id),
            hashes={node.name_of(asked): f"{hashed.hash:08x}" for asked, hashed in hashes.items()},
            revision=hashes[node.member_id].hash_revision,
        )
        if not node.member.alarms.is_raised(member_id, CORRUPT):
            await node.propose(RequestKind.ALARM, alarm_request(member_id, CORRUPT))
    return corrupt


async def _collect(
    node: Node, transport: GrpcPeerTransport, revision: int, timeout_ms: int
) -> dict[int, KeyspaceHash]:
    """Returns the hashes of all members that answer."""
    others = [member.id for member in node.members() if member.id != node.member_id]
    own = asyncio.ensure_future(hash_keyspace(node, revision))
    answers = await asyncio.gather(
        own, *(ask_hash(transport, other, revision, timeout_ms) for other in others), return_exceptions=True
    )
    hashes: dict[int, KeyspaceHash] = {}
    for member_id, answer in zip((node.member_id, *others), answers, strict=True):
        if isinstance(answer, KeyspaceHash):
            hashes[member_id] = answer
        elif member_id == node.member_id or not isinstance(answer, EtcdError | PeerUnreachableError):
            raise answer
        else:
            log.event(
                "warn",
                "a member could not be asked for its hash",
                member=node.name_of(member_id),
                error=str(answer),
            )
    return hashes
