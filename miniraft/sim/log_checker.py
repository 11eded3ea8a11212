"""Raft's promises (figure 3), checked from outside on every server after every batch.

It sees what the members hand to their disks and what those report, and believes nothing else:

- election safety: at most one leader in a term;
- log matching: an index and a term name one entry, and one history before it;
- durability: what was reported durable is in the log after a crash, term and vote too;
- commitment: what counts as committed is durable on a majority of the voters in force where it
  was committed; what is applied is durable on the very server;
- elections: a leader has the durable votes of a majority of the voters in force where it stood,
  and its membership is at most one change old;
- one change at a time: in no log is there more than one membership change uncommitted, and a
  leader begins none before it has committed something in its term;
- commitment in the leader's own term: it never counts the copies of older entries (5.4.2);
- state machine safety: no two servers apply different entries at one index, and none skips one;
- leader completeness: a leader's log holds all that was committed in earlier terms;
- equal states: the same applied index means the same revision and, now and then, the same hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from miniraft.raft.entry import EntryKind
from miniraft.raft.observation import LeaderElected
from miniraft.raft.state import NO_MEMBER, HardState
from miniraft.server.bootstrap import FIRST_INDEX, FIRST_TERM
from miniraft.sim.onlooker import Onlooker
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.server.effects import Effects, Persist
    from miniraft.sim.membership_model import Membership, MembershipModel
    from miniraft.sim.server import SimServer
    from miniraft.wal.interface import RecoveredLog


_FIRST_HARD_STATE = HardState(FIRST_TERM, NO_MEMBER, FIRST_INDEX)


@dataclass(slots=True)
class _Log:
    """A log as it was written so far, entry by entry, behind `start`."""

    start: int = FIRST_INDEX  # a snapshot stands for everything up to here
    start_term: int = FIRST_TERM
    entries: dict[int, Entry] = field(default_factory=dict)
    last: int = FIRST_INDEX
    hard_state: HardState = _FIRST_HARD_STATE

    def write(self, persist: Persist) -> None:
        if persist.hard_state is not None:
            self.hard_state = persist.hard_state
        if persist.entries:
            for index in range(persist.entries[0].index, self.last + 1):
                del self.entries[index]
            self.entries.update((entry.index, entry) for entry in persist.entries)
            self.last = persist.entries[-1].index

    def replace(self, snapshot: SnapshotMetadata) -> None:
        self.start, self.start_term, self.last = snapshot.index, snapshot.term, snapshot.index
        self.entries = {}

    def holds(self, entry: Entry) -> bool:
        if entry.index <= self.start:
            return True  # it is part of the snapshot, which is compared by other means
        found = self.entries.get(entry.index)
        return found is not None and found.term == entry.term

    def changes_behind(self, index: int) -> list[int]:
        return [
            entry.index
            for entry in self.entries.values()
            if entry.index > index and entry.kind == EntryKind.CONFIG_CHANGE
        ]


@dataclass(slots=True)
class _Seen:
    """What is known of one server."""

    written: _Log = field(default_factory=_Log)  # all that was handed out
    durable: _Log = field(default_factory=_Log)  # all that was reported durable
    under_way: list[Persist] = field(default_factory=list)  # the difference, in order
    applied: int = FIRST_INDEX


class LogChecker(Onlooker):
    """Watches the logs of all servers of a run; `names` of all machines, by member id."""

    def __init__(self, membership: MembershipModel, names: Mapping[int, str]) -> None:
        self.committed: dict[int, Entry] = {}  # every entry that was applied anywhere
        self.last_committed = FIRST_INDEX  # of those
        self.leaders: dict[int, str] = {}  # by term
        self._membership = membership
        self._names = names
        self._counted = FIRST_INDEX  # up to here some server knows entries to be committed
        self._votes: dict[tuple[int, str], int] = {}  # term, voter -> candidate, as is durable
        self._elected_with: dict[int, int] = {}  # term -> what its leader knew to be committed at first
        self._committed_in: dict[int, int] = {}  # index -> a term by which it was committed
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> entry, term before it
        self._revisions: dict[int, tuple[int, str]] = {}  # applied index -> revision, who
        self._hashes: dict[tuple[int, int, int], tuple[int, str]] = {}
        self._servers: dict[str, SimServer] = {}  # that ever ran
        self._seen: dict[str, _Seen] = {}

    def durable_end(self, name: str) -> int:
        """Returns the last entry on this server's disk, as far as is certain."""
        return self._seen[name].durable.last if name in self._seen else 0

    # Onlooker ---------------------------------------------------------------------------------
    def started(self, server: SimServer, recovered: RecoveredLog) -> None:
        """After a crash the log holds at least what was durable."""
        if server.name in self._seen:
            self._check_recovered(server.name, self._seen[server.name], recovered)
        log = _Log(recovered.snapshot.index, recovered.snapshot.term, hard_state=recovered.hard_state)
        log.entries = {entry.index: entry for entry in recovered.entries}
        log.last = recovered.snapshot.index + len(recovered.entries)
        durable = _Log(log.start, log.start_term, dict(log.entries), log.last, log.hard_state)
        member = server.member
        if member is None:
            raise Violation(f"{server.name} started without a member")
        self._servers[server.name] = server
        self._seen[server.name] = _Seen(log, durable, [], member.applied_snapshot.index)
        self._note_vote(server.name, recovered.hard_state)

    def drained(self, server: SimServer, effects: Effects) -> None:
        """A batch of one server was handled."""
        seen = self._seen[server.name]
        if effects.persist is not None:
            self._check_log_matching(server.name, seen, effects)
            if effects.install_snapshot is None:
                seen.written.write(effects.persist)
            seen.under_way.append(effects.persist)
        applied_before = seen.applied
        self._check_applied(server, seen)
        self._check_commit(server, seen, applied_before)
        if effects.persist is not None:
            self._check_changes(server, seen, effects.persist)
        for observation in effects.observations:
            if isinstance(observation, LeaderElected):
                self._check_election(server.name, observation.term, applied_before, server.member_id)
        self._check_leader(server, seen)

    def persisted(self, server: SimServer, sequence: int) -> None:
        """Writes have reached a disk."""
        seen = self._seen[server.name]
        while seen.under_way and seen.under_way[0].sequence <= sequence:
            persist = seen.under_way.pop(0)
            seen.durable.write(persist)
            self._note_vote(server.name, persist.hard_state)

    def installed(self, server: SimServer, snapshot: SnapshotMetadata) -> None:
        """A snapshot has replaced log and state: it must be one of a committed state."""
        seen = self._seen[server.name]
        entry = self.committed.get(snapshot.index)
        term = FIRST_TERM if snapshot.index == FIRST_INDEX else entry and entry.term
        if term != snapshot.term:
            raise Violation(f"{server.name} installs a snapshot at {snapshot}, committed there is {entry}")
        if snapshot.index < seen.applied:
            raise Violation(f"{server.name} falls back from {seen.applied} to a snapshot at {snapshot.index}")
        for log in (seen.written, seen.durable):
            log.replace(snapshot)
        for persist in seen.under_way:
            seen.written.write(persist)
        seen.applied = snapshot.index

    def crashed(self, server: SimServer) -> None:
        """What it led in a term that had not reached its disk has never left it: it may lead it again,
        with other entries."""
        seen = self._seen[server.name]
        term = seen.durable.hard_state.term
        for entry in [entry for persist in seen.under_way for entry in persist.entries]:
            if entry.term > term:
                self._entries.pop((entry.index, entry.term), None)
        for led in [led for led, name in self.leaders.items() if led > term and name == server.name]:
            self._elected_with.pop(led, None)

    # Checks -----------------------------------------------------------------------------------
    def check_hashes(self) -> None:
        """Compares the content of the keyspaces that stand at the same revision."""
        for server in self._servers.values():
            if server.member is None:
                continue
            checksum, compacted, revision = server.member.keyspace.hash_kv(0)
            applied = server.member.applied_snapshot.index
            known, who = self._hashes.setdefault((applied, revision, compacted), (checksum, server.name))
            if known != checksum:
                raise Violation(
                    f"at entry {applied}, revision {revision} the keyspaces of {who} and {server.name} differ"
                )

    def _check_log_matching(self, name: str, seen: _Seen, effects: Effects) -> None:
        persist = effects.persist
        if persist is None or not persist.entries:
            return
        first = persist.entries[0].index
        if effects.install_snapshot is not None:
            raise Violation(f"{name} writes entry {first} before its snapshot is installed")
        if first <= seen.written.start or first > seen.written.last + 1:
            raise Violation(f"{name} writes entry {first} behind {seen.written.last}")
        before = seen.written.entries.get(first - 1)
        previous_term = seen.written.start_term if before is None else before.term
        for entry in persist.entries:
            known, known_previous = self._entries.setdefault(
                (entry.index, entry.term), (entry, previous_term)
            )
            if known != entry:
                raise Violation(f"log matching: {name} has {entry}, elsewhere it is {known}")
            if known_previous != previous_term:
                raise Violation(
                    f"log matching: before entry {entry.index} of term {entry.term} {name} has one of"
                    f" term {previous_term}, elsewhere it is of term {known_previous}"
                )
            previous_term = entry.term

    def _check_applied(self, server: SimServer, seen: _Seen) -> None:
        member = server.member
        if member is None:
            return
        applied, term = member.applied_snapshot.index, member.raft.term
        if applied < seen.applied:
            raise Violation(f"{server.name} had applied {seen.applied} and now {applied}")
        for index in range(seen.applied + 1, applied + 1):
            entry = seen.written.entries.get(index)
            if entry is None:
                raise Violation(f"{server.name} applied entry {index}, which is not in its log")
            if not seen.durable.holds(entry):
                raise Violation(f"{server.name} applied entry {index} before its own disk had it")
            known = self.committed.get(index)
            if known is None:
                self.committed[index] = entry
                self._committed_in[index] = term
                self.last_committed = max(self.last_committed, index)
                self._membership.follow(entry)
            elif known != entry:
                raise Violation(
                    f"state machine safety: {server.name} applied {entry}, elsewhere it is {known}"
                )
        seen.applied = applied
        revision = member.keyspace.revision
        known_revision, who = self._revisions.setdefault(applied, (revision, server.name))
        if known_revision != revision:
            raise Violation(
                f"at entry {applied} {server.name} is at revision {revision}, {who} was at {known_revision}"
            )

    def _check_commit(self, server: SimServer, seen: _Seen, applied_before: int) -> None:
        """Whoever is first to take entries for committed has counted their copies."""
        member = server.member
        if member is None:
            return
        committed = max(member.raft.committed, seen.applied)
        if committed <= self._counted:
            return
        memberships = self._membership.between(applied_before, seen.applied)
        for index in range(self._counted + 1, committed + 1):
            entry = seen.written.entries.get(index)
            if entry is None:
                raise Violation(f"{server.name} takes entry {index} for committed, which it does not have")
            self._check_majority(server.name, entry, memberships)
        self._counted = committed

    def _check_majority(self, name: str, entry: Entry, memberships: Sequence[Membership]) -> None:
        holders = {holder for holder, seen in self._seen.items() if seen.durable.holds(entry)}
        if not any(self._is_majority(holders, membership) for membership in memberships):
            voters = " or ".join(str(self._named(membership.voters)) for membership in memberships)
            raise Violation(
                f"entry {entry.index} of term {entry.term} counts as committed at {name}, but is durable only"
                f" on {sorted(holders) or 'no server'}, the voters are {voters}"
            )

    def _check_changes(self, server: SimServer, seen: _Seen, persist: Persist) -> None:
        changes = [entry.index for entry in persist.entries if entry.kind == EntryKind.CONFIG_CHANGE]
        if not changes:
            return
        uncommitted = seen.written.changes_behind(self._counted)
        if len(uncommitted) > 1:
            raise Violation(f"{server.name} has uncommitted membership changes at entries {uncommitted}")
        if server.leads and server.member is not None:
            committed = seen.written.entries.get(server.member.raft.committed)
            if committed is not None and committed.term != server.member.raft.term:
                raise Violation(
                    f"{server.name} begins the membership change at entry {changes[-1]} in term"
                    f" {server.member.raft.term}, in which it has committed nothing yet"
                )

    def _check_election(self, name: str, term: int, applied: int, member_id: int) -> None:
        membership = self._membership.at(applied)
        granted = {voter for voter in self._seen if self._may_have_voted(voter, term, member_id)}
        if not self._is_majority(granted | {name}, membership):
            raise Violation(
                f"elections: {name} leads term {term} with the votes of {sorted(granted)}, the voters at"
                f" entry {applied} are {self._named(membership.voters)}"
            )
        later = [newer.config for newer in self._membership.between(applied, self._counted)]
        missed = sum(config != newer for config, newer in pairwise(later))
        if missed > 1:
            raise Violation(
                f"elections: {name} leads term {term} with the membership of entry {applied},"
                f" since when {missed} changes were committed"
            )

    def _may_have_voted(self, voter: str, term: int, candidate: int) -> bool:
        """Whether this server's vote is durable, or it cannot give it to another any more: of two terms
        that it entered in one batch, it writes the later one only."""
        vote = self._votes.get((term, voter), NO_MEMBER)
        is_over = self._seen[voter].durable.hard_state.term > term
        return vote == candidate or (vote == NO_MEMBER and is_over)

    def _is_majority(self, names: set[str], membership: Membership) -> bool:
        voters = self._named(membership.voters)
        return len(names.intersection(voters)) > len(voters) // 2

    def _named(self, member_ids: Sequence[int]) -> list[str]:
        return sorted(self._names[member_id] for member_id in member_ids)

    def _note_vote(self, name: str, hard_state: HardState | None) -> None:
        if hard_state is not None and hard_state.vote != NO_MEMBER:
            self._votes[hard_state.term, name] = hard_state.vote

    def _check_leader(self, server: SimServer, seen: _Seen) -> None:
        member = server.member
        if member is None or not server.leads:
            return
        term = member.raft.term
        leader = self.leaders.setdefault(term, server.name)
        if leader != server.name:
            raise Violation(f"election safety: {leader} and {server.name} both lead term {term}")
        committed = member.raft.committed
        if term not in self._elected_with:
            self._elected_with[term] = committed
            self._check_completeness(server.name, seen, term)
        newest = seen.written.entries.get(committed)
        if newest is not None and newest.term != term and committed > self._elected_with[term]:
            raise Violation(
                f"commitment: {server.name}, leader of term {term}, committed entry {committed} of term"
                f" {newest.term} by counting its copies"
            )

    def _check_completeness(self, name: str, seen: _Seen, term: int) -> None:
        """Once for each leader, when it is first seen to lead."""
        for index, entry in self.committed.items():
            if self._committed_in[index] < term and not seen.written.holds(entry):
                raise Violation(
                    f"leader completeness: {name} leads term {term} without entry {index}, committed by term"
                    f" {self._committed_in[index]}"
                )

    def _check_recovered(self, name: str, seen: _Seen, recovered: RecoveredLog) -> None:
        durable, under_way = seen.durable, seen.under_way
        states = [durable.hard_state, *(write.hard_state for write in under_way if write.hard_state)]
        term, vote, commit = recovered.hard_state
        if (term, vote) not in [state[:2] for state in states]:
            raise Violation(f"durability: {name} recovers {recovered.hard_state}, written were {states}")
        if commit > self._counted:
            raise Violation(f"{name} recovers commit index {commit}, {self._counted} are committed")
        if recovered.snapshot.index > durable.start:
            entry = durable.entries.get(recovered.snapshot.index)
            if entry is None or entry.term != recovered.snapshot.term:
                return  # a leader's snapshot, not a cut: it took the place of the whole log
        entries = {entry.index: entry for entry in recovered.entries}
        replaced_from = min(
            (write.entries[0].index for write in under_way if write.entries), default=durable.last + 1
        )
        for index in range(max(durable.start, recovered.snapshot.index) + 1, durable.last + 1):
            if index < replaced_from and entries.get(index) != durable.entries[index]:
                raise Violation(
                    f"durability: {name} lost entry {index} of term {durable.entries[index].term} in a crash:"
                    f" it recovers {entries.get(index)}"
                )
