"""What a member offers to its client API. `runtime/node.py` implements it over a Member.

The API validates a request with `server/validation.py`, then either proposes it or reads.
Futures are plain asyncio futures: one for each request, no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from miniraft.mvcc.results import RangeResult, TxnResult
    from miniraft.pb.rpc_pb2 import RangeRequest, TxnRequest
    from miniraft.server.limits import Limits


class MemberInfo(NamedTuple):
    """One member of the cluster, as MemberList shows it."""

    id: int
    name: str  # empty until the member has published itself
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool


class MemberStatus(NamedTuple):
    """The figures of Maintenance.Status and of the metrics."""

    leader: int
    term: int
    commit_index: int
    applied_index: int
    db_size_bytes: int
    db_size_in_use_bytes: int
    is_learner: bool
    errors: tuple[str, ...]
    pending_proposals: int


class Service(Protocol):
    """The member behind the client API."""

    cluster_id: int
    member_id: int
    limits: Limits

    @property
    def term(self) -> int:
        """The current Raft term, for response headers."""

    @property
    def revision(self) -> int:
        """The keyspace's current revision, for response headers."""

    @property
    def leader(self) -> int:
        """The leader's member id, or 0."""

    @property
    def is_learner(self) -> bool:
        """Whether this member is a learner, which serves little. Asked on every request."""

    @property
    def cluster_version(self) -> str:
        """`X.Y.Z` agreed on by the members, or an empty string while undecided."""

    def propose(self, kind: int, request: bytes, header: bytes = b"") -> asyncio.Future[Any]:
        """Replicates a request; resolves once this member has applied it.

        Resolves to the result of its kind (PUT: PutResult, ...). Fails with EtcdError:
        timeouts, no leader, too large, too many requests, or what apply answered.
        """

    def read_index(self) -> asyncio.Future[None]:
        """Resolves once local reads are linearizable for requests that came in before the call."""

    def range(self, request: RangeRequest) -> RangeResult:
        """Reads locally. Raises EtcdError (compacted, future revision)."""

    def read_only_txn(self, request: TxnRequest) -> TxnResult:
        """Evaluates a transaction without writes locally. Raises EtcdError."""

    def hash_kv(self, revision: int) -> tuple[int, int, int]:
        """Returns (hash, compact revision or -1, revision hashed). Raises EtcdError."""

    def status(self) -> MemberStatus:
        """Returns the current figures."""

    def members(self) -> Sequence[MemberInfo]:
        """Returns the members in ascending id, as known locally."""

    def alarms(self) -> Sequence[tuple[int, int]]:
        """Returns (member id, AlarmType) of every alarm raised."""

    def has_space_for(self, cost_bytes: int) -> bool:
        """Whether the database quota leaves room for a request of this cost."""

    def transfer_leadership(self, target: int) -> asyncio.Future[None]:
        """Hands leadership to `target`; resolves when it leads. Fails with EtcdError."""
