"""What goes wrong with membership changes is noticed: planted here, it is found within a few seeds."""

from dataclasses import replace

from miniraft.raft import election, membership, output, replication
from miniraft.raft.node import Node
from miniraft.raft.quorum import agreed, tally
from miniraft.raft.state import ConfigChangeKind
from miniraft.server import farewell, member, reconfiguration
from miniraft.server.apply import StateMachine
from miniraft.server.membership import Cluster
from miniraft.sim.options import Options
from tests.sim.planted import first_violation

BUSY = Options(
    safety_ms=8_000,
    clients=3,
    lease_clients=0,
    operators=2,
    wish_us=(20_000, 200_000),
    strict_share=0,
    snapshot_count=40,
    catchup_entries=10,
)
CALM = replace(
    BUSY,
    crash_rate=0,
    all_crash_rate=0,
    stop_rate=0,
    pause_rate=0,
    partition_rate=0,
    disk_full_rate=0,
    disconnect_rate=0,
    drop_share=0,
    duplicate_share=0,
)


def test_counting_majorities_over_the_membership_before_the_last_change(monkeypatch):
    apply_change = membership.apply_change
    before = {}

    def remember(node, kind, member_id):
        before[id(node)] = node.membership
        return apply_change(node, kind, member_id)

    def advance_commit(node):
        match = {voter: progress.match for voter, progress in node.progress.items()}
        match[node.member_id] = node.durability.index
        voters = before.get(id(node), node.membership).voters
        index = agreed(match.get(voter, 0) for voter in voters)
        if index > node.log.committed and node.log.term(index) == node.term:
            node.log.commit_to(index)
            node.append_due = True

    monkeypatch.setattr(membership, "apply_change", remember)
    monkeypatch.setattr(replication, "advance_commit", advance_commit)
    first_violation("counts as committed", BUSY)


def test_counting_votes_over_the_first_membership(monkeypatch):
    first = []

    def tally_of_first(votes, voters):
        first.append(voters)
        return tally(votes, first[0])

    monkeypatch.setattr(election, "tally", tally_of_first)
    first_violation("with the votes of", replace(BUSY, nodes=1))


def test_two_changes_under_way(monkeypatch):
    def propose(node, payload):
        replication.propose(node, replication.EntryKind.CONFIG_CHANGE, (payload,))

    monkeypatch.setattr(replication, "propose_config_change", propose)
    first_violation("uncommitted membership changes", BUSY)


def test_a_change_before_anything_was_committed_in_the_term(monkeypatch):
    monkeypatch.setattr(Node, "has_committed_in_term", lambda self: True)
    first_violation(
        "in which it has committed nothing yet", replace(BUSY, transfer_rate=1, sync_us=(100, 40_000))
    )


def test_standing_with_a_membership_two_changes_old(monkeypatch):
    """A follower that applies nothing before it leads, with nothing to keep it from standing."""
    deliverable = output._deliverable
    monkeypatch.setattr(election, "may_stand", lambda node: node.member_id in node.membership.voters)
    monkeypatch.setattr(
        output, "_deliverable", lambda node: deliverable(node) if node.leads else node.log.delivered
    )
    first_violation("changes were committed", BUSY)


def test_a_refused_change_that_takes_effect(monkeypatch):
    monkeypatch.setattr(Cluster, "_is_last_voter", lambda self, member: False)
    monkeypatch.setattr(Cluster, "_check_peer_urls", lambda self, change: None)
    first_violation("membership: ", BUSY)


def test_a_removed_leader_that_keeps_leading(monkeypatch):
    def update(node):
        members = node.members()
        for member_id in [known for known in node.progress if known not in members]:
            del node.progress[member_id]
        for member_id in members:
            if member_id != node.member_id and member_id not in node.progress:
                node.progress[member_id] = replication.new_progress(node)
        node.append_due = True
        replication.advance_commit(node)

    monkeypatch.setattr(membership, "_update_leadership", update)
    first_violation("but it is no voter any more", BUSY)


def test_a_removed_member_that_stays(monkeypatch):
    monkeypatch.setattr(farewell.Farewell, "is_over", lambda self, leader: False)
    first_violation("does not stop", replace(BUSY, open_doors=True))


def test_a_learner_that_counts(monkeypatch):
    changed = membership.changed

    def eager(config, kind, member_id):
        if kind == ConfigChangeKind.ADD_LEARNER:
            kind = ConfigChangeKind.ADD_VOTER
        return changed(config, kind, member_id)

    monkeypatch.setattr(membership, "changed", eager)
    first_violation("membership: Raft at", BUSY)


def test_promoting_a_learner_that_lags(monkeypatch):
    monkeypatch.setattr(reconfiguration, "check_learner_ready", lambda raft, member_id: None)
    first_violation("for ready to vote", BUSY)


STRICT = replace(
    CALM, strict_share=1, safety_ms=15_000, crash_rate=0.3, partition_rate=0.3, fault_ms=(3_000, 8_000)
)


def test_adding_a_member_that_takes_the_quorum_away(monkeypatch):
    monkeypatch.setattr(reconfiguration, "check_addition", lambda members, is_learner, links: None)
    first_violation("lets through the change ADD_VOTER", STRICT)


def test_removing_a_member_that_takes_the_quorum_away(monkeypatch):
    monkeypatch.setattr(reconfiguration, "check_removal", lambda members, member_id, links: None)
    first_violation("lets through the change REMOVE", STRICT)


def test_promoting_a_member_that_takes_the_quorum_away(monkeypatch):
    monkeypatch.setattr(reconfiguration, "check_promotion", lambda members, member_id, links: None)
    cut_off = replace(
        CALM,
        nodes=1,
        safety_ms=15_000,
        strict_share=0.7,
        clients=1,
        partition_rate=2,
        fault_ms=(1_000, 3_000),
        wish_us=(100_000, 500_000),
    )
    first_violation("lets through the change PROMOTE", cut_off)


def test_a_member_list_that_forgets_urls(monkeypatch):
    write = Cluster._write

    def forget(self, store, info):
        known = self._members.get(info.id)
        write(self, store, info if known is None else info._replace(peer_urls=known.peer_urls))

    monkeypatch.setattr(Cluster, "_write", forget)
    first_violation("membership: at entry", BUSY)


def test_a_restart_with_the_first_membership(monkeypatch):
    monkeypatch.setattr(member, "store_config", lambda store, config: None)
    first_violation(["membership: Raft at", "elections: ", "counts as committed"], BUSY)


def test_applying_a_change_before_its_commitment_is_durable(monkeypatch):
    monkeypatch.setattr(output, "_waiting_change", lambda node: 0)
    first_violation("knows only", BUSY)


def test_members_that_were_removed_and_disturb(monkeypatch):
    campaign = election.campaign

    def impatient(node, transfer=False):
        campaign(node, transfer=True)

    monkeypatch.setattr(election, "campaign", impatient)
    first_violation("stability: ", replace(BUSY, open_doors=True, check_quorum=False))


def test_acknowledging_a_change_that_was_not_made(monkeypatch):
    apply_config_change = StateMachine.apply_config_change

    def forgive(self, entry):
        change, applied = apply_config_change(self, entry)
        return change, applied._replace(error=None)

    monkeypatch.setattr(StateMachine, "apply_config_change", forgive)
    first_violation("acknowledges the change", BUSY)
