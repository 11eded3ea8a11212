"""Clients with leases: each is granted one, hangs keys on it, renews it for a while, and goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from miniraft.pb.rpc_pb2 import LeaseRevokeRequest, PutRequest
from miniraft.server.proposal import RequestKind
from miniraft.sim.onlooker import Onlooker

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from miniraft.server.effects import Reply
    from miniraft.server.member import Member
    from miniraft.sim.lease_checker import LeaseChecker
    from miniraft.sim.server import SimServer
    from miniraft.sim.world import World

_PAUSE_US = (20_000, 400_000)  # between two sessions
_PATIENCE_US = 1_500_000  # with one server
_RETRY_US = 50_000
_REVOKED_SHARE = 0.2  # of sessions, which end by themselves


@dataclass(slots=True, eq=False)
class _Question:
    """One request under way; `ended` is called with whether it was answered, and what with."""

    server: str
    started_us: int
    ended: Callable[[bool, object], None]


@dataclass(slots=True, eq=False)
class _Session:
    """One lease, from its grant on."""

    lease_id: int
    ttl_seconds: int
    renewals: int  # still to come
    keys: list[bytes]  # still to be put
    server: SimServer | None = None  # that renewed last: asked first, as clients keep their connections


class LeaseClients(Onlooker):
    """A few clients at a time, each with a session after the other."""

    def __init__(self, world: World, random: Random, checker: LeaseChecker) -> None:
        self.stopped = False  # no new sessions, no more renewals
        self._scheduler = world.scheduler
        self._random = random
        self._servers = world.servers
        self._checker = checker
        self._count = world.options.lease_clients
        self._last_id = 0
        self._waiting: dict[_Question, None] = {}

    def start(self) -> None:
        """All clients begin."""
        for _ in range(self._count):
            self._pause()

    # Onlooker ---------------------------------------------------------------------------------
    def replied(self, server: SimServer, reply: Reply) -> None:  # noqa: ARG002 (see Onlooker)
        """An answer, perhaps to one of these clients."""
        if isinstance(reply.handle, _Question):
            self._end(reply.handle, reply.error is None, reply.result)

    def crashed(self, server: SimServer) -> None:
        """The connections to this server break."""
        for question in [waiting for waiting in self._waiting if waiting.server == server.name]:
            self._end(question, False, None)

    # One client -------------------------------------------------------------------------------
    def _pause(self) -> None:
        self._scheduler.after(self._random.randint(*_PAUSE_US), self._begin)

    def _begin(self) -> None:
        if self.stopped:
            return
        self._last_id += 1
        lease_id, ttl = self._last_id, self._random.randint(2, 5)
        keys = [b"lease %d key %d" % (lease_id, number) for number in range(self._random.randrange(4))]
        session = _Session(lease_id, ttl, self._random.choice((0, 1, 3, 10)), keys)
        self._checker.asked_for(lease_id, ttl)
        started_us = self._scheduler.now_us

        def granted(answered: bool, _result: object) -> None:
            if answered:
                self._checker.acknowledged(lease_id, started_us)
                self._go_on(session)
            else:
                self._pause()

        def call(question: _Question, member: Member, now_ms: int) -> None:
            member.grant_lease(question, lease_id, ttl, b"", now_ms)

        self._ask(call, granted)

    def _go_on(self, session: _Session) -> None:
        if session.keys:
            put = PutRequest(key=session.keys.pop(), value=b"v", lease=session.lease_id)
            self._write(RequestKind.PUT, put.SerializeToString(), lambda *_: self._go_on(session))
        elif session.renewals > 0 and not self.stopped:
            session.renewals -= 1
            delay_us = int(session.ttl_seconds * 1_000_000 * self._random.uniform(0.1, 0.6))
            self._scheduler.after(delay_us, partial(self._renew, session))
        elif self._random.random() < _REVOKED_SHARE and not self.stopped:
            self._checker.revoking(session.lease_id)
            revoke = LeaseRevokeRequest(ID=session.lease_id).SerializeToString()
            self._write(RequestKind.LEASE_REVOKE, revoke, lambda *_: self._pause())
        else:
            self._pause()

    def _renew(self, session: _Session) -> None:
        """Asks one server after the other, until one is the leader or the session is given up."""
        if self.stopped:
            return
        started_us = self._scheduler.now_us
        server = session.server or self._random.choice(self._servers)

        def renewed(answered: bool, result: object) -> None:
            if not answered:
                session.server = None
                retry = partial(self._renew, session)
                self._scheduler.after(self._random.randint(1, _RETRY_US), retry)
            elif result is None:
                self._checker.refused(session.lease_id)
                self._pause()
            else:
                session.server = server
                self._checker.acknowledged(session.lease_id, started_us)
                self._go_on(session)

        def call(question: _Question, member: Member, now_ms: int) -> None:
            member.renew_lease(question, session.lease_id, now_ms)

        self._ask(call, renewed, server)

    # Requests ---------------------------------------------------------------------------------
    def _write(self, kind: RequestKind, request: bytes, ended: Callable[[bool, object], None]) -> None:
        def call(question: _Question, member: Member, now_ms: int) -> None:
            member.propose(question, kind, request, b"", now_ms)

        self._ask(call, ended)

    def _ask(
        self,
        call: Callable[[_Question, Member, int], None],
        ended: Callable[[bool, object], None],
        server: SimServer | None = None,
    ) -> None:
        server = server or self._random.choice(self._servers)
        question = _Question(server.name, self._scheduler.now_us, ended)
        self._waiting[question] = None
        if server.ask(partial(call, question)):
            self._scheduler.after(_PATIENCE_US, partial(self._end, question, False, None))
        else:
            self._scheduler.after(_RETRY_US, partial(self._end, question, False, None))

    def _end(self, question: _Question, answered: bool, result: object) -> None:
        if question in self._waiting:
            del self._waiting[question]
            question.ended(answered, result)
