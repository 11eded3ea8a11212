"""From what is on disk to a member: the log and the store have to fit together.

The store holds everything up to its applied index, the log the entries behind its snapshot.
They fit when the applied index lies in the log: not before where the log begins (entries
would be missing between the two), and not behind where it ends (entries are applied only when
they are durable, so the log would have lost some).

One gap is no damage: a crash between the two steps of installing a leader's snapshot leaves
the log at the snapshot and the store still behind it. The driver has kept the snapshot's data
until both were done; when `needs_received_snapshot` says so it puts that data in place of the
store, then restores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.mvcc.keyspace import Keyspace
from miniraft.raft.interface import RestoredState
from miniraft.raft.raft import Raft
from miniraft.server.identity import format_id
from miniraft.server.member import Member
from miniraft.server.membership import Cluster
from miniraft.server.metastate import load_position

if TYPE_CHECKING:
    from random import Random

    from miniraft.mvcc.store import Store
    from miniraft.server.config import MemberConfig
    from miniraft.server.member_figures import MemberFigures
    from miniraft.wal.interface import RecoveredLog


class RestoreError(Exception):
    """Log and store do not belong together. The message says how, and what to do."""


def needs_received_snapshot(recovered: RecoveredLog, store: Store) -> bool:
    """Whether the log has a snapshot that did not get into the store before a crash."""
    return load_position(store).index < recovered.snapshot.index


def restore_member(
    config: MemberConfig,
    recovered: RecoveredLog,
    store: Store,
    random: Random,
    first_request_id: int,
    now_ms: int,
    figures: MemberFigures | None = None,
) -> Member:
    """Returns the member that left this log and this store, ready for its first tick.

    Raises RestoreError when they do not fit together or are another member's, ValueError when
    the store cannot be read, InvariantViolation when the log contradicts itself.
    """
    position = load_position(store)
    _check_owner(config, recovered)
    check_fit(recovered, position.index)
    raft = Raft(
        config.raft,
        RestoredState(
            recovered.hard_state, recovered.snapshot, recovered.entries, position.index, position.config
        ),
        random,
    )
    raft.snapshot_available(position)
    cluster = Cluster(store, config.max_learners)
    member = Member(config, raft, Keyspace(store), cluster, store, first_request_id, figures)
    member.start(now_ms)
    return member


def _check_owner(config: MemberConfig, recovered: RecoveredLog) -> None:
    found = recovered.metadata
    if (found.cluster_id, found.member_id) != (config.cluster_id, config.member_id):
        raise RestoreError(
            f"the log belongs to member {format_id(found.member_id)} of cluster"
            f" {format_id(found.cluster_id)},"
            f" not to member {format_id(config.member_id)} of cluster {format_id(config.cluster_id)}:"
            " point --data-dir at this member's own directory"
        )


def check_fit(recovered: RecoveredLog, applied: int) -> None:
    """Raises RestoreError when a store at entry `applied` does not belong to the log."""
    first = recovered.snapshot.index
    last = recovered.entries[-1].index if recovered.entries else first
    if applied < first:
        raise RestoreError(
            f"the keyspace ends at log entry {applied}, but the log begins only after entry {first}:"
            " what lies between is lost here. If only one of them was copied or restored, bring back"
            " both from the same moment; else remove this member (etcdctl member remove), add it again"
            " (etcdctl member add) and start it with an empty data directory"
        )
    if applied > last:
        raise RestoreError(
            f"the keyspace holds log entry {applied}, but the log ends at entry {last}: the log has lost"
            " entries that this member may have acknowledged, so it must not take part any more."
            " Bring back the whole log, or remove this member (etcdctl member remove), add it again"
            " (etcdctl member add) and start it with an empty data directory"
        )
