"""What there is to show of a cluster, as plain values: the renderers turn them into text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from miniraft.local_cluster.elections import Step


class Answer(NamedTuple):
    """What a member says of itself (Maintenance.Status)."""

    member_id: int
    leader_id: int
    term: int
    revision: int
    applied_index: int
    database_bytes: int
    errors: tuple[str, ...] = ()
    commit_index: int = 0
    learner: bool = False


class MemberView(NamedTuple):
    """One member as seen from here."""

    number: int
    name: str
    client_url: str
    pid: int | None
    state: str  # of its process: running, paused, stopped, killed, exited N
    answer: Answer | None  # its last answer, if it answered the last question
    leader: str  # the name of the leader it knows, or empty
    started_at: float = 0.0  # its process, in seconds since the epoch; 0: never
    asked_at: float = 0.0  # when it was asked what it answered, likewise

    @property
    def role(self) -> str:
        """leader, follower, or why it is neither."""
        if self.state != "running":
            return "-"
        if self.answer is None:
            return "no answer"
        if not self.answer.leader_id:
            return "no leader"
        return "leader" if self.answer.leader_id == self.answer.member_id else "follower"


class Happening(NamedTuple):
    """Something that happened, from a member's log or done by hand."""

    time: str  # ISO 8601 in UTC with microseconds, which sorts
    member: str
    text: str
    kind: str = "event"  # event, election, action or problem
    step: Step | None = None  # what it means for the member's part in elections


class ClusterView(NamedTuple):
    """The whole cluster at one moment."""

    folder: str
    members: tuple[MemberView, ...]
    happenings: tuple[Happening, ...] = ()  # oldest first
    typed: str = ""  # what the person has typed so far
    message: str = ""  # the answer to the last command
    page_url: str = ""  # of its page in the browser, if there is one

    @property
    def quorum(self) -> int:
        """How many members decide."""
        return len(self.members) // 2 + 1

    @property
    def alive(self) -> int:
        """How many members answer."""
        return sum(member.answer is not None and member.state == "running" for member in self.members)

    @property
    def can_lose(self) -> int:
        """How many more may be lost with writes still going on; negative: the quorum is lost."""
        return self.alive - self.quorum

    @property
    def leader(self) -> MemberView | None:
        """The member that says it leads, of the highest term; a deposed one may still say so."""
        leaders = [member for member in self.members if member.role == "leader"]
        return max(leaders, key=lambda member: member.answer.term if member.answer else 0, default=None)

    @property
    def term(self) -> int:
        """The highest term any member knows."""
        return max((member.answer.term for member in self.members if member.answer), default=0)

    @property
    def revision(self) -> int:
        """The highest revision any member has applied."""
        return max((member.answer.revision for member in self.members if member.answer), default=0)


def quorum_words(view: ClusterView) -> str:
    """The arithmetic of majorities, as a learner would put it."""
    lose = f"can lose {view.can_lose}" if view.can_lose >= 0 else "quorum lost: no writes"
    return f"alive {view.alive}/{len(view.members)}, quorum {view.quorum}, {lose}"
