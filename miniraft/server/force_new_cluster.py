"""--force-new-cluster: what makes a cluster of one out of a member whose others are lost for good.

The member keeps its ids, its log and its keyspace; the others leave by ordinary membership
changes at the end of the log, each committed before the next is written, as a leader would do
it. So whatever a crash leaves in between is a log like any other, and doing it again finishes.

The whole log counts as committed then, as when this member had been elected: its end may be
acknowledged, though it was not yet known here to be committed. (etcd drops that end.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from miniraft.errors import EtcdError
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import Bucket
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.raft.entry import Entry, EntryKind
from miniraft.raft.state import ConfigState, HardState
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.identity import format_id
from miniraft.server.membership import Cluster
from miniraft.server.metastate import load_position
from miniraft.server.restore import check_fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.mvcc.store import Store
    from miniraft.server.service import MemberInfo
    from miniraft.wal.interface import RecoveredLog


class NewCluster(NamedTuple):
    """What is to be written behind a log, in this order, each part durable before the next."""

    hard_state: HardState  # commits the log as it is
    changes: tuple[Entry, ...]  # each to be committed by a hard state of its own
    own: MemberInfo
    others: tuple[MemberInfo, ...]  # who belongs to the cluster no more
    is_needed: bool  # False: this member is alone already, nothing is to be written


def plan_new_cluster(recovered: RecoveredLog, store: Store, max_learners: int) -> NewCluster:
    """Returns how the member that left this log and this store becomes a cluster of its own.

    Raises BootstrapError when it cannot, RestoreError when log and store do not fit together.
    """
    position = load_position(store)
    check_fit(recovered, position.index)
    member_id = recovered.metadata.member_id
    if not position.index:
        raise BootstrapError(
            f"--force-new-cluster: member {format_id(member_id)} never got any data of its cluster: "
            "run it on a member that has some, or form a new cluster in an empty data directory"
        )
    entries = [entry for entry in recovered.entries if entry.term >= recovered.snapshot.term]
    cluster = _cluster_at_the_end(store, entries, position.index, max_learners)
    own = cluster.member(member_id)
    if own is None:
        raise BootstrapError(
            f"--force-new-cluster: member {format_id(member_id)} has been removed from its cluster, and an "
            "id never comes back. Its data can found another one: 'etcdutl-py snapshot restore DATA-DIR "
            "--skip-hash-check --data-dir NEW-FOLDER', with the DATA-DIR of this member"
        )
    others = tuple(member for member in cluster.members() if member.id != member_id)
    last = entries[-1] if entries else None
    last_index = last.index if last else recovered.snapshot.index
    term = 1 + max(recovered.hard_state.term, recovered.snapshot.term, last.term if last else 0)
    return NewCluster(
        HardState(term, member_id, last_index),
        tuple(_changes(own, others, last_index + 1, term)),
        own,
        others,
        bool(others) or position.config != ConfigState((member_id,)),
    )


def _cluster_at_the_end(
    store: Store, entries: Sequence[Entry], applied_index: int, max_learners: int
) -> Cluster:
    """Returns the membership once the whole log is applied; the store is left as it is."""
    scratch = MemoryStore()
    for bucket in (Bucket.MEMBERS, Bucket.MEMBERS_REMOVED):
        for key, value in store.scan(bucket):
            scratch.put(bucket, key, value)
    cluster = Cluster(scratch, max_learners)
    for entry in entries:
        if entry.kind != EntryKind.CONFIG_CHANGE or entry.index <= applied_index:
            continue
        try:
            cluster.apply(scratch, ConfigChange.FromString(entry.data))
        except EtcdError:
            continue  # it will be refused again, and changes nothing
    return cluster


def _changes(own: MemberInfo, others: Sequence[MemberInfo], first_index: int, term: int) -> list[Entry]:
    changes = [ConfigChange(kind=ConfigChange.PROMOTE, member_id=own.id)] if own.is_learner else []
    changes += [ConfigChange(kind=ConfigChange.REMOVE, member_id=other.id) for other in others]
    return [
        Entry(term, index, EntryKind.CONFIG_CHANGE, change.SerializeToString())
        for index, change in enumerate(changes, first_index)
    ]
