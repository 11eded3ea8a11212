"""When a member is ready for clients, and what is said while it is not."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from miniraft.runtime import log
from miniraft.runtime.bootstrap import check_earlier_life
from miniraft.server.bootstrap import BootstrapError

if TYPE_CHECKING:
    from miniraft.peer.security import PeerTls
    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.runtime.bootstrap import Beginning
    from miniraft.runtime.config import ServerConfig
    from miniraft.runtime.node import Node

_POLL_SECONDS = 0.01
_SAY_AGAIN_SECONDS = 5.0
_VERIFY_PAUSE_SECONDS = 0.05
_VERIFY_LONGEST_PAUSE_SECONDS = 1.0
_WAIT_FOR_PEERS_SECONDS = 5.0


def is_ready(node: Node, config: ServerConfig) -> bool:
    """Whether the member knows a leader and stands in its own member list as started."""
    own = node.member.cluster.member(node.member_id)
    return bool(
        node.leader
        and own is not None
        and own.name == config.name
        and own.client_urls == config.advertise_client_urls
        and node.member.raft.applied >= min(node.member.raft.committed, node.member.raft.durable)
    )


async def wait_until_ready(node: Node, transport: GrpcPeerTransport, config: ServerConfig) -> bool:
    """Returns True once the member is ready, False when it stopped before."""
    say_at = time.monotonic() + _SAY_AGAIN_SECONDS
    while not node.stopped.done():
        if is_ready(node, config):
            return True
        if time.monotonic() >= say_at:
            say_at += _SAY_AGAIN_SECONDS
            _say_what_is_missing(node, transport)
        await asyncio.sleep(_POLL_SECONDS)
    return False


def _say_what_is_missing(node: Node, transport: GrpcPeerTransport) -> None:
    voters = node.member.raft.config.voters
    quorum = len(voters) // 2 + 1
    connected = [node.name_of(voter) for voter in voters if transport.connected_since_ms(voter) is not None]
    missing = [
        node.name_of(voter)
        for voter in voters
        if voter != node.member_id and transport.connected_since_ms(voter) is None
    ]
    reached = len(connected) + (node.member_id in voters)
    if not voters:
        message = "waiting for the leader to send this new member its data"
    elif reached < quorum:
        message = f"waiting for a majority: {reached} of {len(voters)} members are here, {quorum} are needed"
    else:
        message = "waiting for a leader to be elected and to know this member's client URLs"
    log.event("warn", message, connected=connected, missing=missing, leader=f"{node.leader:x}")


async def hasten_first_election(node: Node, transport: GrpcPeerTransport, election_ticks: int) -> None:
    """Lets a cluster that has just started elect sooner: most of the first wait is left out.

    Done once another member is connected, as in etcd: before, nobody could answer.
    """
    until = time.monotonic() + _WAIT_FOR_PEERS_SECONDS
    while time.monotonic() < until and not node.leader and not node.stopped.done():
        if any(transport.connected_since_ms(voter) is not None for voter in node.member.raft.config.voters):
            node.skip_ticks(max(0, election_ticks - 2))
            return
        await asyncio.sleep(_POLL_SECONDS)


async def verify_peers(node: Node, beginning: Beginning, tls: PeerTls) -> None:
    """Asks every peer of a new cluster whether it knows this member from before.

    Messages to a peer go out only after it has answered; see `PeerLinks`.
    """

    async def verify(peer_id: int, urls: tuple[str, ...]) -> None:
        pause_seconds = _VERIFY_PAUSE_SECONDS
        while not node.stopped.done():
            try:
                if await check_earlier_life(
                    beginning.cluster_id, beginning.member_id, beginning.life, urls, tls
                ):
                    node.peer_verified(peer_id)
                    return
            except BootstrapError as error:
                node.fail(str(error))
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _VERIFY_LONGEST_PAUSE_SECONDS)

    await asyncio.gather(*(verify(peer_id, urls) for peer_id, urls in beginning.unverified_peers.items()))
