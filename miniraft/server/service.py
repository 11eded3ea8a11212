"""What a member offers to its client API. `runtime/node.py` implements it over a Member.

The API validates a request with `server/validation.py`, then either proposes it or reads.
Futures are plain asyncio futures: one for each request, no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from miniraft.auth.caller import Caller
    from miniraft.mvcc.results import LeaseGrantResult, LeaseTimes, RangeResult, TxnResult
    from miniraft.mvcc.watch.hub import WatchHub
    from miniraft.pb.rpc_pb2 import RangeRequest, TxnRequest
    from miniraft.server.administration import Administration
    from miniraft.server.authorization import Authorization
    from miniraft.server.limits import Limits
    from miniraft.server.member_figures import ApplyFigures


class MemberInfo(NamedTuple):
    """One member of the cluster, as MemberList shows it."""

    id: int
    name: str  # empty until the member has published itself
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool
    life: int = 0  # drawn when it began without data, 0 if that is not known; see `PublishMember`


class MemberStatus(NamedTuple):
    """The figures of Maintenance.Status and of the metrics."""

    leader: int
    term: int
    commit_index: int
    applied_index: int
    db_size_bytes: int
    db_size_in_use_bytes: int
    is_learner: bool
    errors: tuple[str, ...]  # no leader, and the alarms, as Status shows them
    pending_proposals: int


class Credentials(Protocol):
    """How users prove who they are: passwords, tokens, certificates."""

    accepts_certificates: bool  # whether the common name of a client's certificate is a user's name

    async def identify(self, token: bytes) -> Caller:
        """Returns whose token it is, and lets it live on. Raises INVALID_AUTH_TOKEN."""

    def signed_token(self, caller: Caller) -> str | None:
        """Returns a token that needs no replication; None where tokens are given out at apply.

        Raises VERIFY_ONLY_KEY, and AUTH_FAILED where there are no tokens at all.
        """

    def token_letters(self) -> str:
        """Returns fresh random letters for a token that is given out at apply."""

    async def hash_password(self, password: str) -> bytes:
        """Returns a bcrypt hash. Raises PASSWORD_TOO_LONG, TOO_MANY_REQUESTS."""

    async def is_password(self, password: str, password_hash: bytes) -> bool:
        """Whether a password is the one hashed. Raises TOO_MANY_REQUESTS."""


class Service(Protocol):
    """The member behind the client API."""

    cluster_id: int
    member_id: int
    limits: Limits
    authorization: Authorization  # lives as long as the service
    administration: Administration
    applies: ApplyFigures  # to be told of reads that took too long

    @property
    def credentials(self) -> Credentials:
        """How users prove who they are."""

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

    @property
    def watches(self) -> WatchHub:
        """The watches on the keyspace. History is replayed to them without further ado."""

    def call_when_leaderless(self, callback: Callable[[], None]) -> None:
        """Has `callback` called when no leader was known for three election timeouts, each time."""

    def grant_lease(
        self, lease_id: int, ttl_seconds: int, header: bytes = b""
    ) -> asyncio.Future[LeaseGrantResult]:
        """Replicates a lease; one that is shorter than etcd's shortest is made longer.

        `lease_id` 0: the member chooses one. Fails as `propose` does.
        """

    async def renew_lease(self, lease_id: int) -> LeaseTimes | None:
        """Has the leader give a lease its whole time again; None: there is no such lease (any more).

        Waits until a lease that has ended is revoked. Raises NO_LEADER, TIMED_OUT, SERVER_STOPPED.
        """

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseTimes | None:
        """Asks the leader how long a lease still has; None: there is no such lease.

        Raises NO_LEADER, TIMED_OUT, SERVER_STOPPED.
        """

    def leases(self) -> Sequence[int]:
        """Returns the ids of all leases as known here; on the leader the one that ends first in front."""

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
