"""The member as its two drivers see it. `server/member.py` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.mvcc.interface import KeyspaceCore
    from miniraft.mvcc.store import Store
    from miniraft.mvcc.watch.hub import WatchHub
    from miniraft.raft.interface import RaftCore
    from miniraft.raft.message import Message
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.server.effects import Effects
    from miniraft.server.service import MemberInfo, MemberStatus


class MemberCore(Protocol):
    """Raft, keyspace and membership of one member, behind events and effects.

    The driver calls any number of events and then `drain` once: everything that waits is
    handled as one batch (one log record, one message to each peer, one apply).
    `now_ms` is monotonic and only ever compared with itself. Handles are the driver's own
    objects (futures, tokens); each gets exactly one Reply, also when the member stops.

    Invariant: a write is answered only when it is durable on a majority and applied here.
    """

    raft: RaftCore
    keyspace: KeyspaceCore
    watches: WatchHub  # the driver calls its `replay_step` while there is something to replay
    cluster_id: int
    member_id: int

    # Events -------------------------------------------------------------------------------
    def tick(self, now_ms: int) -> None:
        """One heartbeat interval has passed. Also ends requests that waited too long."""

    def receive(self, messages: Sequence[Message]) -> None:
        """Messages came in from peers."""

    def propose(self, handle: Any, kind: int, request: bytes, header: bytes, now_ms: int) -> None:
        """A client's write; answered with the result of its kind once applied here.

        Errors: REQUEST_TOO_LARGE, TOO_MANY_REQUESTS, TIMED_OUT and its variants,
        DEADLINE_EXCEEDED when no leader took it in time, SERVER_STOPPED, and what apply raises.
        While no leader is known it waits (an election is short) until the timeout.
        """

    def propose_config_change(self, handle: Any, change: bytes, now_ms: int) -> None:
        """A membership change (serialized ConfigChange), checked by the caller already."""

    def read_index(self, handle: Any, now_ms: int) -> None:
        """A linearizable read wants to start; answered with None when local reads will do.

        Errors: TIMED_OUT, LEADER_CHANGED, NO_LEADER, SERVER_STOPPED.
        """

    def grant_lease(self, handle: Any, lease_id: int, ttl_seconds: int, header: bytes, now_ms: int) -> None:
        """A client wants a lease, with an id of the member's choice if it is 0; a write otherwise.

        Answered with LeaseGrantResult. Errors: those of `propose`.
        """

    def renew_lease(self, handle: Any, lease_id: int, now_ms: int) -> None:
        """A lease is to have its whole time again: asked of the leader, and not replicated.

        Answered with LeaseTimes, or None when there is no such lease (any more: of one that has
        ended the answer waits until it is revoked). Errors: NOT_PRIMARY_LESSOR (another member
        has to be asked), LEADER_CHANGED, TIMED_OUT, SERVER_STOPPED.
        """

    def lease_time_to_live(self, handle: Any, lease_id: int, with_keys: bool, now_ms: int) -> None:
        """How long a lease still has. Answers and errors are those of `renew_lease`."""

    def transfer_leadership(self, handle: Any, target: int, now_ms: int) -> None:
        """Answered when `target` leads. Errors: NOT_LEADER, BAD_LEADER_TRANSFEREE, TIMED_OUT."""

    def persisted(self, sequence: int) -> None:
        """Everything in Persists up to `sequence` is durable."""

    def store_committed(self, applied_index: int) -> None:
        """The store's last commit holds everything up to `applied_index`: the log may be cut
        behind it (minus the entries kept for slow followers)."""

    def snapshot_installed(
        self, metadata: SnapshotMetadata, keyspace: KeyspaceCore, store: Store | None = None
    ) -> None:
        """The snapshot of `Effects.install_snapshot` is in place and durable.

        `store`: the new store, None when the old object has taken on the new contents.
        """

    def report_unreachable(self, member_id: int) -> None:
        """Messages to this peer were lost."""

    def report_disconnected(self, member_id: int) -> None:
        """This peer closed its connection: its process has ended, most likely."""

    def report_snapshot_sent(self, member_id: int, succeeded: bool) -> None:
        """A snapshot transfer to this peer ended."""

    def stop(self) -> None:
        """Answers everything that still waits with SERVER_STOPPED."""

    # Effects ------------------------------------------------------------------------------
    def drain(self) -> Effects:
        """Handles all events since the last call and takes what is to be done."""

    # State --------------------------------------------------------------------------------
    def status(self) -> MemberStatus:
        """The figures of Maintenance.Status (sizes are the store's)."""

    def members(self) -> Sequence[MemberInfo]:
        """The members in ascending id."""

    @property
    def applied_snapshot(self) -> SnapshotMetadata:
        """Index, term and membership as of the last applied entry: what a copy of the store,
        committed now, stands for. Also kept in the store itself, in Bucket.META."""

    @property
    def cluster_version(self) -> str:
        """The agreed version, empty while undecided."""
