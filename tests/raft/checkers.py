"""What must hold in every run, judged from outside: from messages, disks and state machines.

They know nothing of how Raft is built, and raise Violation.
"""

from __future__ import annotations

from miniraft.raft.message import MessageKind
from miniraft.raft.observation import LeaderElected


class Violation(AssertionError):  # noqa: N818 (it says what happened)
    """A property of figure 3, or a promise about the disk or about reads, was broken."""


class Checkers:
    """Attached to every host of a cluster; sees each Ready and each message that leaves."""

    def __init__(self):
        self.leaders = {}  # term -> member
        self.entries = {}  # (index, term) -> (kind, data, term of the entry before)
        self.committed = {}  # index -> entry, as handed out for applying by anybody
        self.votes = {}  # (voter, term) -> candidate
        self.terms = {}  # member -> the highest term it told anybody
        self.reads = {}  # context -> the least index that the answer may have

    def attach(self, host):
        """Begins to watch a member."""
        host.listener = self.ready
        host.disk.listener = self._log_matching

    def read_asked(self, context, hosts):
        """A read must see whatever anybody knew to be committed when it was asked for."""
        self.reads[context] = max([*self.committed, *(host.raft.committed for host in hosts if host.alive)])

    def ready(self, host, ready):
        for entry in ready.committed:
            self._state_machine_safety(host, entry)
            self._applied_is_on_disk(host, entry)
        for seen in ready.observations:
            if isinstance(seen, LeaderElected):
                self._election_safety(host, seen.term)
                self._leader_completeness(host, seen.term)
        for context, index in ready.read_states:
            if 0 <= index < self.reads[context]:
                raise Violation(f"stale read: {index} is told, {self.reads[context]} was committed before")

    def sent(self, host, message):
        if message.kind == MessageKind.APPEND:
            self._log_matching(message.log_term, message.entries)
        self._vote_once(message)
        self._term_never_falls(message)
        self._acknowledged_is_on_disk(host, message)

    # Each property -----------------------------------------------------------------------------
    def _election_safety(self, host, term):
        if self.leaders.setdefault(term, host.member_id) != host.member_id:
            raise Violation(f"election safety: {self.leaders[term]} and {host.member_id} lead term {term}")

    def _log_matching(self, before, entries):
        """On disks and in messages. What was in memory only and is lost never was an entry."""
        for entry in entries:
            what = (entry.kind, entry.data, before)
            known = self.entries.setdefault((entry.index, entry.term), what)
            if known != what:
                raise Violation(
                    f"log matching: entry {entry.index} of term {entry.term} is {known} and {what}"
                )
            before = entry.term

    def _leader_completeness(self, host, term):
        raft = host.raft
        log = raft._node.log
        for index, entry in self.committed.items():
            if index >= raft.first_index and (index > raft.last_index or log.term(index) != entry.term):
                raise Violation(
                    f"leader completeness: {index} is not in the log of {host.member_id}, term {term}"
                )

    def _state_machine_safety(self, host, entry):
        if self.committed.setdefault(entry.index, entry) != entry:
            raise Violation(
                f"state machine safety: member {host.member_id} applies another entry at {entry.index}"
            )

    def _applied_is_on_disk(self, host, entry):
        at = entry.index - host.disk.snapshot.index - 1
        if at >= 0 and host.disk.entries[at : at + 1] != [entry]:
            raise Violation(f"member {host.member_id} applies {entry.index} before it is on its disk")

    def _vote_once(self, message):
        if message.kind == MessageKind.VOTE:
            vote = message.sender
        elif message.kind == MessageKind.VOTE_RESPONSE and not message.reject:
            vote = message.receiver
        else:
            return
        if self.votes.setdefault((message.sender, message.term), vote) != vote:
            raise Violation(f"member {message.sender} votes twice in term {message.term}")

    def _term_never_falls(self, message):
        if message.kind != MessageKind.PRE_VOTE:
            known = self.terms.setdefault(message.sender, message.term)
            if message.term < known:
                raise Violation(f"the term of member {message.sender} falls from {known} to {message.term}")
            self.terms[message.sender] = message.term

    def _acknowledged_is_on_disk(self, host, message):
        if message.kind == MessageKind.APPEND_RESPONSE and not message.reject:
            on_disk = host.disk.snapshot.index + len(host.disk.entries)
            if message.index > on_disk:
                raise Violation(
                    f"member {host.member_id} acknowledges {message.index}, its disk ends at {on_disk}"
                )
