"""--force-new-cluster: asks whether the others really are gone, then writes what was planned."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from miniraft.peer.describe import PeerUnreachableError, describe_peer
from miniraft.runtime import log
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.force_new_cluster import plan_new_cluster
from miniraft.server.identity import format_id

if TYPE_CHECKING:
    from miniraft.mvcc.store import Store
    from miniraft.peer.security import PeerTls
    from miniraft.runtime.config import ServerConfig
    from miniraft.server.force_new_cluster import NewCluster
    from miniraft.server.service import MemberInfo
    from miniraft.wal.interface import RecoveredLog, WriteAheadLog

_DESCRIBE_TIMEOUT_MS = 1000


async def force_new_cluster(
    config: ServerConfig, wal: WriteAheadLog, recovered: RecoveredLog, store: Store, tls: PeerTls
) -> RecoveredLog:
    """Makes this member the only one of its cluster and returns its log as it is then.

    Raises BootstrapError when another member runs, or this one cannot stand alone;
    RestoreError, OSError.
    """
    plan = plan_new_cluster(recovered, store, config.max_learners)
    remedy = "take the flag out before members are added: a start with it would end their membership"
    if not plan.is_needed:
        log.event("warn", "--force-new-cluster: this member is alone already", fix=remedy)
        return recovered
    cluster_id = recovered.metadata.cluster_id
    await asyncio.gather(*(_check_is_gone(member, cluster_id, tls) for member in plan.others))
    log.event(
        "warn",
        "forcing restart member",
        cluster_id=format_id(cluster_id),
        local_member_id=format_id(plan.own.id),
        wal_commit_index=recovered.hard_state.commit,
        commit_index=plan.hard_state.commit + len(plan.changes),
        removed_members={format_id(member.id): ",".join(member.peer_urls) for member in plan.others},
        fix=remedy,
    )
    if set(plan.own.peer_urls) != set(config.initial_advertise_peer_urls):
        urls = ",".join(config.initial_advertise_peer_urls)
        log.event(
            "warn",
            "the member list keeps the peer URLs that this member had",
            peer_urls=",".join(plan.own.peer_urls),
            fix=f"etcdctl member update {format_id(plan.own.id)} --peer-urls={urls}",
        )
    await asyncio.to_thread(write_new_cluster, wal, plan)
    return replace(
        recovered,
        hard_state=plan.hard_state._replace(commit=plan.hard_state.commit + len(plan.changes)),
        entries=[entry for entry in recovered.entries if entry.index <= plan.hard_state.commit]
        + list(plan.changes),
    )


async def _check_is_gone(member: MemberInfo, cluster_id: int, tls: PeerTls) -> None:
    """A cluster of its own beside members that run would be a second one with the same ids."""
    for url in member.peer_urls:
        try:
            description = await describe_peer(url, tls, _DESCRIBE_TIMEOUT_MS)
        except PeerUnreachableError:
            continue
        if description.bootstrapped and description.cluster_id == cluster_id:
            raise BootstrapError(
                f"--force-new-cluster is for a member whose others are lost for good, but member "
                f"{member.name} ({format_id(member.id)}) answers at {url}. If this member only restarts: "
                f"leave the flag out. If most of the members are lost: stop those that still run, start the "
                f"one with the newest data with the flag, then remove the data of the others and add "
                f"them anew"
            )


def write_new_cluster(wal: WriteAheadLog, plan: NewCluster) -> None:
    """Writes the plan behind the log, each step durable before the next. Blocks. Raises OSError."""
    wal.append(plan.hard_state, ())
    wal.sync()
    for change in plan.changes:
        wal.append(None, (change,))
        wal.sync()
        wal.append(plan.hard_state._replace(commit=change.index), ())
        wal.sync()
