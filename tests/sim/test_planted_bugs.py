"""Every checker catches the bug it is there for: planted here, it is found within a few seeds."""

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import Bucket
from miniraft.raft import election, following, output, read_index, replication
from miniraft.raft.message import RejectReason
from miniraft.raft.node import Node
from miniraft.raft.quorum import agreed
from miniraft.raft.ready import ReadState
from miniraft.server import member
from miniraft.server.buffer import ProposalBuffer
from miniraft.server.pending import NOBODY, PendingRequests
from miniraft.sim.options import Options
from miniraft.wal.wal import Wal
from tests.sim.planted import first_violation


def test_voting_twice_in_a_term(monkeypatch):
    def refusal(node, message):
        up_to_date = node.log.is_up_to_date(message.index, message.log_term)
        return RejectReason.NONE if up_to_date else RejectReason.LOG_BEHIND

    monkeypatch.setattr(election, "_refusal", refusal)
    contested = Options(
        nodes=5,
        safety_ms=8_000,
        delay_us=(20_000, 120_000),
        drop_share=0.05,
        clients=2,
        pre_vote=False,
        check_quorum=False,
        crash_rate=0,
        all_crash_rate=1,
        fault_ms=(50, 300),
    )
    first_violation("election safety", contested)


def test_voting_for_a_log_that_is_behind(monkeypatch):
    def refusal(node, message):
        taken = message.term == node.term and node.vote not in (0, message.sender)
        return RejectReason.ALREADY_VOTED if taken else RejectReason.NONE

    monkeypatch.setattr(election, "_refusal", refusal)
    first_violation("leader completeness")


def test_acknowledging_before_it_is_durable(monkeypatch):
    monkeypatch.setattr(Node, "send_after_persist", Node.send)
    first_violation("counts as committed")


def test_losing_term_and_vote(monkeypatch):
    append = Wal.append
    monkeypatch.setattr(
        Wal, "append", lambda self, hard_state, entries, snapshot=None: append(self, None, entries, snapshot)
    )
    first_violation("durability: ")


def test_log_that_is_not_synced(monkeypatch):
    def sync(self):
        self._synced_offset = self._offset

    monkeypatch.setattr(Wal, "sync", sync)
    first_violation(["durability: ", "refuses to start"])


def test_committing_entries_of_earlier_terms_by_counting(monkeypatch):
    def advance_commit(node):
        match = {voter: progress.match for voter, progress in node.progress.items()}
        match[node.member_id] = node.durability.index
        index = agreed(match[voter] for voter in node.membership.voters)
        if index > node.log.committed:
            node.log.commit_to(index)
            node.append_due = True

    monkeypatch.setattr(replication, "advance_commit", advance_commit)
    slow = Options(
        nodes=5,
        crash_rate=1.0,
        partition_rate=0.5,
        delay_us=(1_000, 50_000),
        max_append_bytes=1,
        max_inflight_appends=1,
    )
    first_violation("by counting its copies", slow)


def test_applying_before_commit(monkeypatch):
    monkeypatch.setattr(output, "_deliverable", lambda node: node.durability.index)
    first_violation("counts as committed")


def test_applying_before_the_own_disk_has_it(monkeypatch):
    monkeypatch.setattr(output, "_deliverable", lambda node: node.log.committed)
    first_violation("before its own disk had it")


def test_reading_without_read_index(monkeypatch):
    def ask(node, context):
        node.read_states.append(ReadState(context, node.log.applied))

    monkeypatch.setattr(read_index, "ask", ask)
    first_violation("had been told when it began")


def test_appending_without_looking_at_the_entry_before(monkeypatch):
    def accept(node, message):
        log = node.log
        if message.entries and log.committed < message.index <= log.last_index:
            log.truncate(message.index)
            node.durability.truncate(message.index)
            if message.entries[0].term >= log.last_term:
                log.append(message.entries)
        node.acknowledge(log.last_index)

    monkeypatch.setattr(following, "_reject_mismatch", accept)
    divided = Options(
        safety_ms=8_000,
        delay_us=(20_000, 120_000),
        think_us=(500, 4_000),
        pre_vote=False,
        crash_rate=0.3,
        partition_rate=1,
        fault_ms=(500, 3_000),
    )
    first_violation("log matching", divided)


def test_proposing_again_what_was_taken(monkeypatch):
    forget = ProposalBuffer._forget
    seen = set()

    def forget_most(self, proposals, count):
        kept = {request_id: data for request_id, data in proposals.items() if request_id % 7 == 0}
        forget(self, proposals, count)
        for request_id in kept.keys() - seen:
            seen.add(request_id)
            self.add(request_id, kept[request_id])

    monkeypatch.setattr(ProposalBuffer, "_forget", forget_most)
    first_violation(["is in the log twice", "which is"])


def test_answering_twice(monkeypatch):
    monkeypatch.setattr(
        PendingRequests, "take", lambda self, request_id: self._waiting.get(request_id, NOBODY)
    )
    first_violation("is answered twice")


def test_never_answering(monkeypatch):
    monkeypatch.setattr(PendingRequests, "take", lambda self, request_id: NOBODY)
    monkeypatch.setattr(PendingRequests, "expired", lambda self, now_ms: iter(()))
    first_violation("liveness")


def test_never_standing_for_election_again(monkeypatch):
    tick = election.tick

    def lazy_tick(node):
        if node.term < 2:
            tick(node)

    monkeypatch.setattr(election, "tick", lazy_tick)
    first_violation("liveness")


def test_store_that_loses_a_change_in_its_commit(monkeypatch):
    write_commit = MemoryStore.write_commit

    def forgetful(self, commit):
        keys = [key for key in commit.changes if key[0] == Bucket.KEY]
        if len(keys) > 3:
            del commit.changes[keys[1]]
        write_commit(self, commit)

    monkeypatch.setattr(MemoryStore, "write_commit", forgetful)
    first_violation(["the keyspaces of", "is at revision"])


def test_applied_index_that_is_not_in_the_commit(monkeypatch):
    store_position = member.store_position
    monkeypatch.setattr(
        member, "store_position", lambda store, index, term: store_position(store, max(index - 1, 1), term)
    )
    first_violation("is at revision")


def test_keyspace_that_differs_between_members(monkeypatch):
    put = Keyspace.put
    counted = []

    def put_wrongly(self, request):
        counted.append(request)
        if len(counted) % 50 == 0:
            request.value = b"wrong"
        return put(self, request)

    monkeypatch.setattr(Keyspace, "put", put_wrongly)
    first_violation(["the keyspaces of", "ends at revision"])
