"""Operators: each has a wish about the membership, asks some member, waits, and has another wish.

They add members as voters or learners and start machines for them, promote, remove (leaders too),
replace machines that are lost, move members to other URLs, and ask for nonsense. Some keep to the
strict checks, others do not. They ask whoever runs, be it cut off, deposed or removed itself.

What no operator does is to give up more machines than a cluster can bear to lose: while a lost
machine's member is in the membership, its removal is all they ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from miniraft.errors import NOT_LEADER, EtcdError
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.server import reconfiguration
from miniraft.server.identity import added_member_id
from miniraft.sim.machines import peer_url
from miniraft.sim.onlooker import Onlooker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from miniraft.server.effects import Reply
    from miniraft.server.member import Member
    from miniraft.server.service import MemberInfo
    from miniraft.sim.machines import Machines
    from miniraft.sim.membership_checker import MembershipChecker
    from miniraft.sim.membership_model import MembershipModel
    from miniraft.sim.server import SimServer
    from miniraft.sim.world import World

_WHO = "operator"
_SIZES = (1, 2, 3, 3, 3, 4, 5, 5)  # how many voters they want
_NEW_SIZE_SHARE = 0.15  # of wishes, before which they want another size
_PATIENCE_US = (300_000, 3_000_000)
_START_DELAY_US = (0, 700_000)  # from the wish to add a member to the start of its machine
_START_RETRY_US = 300_000
_MOVE_DELAY_US = (0, 1_000_000)
_SMALLEST_TO_LOSE_ONE = 3  # voters
_LOST_SHARE = 0.3  # of removals to replace a voter, in which its machine is lost first


@dataclass(slots=True, eq=False)
class _Wish:
    """One change that somebody waits for."""

    change: ConfigChange
    server: SimServer
    is_over: bool = False


class Operators(Onlooker):
    """A few operators, each with one wish after the other."""

    def __init__(
        self,
        world: World,
        random: Random,
        machines: Machines,
        model: MembershipModel,
        checker: MembershipChecker,
    ) -> None:
        self.stopped = False  # no new wishes
        self._world = world
        self._random = random
        self._machines = machines
        self._model = model
        self._checker = checker
        self._wanted_size = world.options.nodes
        self._waiting: dict[_Wish, None] = {}

    def start(self) -> None:
        """All operators begin."""
        for _ in range(self._world.options.operators):
            self._pause()
        if self._world.options.operators:
            self._move_members()

    @property
    def lost(self) -> list[SimServer]:
        """The machines that are lost for good, and whose member is still in the membership."""
        machines = self._world.machines
        return [
            machines[member_id] for member_id in self._model.newest.members if machines[member_id].destroyed
        ]

    # Onlooker ---------------------------------------------------------------------------------
    def replied(self, server: SimServer, reply: Reply) -> None:
        """An answer, perhaps to an operator."""
        wish = reply.handle
        if not isinstance(wish, _Wish):
            return
        if reply.error is None:
            self._checker.acknowledged(server, wish.change)
        self._tell(wish, "done" if reply.error is None else f"failed: {reply.error.message}")
        self._end(wish)

    def crashed(self, server: SimServer) -> None:
        """The connections to this server break."""
        for wish in [waiting for waiting in self._waiting if waiting.server is server]:
            self._end(wish)

    # One operator -----------------------------------------------------------------------------
    def _pause(self) -> None:
        self._world.scheduler.after(self._random.randint(*self._world.options.wish_us), self._begin)

    def _begin(self) -> None:
        if self.stopped:
            return
        running = [server for server in self._world.servers if server.running]
        if not running or self._random.random() < 0.05:
            self._pause()
            return
        if self._random.random() < _NEW_SIZE_SHARE:
            self._wanted_size = self._random.choice(_SIZES)
        server = self._random.choice(running)
        wish = _Wish(ConfigChange(), server)
        self._waiting[wish] = None
        self._world.scheduler.after(self._random.randint(*_PATIENCE_US), partial(self._end, wish))
        if not server.ask(lambda member, now_ms: self._ask(wish, member, now_ms)):
            self._end(wish)

    def _end(self, wish: _Wish) -> None:
        """The operator waits no longer; what it asked for may still happen."""
        if wish in self._waiting:
            del self._waiting[wish]
            self._pause()

    def _ask(self, wish: _Wish, member: Member, now_ms: int) -> None:
        if wish not in self._waiting:
            return
        change = self._choose(wish.server, member)
        if change is None or not wish.server.running:
            self._end(wish)
            return
        wish.change = change
        try:
            self._judge(wish, member)
        except EtcdError as error:
            self._tell(wish, f"is refused: {error.message}")
            self._end(wish)
            return
        self._tell(wish, "asked for")
        if change.kind in (ConfigChange.ADD_VOTER, ConfigChange.ADD_LEARNER):
            self._prepare_machine(change)
        member.propose_config_change(wish, change.SerializeToString(), now_ms)

    def _tell(self, wish: _Wish, what: str) -> None:
        change = wish.change
        kind = ConfigChange.Kind.Name(change.kind)
        name = self._world.names.get(change.member_id, f"{change.member_id:x}")
        self._world.trace.tell(
            _WHO, f"{kind} {name} {' '.join(change.peer_urls)} at {wish.server.name} {what}"
        )

    # What is asked for ------------------------------------------------------------------------
    def _choose(self, server: SimServer, member: Member) -> ConfigChange | None:
        random = self._random
        lost = self.lost
        if lost:
            return _removal(random.choice(lost).member_id) if random.random() < 0.7 else None
        members = member.members()
        learners = [known for known in members if known.is_learner]
        voters = [known for known in members if not known.is_learner]
        if not voters:
            return None  # it has not heard of its cluster yet
        if random.random() < 0.1:
            return self._nonsense(members)
        if random.random() < 0.1:
            return self._new_url(random.choice(members))
        if learners and random.random() < 0.7:
            kind = ConfigChange.PROMOTE if random.random() < 0.9 else ConfigChange.REMOVE
            return ConfigChange(kind=kind, member_id=random.choice(learners).id)
        if len(voters) < self._wanted_size:
            return self._addition()
        if len(voters) == self._wanted_size and random.random() < 0.5:
            return self._replacement(voters)
        if len(voters) > self._wanted_size:
            return _removal(
                server.member_id if server.leads and random.random() < 0.5 else random.choice(voters).id
            )
        return None

    def _addition(self) -> ConfigChange:
        kind = self._random.choice((ConfigChange.ADD_VOTER, ConfigChange.ADD_LEARNER))
        return self._addition_at(kind, self._free_url())

    def _addition_at(self, kind: ConfigChange.Kind, url: str) -> ConfigChange:
        # Seconds would do for operators, who are not so fast: here every time is another.
        member_id = added_member_id([url], self._world.scheduler.now_us)
        return ConfigChange(kind=kind, member_id=member_id, peer_urls=[url])

    def _replacement(self, voters: Sequence[MemberInfo]) -> ConfigChange:
        """Adds the new one first, or removes the old one first, and that perhaps because it is lost."""
        if self._random.random() < 0.3:
            return self._addition()
        old = self._random.choice(voters)
        if self._random.random() < _LOST_SHARE:
            self._lose_machine(old.id)
        return _removal(old.id)

    def _new_url(self, member: MemberInfo) -> ConfigChange:
        return ConfigChange(kind=ConfigChange.UPDATE, member_id=member.id, peer_urls=[self._free_url()])

    def _nonsense(self, members: Sequence[MemberInfo]) -> ConfigChange:
        some, other = self._random.choice(members), self._random.choice(members)
        gone = self._random.choice(sorted(self._model.removed) or [1])
        url = some.peer_urls[0]
        return self._random.choice(
            (
                ConfigChange(kind=ConfigChange.ADD_VOTER, member_id=some.id, peer_urls=[self._free_url()]),
                ConfigChange(kind=ConfigChange.UPDATE, member_id=other.id, peer_urls=[url]),
                ConfigChange(kind=ConfigChange.PROMOTE, member_id=other.id),
                ConfigChange(kind=ConfigChange.PROMOTE, member_id=gone),
                _removal(gone),
                self._addition_at(ConfigChange.ADD_LEARNER, url),
            )
        )

    def _free_url(self) -> str:
        """Returns a URL that nobody has: a new one, or that of a member that was removed."""
        taken = {url for known in self._model.newest.members.values() for url in known.urls}
        left = sorted({url for removal in self._model.removed.values() for url in removal.urls} - taken)
        if left and self._random.random() < 0.4:
            return self._random.choice(left)
        return peer_url(f"h{self._random.randrange(1_000_000)}")

    # Judging ----------------------------------------------------------------------------------
    def _judge(self, wish: _Wish, member: Member) -> None:
        """As a member does before it proposes a change (runtime/membership_changes.py). Raises EtcdError."""
        change, server = wish.change, wish.server
        if change.kind == ConfigChange.PROMOTE:
            self._ask_leader_whether_ready(server, member, change.member_id)
        if self._random.random() >= self._world.options.strict_share or server.transport is None:
            return
        transport = server.transport
        links = reconfiguration.Links(member.member_id, transport.connected_since_ms)
        if change.kind in (ConfigChange.ADD_VOTER, ConfigChange.ADD_LEARNER):
            is_learner = change.kind == ConfigChange.ADD_LEARNER
            reconfiguration.check_addition(member.members(), is_learner, links)
        elif change.kind == ConfigChange.REMOVE:
            reconfiguration.check_removal(member.members(), change.member_id, links)
        elif change.kind == ConfigChange.PROMOTE:
            reconfiguration.check_promotion(member.members(), change.member_id, links)
        self._checker.let_through(server, change, transport.connected)

    def _ask_leader_whether_ready(self, server: SimServer, member: Member, learner_id: int) -> None:
        leader = self._world.machines.get(member.raft.leader)
        if leader is None or leader.member is None or leader.paused:
            raise NOT_LEADER.fresh()
        urls = [leader.url]
        if leader is not server and not self._world.network.can_connect(
            server.member_id, leader.member_id, urls
        ):
            raise NOT_LEADER.fresh()
        reconfiguration.check_learner_ready(leader.member.raft, learner_id)
        self._checker.found_ready(leader, self._world.machines[learner_id])

    # Machines ---------------------------------------------------------------------------------
    def _prepare_machine(self, change: ConfigChange) -> None:
        if change.member_id not in self._world.machines:
            server = self._machines.prepare(change.member_id, change.peer_urls[0])
            self._start_later(server, self._random.randint(*_START_DELAY_US))

    def _start_later(self, server: SimServer, delay_us: int) -> None:
        def start() -> None:
            if not self.stopped and self._machines.start_waiting(server):
                self._start_later(server, _START_RETRY_US)

        self._world.scheduler.after(delay_us, start)

    def _lose_machine(self, member_id: int) -> None:
        """Only one at a time, of those that can be spared, and while no change is on its way: not even
        to some of the members."""
        machines, voters = self._world.machines, self._model.newest.voters
        others = [machines[voter].member for voter in voters if voter != member_id]
        up_to_date = all(
            other is not None and other.applied_snapshot.index >= self._model.newest_index for other in others
        )
        if (
            member_id in voters
            and len(voters) >= _SMALLEST_TO_LOSE_ONE
            and up_to_date
            and len(self._waiting) == 1
        ):
            machines[member_id].destroy()

    def _move_members(self) -> None:
        """Members whose URL has been changed are started where the others look for them."""
        if not self.stopped:
            self.move_all(share=0.5)
            self._world.scheduler.after(self._random.randint(*_MOVE_DELAY_US), self._move_members)

    def move_all(self, share: float = 1) -> None:
        """Moves (a share of) the members that do not listen at their URL."""
        for member_id, known in self._model.newest.members.items():
            server = self._world.machines[member_id]
            if server.url not in known.urls and not server.destroyed and self._random.random() < share:
                server.move(known.urls[0])


def _removal(member_id: int) -> ConfigChange:
    return ConfigChange(kind=ConfigChange.REMOVE, member_id=member_id)
