"""How a member starts: what is on its disk, what it was told, and what the others say.

| data folder | --initial-cluster-state | what happens                                           |
|-------------|-------------------------|--------------------------------------------------------|
| has a log   | ignored                 | restart: who it is stands in the log; with             |
|             |                         | --force-new-cluster it goes on without the others      |
| empty       | new                     | a new cluster is formed, unless a peer knows this      |
|             |                         | member from before: then its data was lost, and it is  |
|             |                         | refused with what to type                              |
| empty       | existing                | the others are asked who this member is; it starts     |
|             |                         | empty and waits for the leader                         |

Why a lost disk must not go unnoticed: entries count as acknowledged because a majority has
them on disk. A voter that comes back empty under its old id could give its vote to a member
that lacks such an entry.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING

from miniraft.peer.describe import PeerUnreachableError, describe_peer
from miniraft.raft.state import NO_MEMBER, HardState
from miniraft.runtime import log
from miniraft.runtime.discovery import with_discovered_members
from miniraft.runtime.disk import RealDisk
from miniraft.runtime.force_new_cluster import force_new_cluster
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.bootstrap import (
    FIRST_INDEX,
    NOTHING,
    BootstrapError,
    check_own_entry,
    find_own_member,
    new_cluster,
    parse_initial_cluster,
    seed_store,
)
from miniraft.server.identity import format_id
from miniraft.server.metastate import load_position
from miniraft.server.restore import needs_received_snapshot
from miniraft.server.service import MemberInfo
from miniraft.wal.interface import RecoveredLog, WalMetadata
from miniraft.wal.wal import create_log, log_exists, open_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.pb import peer_pb2
    from miniraft.peer.security import PeerTls
    from miniraft.runtime.config import ServerConfig
    from miniraft.runtime.data_dir import DataFolder
    from miniraft.wal.wal import Wal

_DESCRIBE_TIMEOUT_MS = 1000
_JOIN_ATTEMPTS = 60
_JOIN_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class Beginning:
    """What a node is made of."""

    cluster_id: int
    member_id: int
    wal: Wal
    recovered: RecoveredLog
    store: LmdbStore
    assumed_members: tuple[MemberInfo, ...] = ()  # a joining member's knowledge of the others
    unverified_peers: dict[int, tuple[str, ...]] = field(default_factory=dict)  # id -> URLs, see `PeerLinks`
    life: int = (
        0  # drawn when there was no data; by it a peer's word of this life is told from an earlier one
    )


async def begin(config: ServerConfig, folder: DataFolder, tls: PeerTls) -> Beginning:
    """Returns the beginning that folder, flags and peers make up together.

    Raises BootstrapError, WalError, StoreRefused, OSError: each says what to do.
    """
    disk = RealDisk(folder.wal, unsafe_no_fsync=config.unsafe_no_fsync)
    if log_exists(disk):
        return await _restart(config, folder, disk, tls)
    if config.force_new_cluster:
        raise BootstrapError(
            f"--force-new-cluster makes a cluster of the data of one member, but there is no log in "
            f"{folder.wal}: point --data-dir (and --wal-dir) at that member's folder, or leave the flag out"
        )
    store = _open_store(config, folder)
    try:
        _check_no_lone_store(folder, store)
        config = await with_discovered_members(config)
        if config.initial_cluster_state == "existing":
            return await _join(config, disk, store, tls)
        return await _form(config, disk, store, tls)
    except BaseException:
        store.close()
        raise


# A log is there -----------------------------------------------------------------------------
async def _restart(config: ServerConfig, folder: DataFolder, disk: RealDisk, tls: PeerTls) -> Beginning:
    wal, recovered = await asyncio.to_thread(open_log, disk)
    for repair in recovered.repairs:
        log.event("warn", "repaired the end of the log", repair=repair)
    cluster_id, member_id = recovered.metadata
    log.event(
        "info",
        "restarting from the data directory: --initial-cluster, --initial-cluster-state and "
        "--initial-cluster-token are ignored",
        data_dir=str(folder.root),
        cluster_id=format_id(cluster_id),
        member_id=format_id(member_id),
        commit_index=recovered.hard_state.commit,
        entries=len(recovered.entries),
    )
    try:
        store = _open_store(config, folder)
        if needs_received_snapshot(recovered, store):
            store = _finish_installation(config, folder, recovered, store)
        await asyncio.to_thread(_defragment_if_worth_it, store, config.bootstrap_defrag_threshold_megabytes)
    except BaseException:
        wal.close()
        raise
    folder.remove_received()
    beginning = Beginning(cluster_id, member_id, wal, recovered, store)
    try:
        if config.force_new_cluster:
            beginning.recovered = await force_new_cluster(config, wal, recovered, store, tls)
        elif not load_position(store).index:
            # It was stopped before the leader's first word: it still has to be told who the others are.
            beginning.assumed_members = await _ask_who_is_there(config, tls, cluster_id)
    except BaseException:
        wal.close()
        store.close()
        raise
    return beginning


def _finish_installation(
    config: ServerConfig, folder: DataFolder, recovered: RecoveredLog, store: LmdbStore
) -> LmdbStore:
    received = folder.received_file(recovered.snapshot)
    if not received.exists():
        return store  # `restore_member` tells what is missing
    log.event("info", "finishing the installation of a snapshot", index=recovered.snapshot.index)
    store.close()
    folder.put_in_place(received)
    return _open_store(config, folder)


# Nothing is there ---------------------------------------------------------------------------
async def _form(config: ServerConfig, disk: RealDisk, store: LmdbStore, tls: PeerTls) -> Beginning:
    initial_cluster = _initial_cluster(config)
    if not config.discovery_srv:  # which found this member's own entry by its address
        check_own_entry(initial_cluster, config.name, config.initial_advertise_peer_urls)
    first = new_cluster(initial_cluster, config.name, config.initial_cluster_token)
    if config.discovery_srv:  # no member knows the others' names, and all must begin alike
        first = first._replace(members=tuple(member._replace(name="") for member in first.members))
    others = {member.id: member.peer_urls for member in first.members if member.id != first.member_id}
    life = SystemRandom().getrandbits(63) or 1
    await asyncio.gather(
        *(check_earlier_life(first.cluster_id, first.member_id, life, urls, tls) for urls in others.values())
    )
    seed_store(store, first)
    await _commit_now(store)
    metadata = WalMetadata(first.cluster_id, first.member_id)
    wal = await asyncio.to_thread(create_log, disk, metadata, first.snapshot)
    log.event(
        "info",
        "forming a new cluster",
        cluster_id=format_id(first.cluster_id),
        member_id=format_id(first.member_id),
        members={member.name or format_id(member.id): ",".join(member.peer_urls) for member in first.members},
        quorum=len(first.members) // 2 + 1,
    )
    hard_state = HardState(first.snapshot.term, NO_MEMBER, first.snapshot.index)
    recovered = RecoveredLog(metadata, hard_state, first.snapshot, [])
    return Beginning(first.cluster_id, first.member_id, wal, recovered, store, (), dict(others), life)


async def _join(config: ServerConfig, disk: RealDisk, store: LmdbStore, tls: PeerTls) -> Beginning:
    description = await _find_cluster(config, tls)
    members = _members_of(description)
    own = find_own_member(members, config.name, config.initial_advertise_peer_urls)
    metadata = WalMetadata(description.cluster_id, own.id)
    wal = await asyncio.to_thread(create_log, disk, metadata, NOTHING)
    log.event(
        "info",
        "joining an existing cluster",
        cluster_id=format_id(description.cluster_id),
        member_id=format_id(own.id),
        learner=own.is_learner,
    )
    recovered = RecoveredLog(metadata, HardState(0, NO_MEMBER, 0), NOTHING, [])
    return Beginning(description.cluster_id, own.id, wal, recovered, store, members)


# What the others say ------------------------------------------------------------------------
async def check_earlier_life(
    cluster_id: int, member_id: int, life: int, urls: Sequence[str], tls: PeerTls
) -> bool:
    """Asks one peer of a new cluster whether it knows this member from before.

    Returns whether it answered for sure: a peer that is down, or still starting, did not.
    Raises BootstrapError when it does know it: its data has been lost.
    """
    for url in urls:
        try:
            description = await describe_peer(url, tls, _DESCRIBE_TIMEOUT_MS)
        except PeerUnreachableError:
            continue
        if description.bootstrapped:
            _refuse_second_life(cluster_id, member_id, life, description)
            return True
    return False


def _refuse_second_life(
    cluster_id: int, member_id: int, life: int, description: peer_pb2.DescribeReply
) -> None:
    if description.cluster_id != cluster_id:
        raise BootstrapError(
            f"member {description.member_name} belongs to cluster {format_id(description.cluster_id)}, which "
            f"runs already; the flags here make up cluster {format_id(cluster_id)}. To join the running "
            f"one: 'etcdctl member add', then start with --initial-cluster-state=existing. To form a new "
            f"one: give all its members empty data directories and the same --initial-cluster and "
            f"--initial-cluster-token"
        )
    own = next((member for member in description.members if member.id == member_id), None)
    shown = format_id(member_id)
    again = "then start it with an empty data directory and --initial-cluster-state=existing"
    if own is None:
        raise BootstrapError(
            f"member {shown} has been removed from cluster {format_id(cluster_id)} (says "
            f"{description.member_name}); add it anew with 'etcdctl member add NAME --peer-urls=URL', {again}"
        )
    # It has published itself once, so it has had data: unless that was just now, in this life, and
    # the peer has learnt of it before it was asked.
    if own.client_urls and own.life != life:
        urls = ",".join(own.peer_urls)
        raise BootstrapError(
            f"member {own.name} ({shown}) has already been bootstrapped: it took part in cluster "
            f"{format_id(cluster_id)} before (says {description.member_name}), but its data directory is "
            f"empty. Starting it would risk writes that were acknowledged. If the data is elsewhere, point "
            f"--data-dir at it. If it is lost, run on a member that is up: 'etcdctl member remove {shown}' "
            f"and 'etcdctl member add {own.name} --peer-urls={urls}', {again}"
        )


async def _find_cluster(config: ServerConfig, tls: PeerTls) -> peer_pb2.DescribeReply:
    """Asks the other members of --initial-cluster until one knows its cluster."""
    urls = _other_urls(config)
    if not urls:
        raise BootstrapError(
            "--initial-cluster-state=existing needs the other members in --initial-cluster: "
            "'etcdctl member add' prints the value to use"
        )
    answers: dict[str, str] = {}
    for attempt in range(_JOIN_ATTEMPTS):
        for url in urls:
            try:
                description = await describe_peer(url, tls, _DESCRIBE_TIMEOUT_MS)
            except PeerUnreachableError as error:
                answers[url] = str(error)
                continue
            if description.bootstrapped:
                return description
            answers[url] = f"{url} is starting itself and does not know its cluster yet"
        if attempt == 0:
            log.event(
                "warn", "no member of the cluster answers yet, trying on", answers=list(answers.values())
            )
        await asyncio.sleep(_JOIN_PAUSE_SECONDS)
    raise BootstrapError(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given "
        f"URLs ({'; '.join(answers.values())}); start the other members, or correct --initial-cluster"
    )


async def _ask_who_is_there(config: ServerConfig, tls: PeerTls, cluster_id: int) -> tuple[MemberInfo, ...]:
    description = await _find_cluster(config, tls)
    if description.cluster_id != cluster_id:
        raise BootstrapError(
            f"cluster ID mismatch: the data directory belongs to cluster {format_id(cluster_id)}, "
            f"{description.member_name} to cluster {format_id(description.cluster_id)}; correct "
            f"--initial-cluster, or start with an empty data directory"
        )
    return _members_of(description)


def _other_urls(config: ServerConfig) -> list[str]:
    own = set(config.initial_advertise_peer_urls)
    listed = _initial_cluster(config).items()
    return [url for name, urls in listed for url in urls if name != config.name and url not in own]


def _initial_cluster(config: ServerConfig) -> dict[str, tuple[str, ...]]:
    if config.initial_cluster:
        return parse_initial_cluster(config.initial_cluster)
    return {config.name: tuple(sorted(config.initial_advertise_peer_urls))}


def _members_of(description: peer_pb2.DescribeReply) -> tuple[MemberInfo, ...]:
    return tuple(
        MemberInfo(
            member.id, member.name, tuple(member.peer_urls), tuple(member.client_urls), member.is_learner
        )
        for member in description.members
    )


# The disk -----------------------------------------------------------------------------------
def _open_store(config: ServerConfig, folder: DataFolder) -> LmdbStore:
    return LmdbStore(folder.store_file, unsafe_no_fsync=config.unsafe_no_fsync)


def _defragment_if_worth_it(store: LmdbStore, threshold_megabytes: int) -> None:
    """--bootstrap-defrag-threshold-megabytes; 0: never."""
    before_bytes = store.size_bytes()
    free_bytes = before_bytes - store.size_in_use_bytes()
    if not threshold_megabytes or free_bytes < threshold_megabytes << 20:
        return
    work = store.defragmentation()
    work.write()
    work.finish()
    work.close()
    log.event("info", "defragmented at start", before_bytes=before_bytes, size_bytes=store.size_bytes())


def _check_no_lone_store(folder: DataFolder, store: LmdbStore) -> None:
    """A keyspace without its log is not one to begin with."""
    index = load_position(store).index
    if index > FIRST_INDEX:
        raise BootstrapError(
            f"{folder.store_file} holds a keyspace up to log entry {index}, but there is no log in "
            f"{folder.wal}: point --wal-dir at it, or start with an empty data directory after "
            f"'etcdctl member remove' and 'etcdctl member add'"
        )


async def _commit_now(store: LmdbStore) -> None:
    commit = store.begin_commit()
    if commit is not None:
        await asyncio.to_thread(commit.write)
        commit.finish()
