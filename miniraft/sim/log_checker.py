"""Raft's promises (figure 3), checked from outside on every server after every batch.

It sees what the members hand to their disks and what those report, and believes nothing else:

- election safety: at most one leader in a term;
- log matching: an index and a term name one entry, and one history before it;
- durability: what was reported durable is in the log after a crash, term and vote too;
- commitment: what is applied is durable on a majority, and on the very server;
- commitment in the leader's own term: it never counts the copies of older entries (5.4.2);
- state machine safety: no two servers apply different entries at one index, and none skips one;
- leader completeness: a leader's log holds all that was committed in earlier terms;
- equal states: the same applied index means the same revision and, now and then, the same hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from miniraft.raft.state import NO_MEMBER, HardState
from miniraft.server.bootstrap import FIRST_INDEX, FIRST_TERM
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.server.effects import Effects, Persist, Reply
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


@dataclass(slots=True)
class _Seen:
    """What is known of one server."""

    written: _Log = field(default_factory=_Log)  # all that was handed out
    durable: _Log = field(default_factory=_Log)  # all that was reported durable
    under_way: list[Persist] = field(default_factory=list)  # the difference, in order
    applied: int = FIRST_INDEX


class LogChecker:
    """Watches the logs of all servers of a run."""

    def __init__(self, servers: Sequence[SimServer]) -> None:
        self.committed: dict[int, Entry] = {}  # every entry that was applied anywhere
        self.last_committed = FIRST_INDEX
        self.leaders: dict[int, str] = {}  # by term
        self._elected_with: dict[int, int] = {}  # term -> what its leader knew to be committed at first
        self._committed_in: dict[int, int] = {}  # index -> a term by which it was committed
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> entry, term before it
        self._revisions: dict[int, tuple[int, str]] = {}  # applied index -> revision, who
        self._hashes: dict[tuple[int, int, int], tuple[int, str]] = {}
        self._servers = {server.name: server for server in servers}
        self._seen = {server.name: _Seen() for server in servers}

    # Watcher ----------------------------------------------------------------------------------
    def started(self, server: SimServer, recovered: RecoveredLog) -> None:
        """After a crash the log holds at least what was durable."""
        seen = self._seen[server.name]
        if server.life > 1:
            self._check_recovered(server.name, seen, recovered)
        log = _Log(recovered.snapshot.index, recovered.snapshot.term, hard_state=recovered.hard_state)
        log.entries = {entry.index: entry for entry in recovered.entries}
        log.last = recovered.snapshot.index + len(recovered.entries)
        durable = _Log(log.start, log.start_term, dict(log.entries), log.last, log.hard_state)
        member = server.member
        if member is None:
            raise Violation(f"{server.name} started without a member")
        self._seen[server.name] = _Seen(log, durable, [], member.applied_snapshot.index)

    def drained(self, server: SimServer, effects: Effects) -> None:
        """A batch of one server was handled."""
        seen = self._seen[server.name]
        if effects.persist is not None:
            self._check_log_matching(server.name, seen, effects)
            if effects.install_snapshot is None:
                seen.written.write(effects.persist)
            seen.under_way.append(effects.persist)
        self._check_applied(server, seen)
        self._check_leader(server, seen)

    def persisted(self, server: SimServer, sequence: int) -> None:
        """Writes have reached a disk."""
        seen = self._seen[server.name]
        while seen.under_way and seen.under_way[0].sequence <= sequence:
            seen.durable.write(seen.under_way.pop(0))

    def installed(self, server: SimServer, snapshot: SnapshotMetadata) -> None:
        """A snapshot has replaced log and state: it must be one of a committed state."""
        seen = self._seen[server.name]
        entry = self.committed.get(snapshot.index)
        if entry is None or entry.term != snapshot.term:
            raise Violation(f"{server.name} installs a snapshot at {snapshot}, committed there is {entry}")
        if snapshot.index < seen.applied:
            raise Violation(f"{server.name} falls back from {seen.applied} to a snapshot at {snapshot.index}")
        for log in (seen.written, seen.durable):
            log.replace(snapshot)
        for persist in seen.under_way:
            seen.written.write(persist)
        seen.applied = snapshot.index

    def replied(self, server: SimServer, reply: Reply) -> None:
        """Answers are the client checker's matter."""

    def crashed(self, server: SimServer) -> None:
        """What was under way may be there or not: `started` will see."""

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
                self._check_majority(entry)
                self.committed[index] = entry
                self._committed_in[index] = term
                self.last_committed = max(self.last_committed, index)
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

    def _check_majority(self, entry: Entry) -> None:
        holders = [name for name, seen in self._seen.items() if seen.durable.holds(entry)]
        if len(holders) <= len(self._seen) // 2:
            raise Violation(
                f"entry {entry.index} of term {entry.term} is applied, but durable only on"
                f" {holders or 'no server'}"
            )

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
        if commit > self.last_committed:
            raise Violation(f"{name} recovers commit index {commit}, {self.last_committed} are committed")
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
