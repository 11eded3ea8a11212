"""What the members make of the membership, against what the committed log means.

- whoever has applied the same entries has the same members, in Raft and in the member list;
- whoever has applied a change knows after a crash too that it was committed: those who have left
  may be gone for good;
- nobody leads who is no voter by what it has applied itself: a leader that is removed steps down;
- a member that knows of its removal ends soon, and none ends for another reason;
- a change that was acknowledged is in the log;
- the strict checks (--strict-reconfig-check) never let a change through that by itself takes the
  quorum away, as far as whoever was asked could know;
- no learner is promoted whose log is far behind the leader's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.pb.log_pb2 import ConfigChange
from miniraft.sim.membership_model import Known
from miniraft.sim.onlooker import Onlooker
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Collection

    from miniraft.raft.state import ConfigState
    from miniraft.server.effects import Effects
    from miniraft.sim.log_checker import LogChecker
    from miniraft.sim.membership_model import MembershipModel
    from miniraft.sim.server import SimServer

_LONGEST_FAREWELL_TICKS = 60
_READY_SHARE = 0.9  # of the leader's log, which a learner must have to be promoted


class MembershipChecker(Onlooker):
    """Watches the membership at all servers of a run."""

    def __init__(self, model: MembershipModel, logs: LogChecker) -> None:
        self._model = model
        self._logs = logs
        self._leaving: dict[str, tuple[int, int]] = {}  # who knows of its removal -> life, ticks by then
        self._applied_change: dict[str, int] = {}  # the entry of the last one, by server

    # Onlooker ---------------------------------------------------------------------------------
    def started(self, server: SimServer, recovered: object) -> None:  # noqa: ARG002 (see Onlooker)
        """The member list comes from the store."""
        self._check_members(server)
        applied_change = self._applied_change.get(server.name, 0)
        if server.member is not None and server.member.raft.committed < applied_change:
            raise Violation(
                f"membership: {server.name} had applied the change at entry {applied_change}, and after a"
                f" crash knows only {server.member.raft.committed} to be committed"
            )
        if self._has_left(server):
            self._leaving[server.name] = (server.life, server.ticks)

    def drained(self, server: SimServer, effects: Effects) -> None:
        """A batch was handled; changes may have been applied."""
        member = server.member
        if member is None:
            return
        membership = self._model.at(member.applied_snapshot.index)
        if effects.membership_changed:
            self._check_members(server)
            self._applied_change[server.name] = self._model.last_change(member.applied_snapshot.index)
        self._check_config(server.name, member.raft.config, membership.config)
        if server.leads and server.member_id not in membership.voters:
            raise Violation(f"{server.name} leads term {member.raft.term}, but it is no voter any more")
        if effects.stop_reason and server.member_id not in self._model.removed:
            raise Violation(f"{server.name} stops, though it was not removed: {effects.stop_reason}")
        self._check_farewell(server, effects)

    # What operators do ------------------------------------------------------------------------
    def let_through(self, server: SimServer, change: ConfigChange, connected: Collection[int]) -> None:
        """The strict checks of `server`, which is connected to these, found nothing wrong."""
        if server.member is None:
            return
        voters = set(server.member.raft.config.voters)
        reached = {server.member_id, *connected}
        after = _voters_after(voters, change)
        started_alone = len(voters) == 1 and len(after) == 2  # the way from one to two has to be open
        if _is_majority(voters & reached, voters) and not _is_majority(after & reached, after):
            if change.kind == ConfigChange.ADD_VOTER and started_alone:
                return
            raise Violation(
                f"quorum: {server.name} lets through the change {_described(change)}, after which it is"
                f" connected to {len(after & reached)} of {len(after)} voters"
            )

    def found_ready(self, leader: SimServer, learner: SimServer) -> None:
        """The leader lets a learner be promoted."""
        wanted = int(_READY_SHARE * self._logs.durable_end(leader.name))
        found = self._logs.durable_end(learner.name)
        if found < wanted:
            raise Violation(
                f"{leader.name} takes {learner.name} for ready to vote, whose log ends at {found},"
                f" not at {wanted}"
            )

    def acknowledged(self, server: SimServer, change: ConfigChange) -> None:
        """Somebody was told that a change has been made."""
        if (change.kind, change.member_id) not in self._model.accepted:
            raise Violation(
                f"{server.name} acknowledges the change {_described(change)}, which nobody has made"
            )

    # Inner ------------------------------------------------------------------------------------
    def _check_members(self, server: SimServer) -> None:
        member = server.member
        if member is None or not member.applied_snapshot.index:
            return
        wanted = self._model.at(member.applied_snapshot.index).members
        found = {known.id: Known(known.peer_urls, known.is_learner) for known in member.members()}
        if found != wanted:
            raise Violation(
                f"membership: at entry {member.applied_snapshot.index} {server.name} lists {found},"
                f" the log means {wanted}"
            )

    def _check_config(self, name: str, found: ConfigState, wanted: ConfigState) -> None:
        if found != wanted:
            raise Violation(f"membership: Raft at {name} counts {found}, the log means {wanted}")

    def _check_farewell(self, server: SimServer, effects: Effects) -> None:
        leaving = self._leaving.get(server.name)
        if leaving is not None and leaving[0] == server.life:
            if server.ticks > leaving[1] + _LONGEST_FAREWELL_TICKS:
                raise Violation(f"{server.name} knows of its removal and does not stop")
        elif effects.membership_changed and self._has_left(server):
            self._leaving[server.name] = (server.life, server.ticks)

    def _has_left(self, server: SimServer) -> bool:
        if server.member is None:
            return False
        removal = self._model.removed.get(server.member_id)
        return removal is not None and removal.index <= server.member.applied_snapshot.index


def _voters_after(voters: set[int], change: ConfigChange) -> set[int]:
    if change.kind in (ConfigChange.ADD_VOTER, ConfigChange.PROMOTE):
        return voters | {change.member_id}
    return voters - {change.member_id} if change.kind == ConfigChange.REMOVE else voters


def _is_majority(some: set[int], voters: set[int]) -> bool:
    return len(some) > len(voters) // 2


def _described(change: ConfigChange) -> str:
    return f"{ConfigChange.Kind.Name(change.kind)} of member {change.member_id:x}"
