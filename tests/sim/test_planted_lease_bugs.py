"""What goes wrong with leases is noticed: planted here, it is found within a few seeds."""

from miniraft.errors import LEASE_NOT_FOUND
from miniraft.mvcc.lease_deadlines import LeaseDeadlines, TimedLease
from miniraft.pb.rpc_pb2 import LeaseRevokeRequest
from miniraft.server import apply
from miniraft.server.apply import StateMachine
from miniraft.server.lease_keeper import LeaseKeeper
from miniraft.sim.options import Options
from miniraft.sim.simulation import Simulation
from miniraft.sim.violation import Violation

SEEDS = 40


def violations(options=None):
    """Runs seed after seed until one breaks a promise; returns what it says."""
    for seed in range(1, SEEDS + 1):
        try:
            Simulation(seed, options).run()
        except Violation as violation:
            return str(violation)
    return f"nothing in {SEEDS} runs"


def test_a_new_leader_that_adds_no_time(monkeypatch):
    init = LeaseDeadlines.__init__
    monkeypatch.setattr(
        LeaseDeadlines,
        "__init__",
        lambda self, leases, now_ms, extension_ms, **options: init(self, leases, now_ms, -1500, **options),
    )
    assert "ends early" in violations()


def test_a_renewal_that_leaves_an_old_checkpoint_in_force(monkeypatch):
    renew = TimedLease.renew

    def forget(self, now_ms):
        self.checkpoint_in_log = 0
        renew(self, now_ms)

    monkeypatch.setattr(TimedLease, "renew", forget)
    calm = Options(
        crash_rate=0, partition_rate=0, clock_drift=0, lease_clients=10, clients=1, transfer_rate=1
    )
    assert "ends early" in violations(calm)


def test_renewing_without_asking_whether_it_still_leads(monkeypatch):
    def answer(self, applied, now_ms, replies):
        """As if every question was confirmed as soon as it comes."""
        if self._term:
            for read in [*self._questions._waiting, *self._questions._round]:
                self._answer(read.handle, self._clock.read(now_ms), replies)
            self._questions.take_all()
            self._log_renewals()

    monkeypatch.setattr(LeaseKeeper, "answer", answer)
    cut_off = Options(
        nodes=5,
        safety_ms=14_000,
        check_quorum=False,
        partition_rate=1.0,
        crash_rate=0,
        pause_rate=0,
        disk_full_rate=0,
        fault_ms=(3_000, 6_000),
        lease_clients=8,
        clients=2,
    )
    found = violations(cut_off)
    assert "ends early" in found or "is said not to exist" in found


def test_what_a_deposed_leader_decided_taking_effect(monkeypatch):
    monkeypatch.setattr(apply, "_check_term", lambda header, term: None)
    deposed = Options(
        partition_rate=1,
        transfer_rate=1,
        check_quorum=False,
        sync_us=(100, 40_000),
        lease_clients=10,
        clients=1,
    )
    found = violations(deposed)
    assert "ends early" in found or "have not ended" in found or "is said not to exist" in found


def test_leases_that_never_end(monkeypatch):
    monkeypatch.setattr(LeaseDeadlines, "take_ended", lambda self, now_ms, limit: [])
    assert "leases that have not ended: [" in violations()


def test_keys_that_go_one_by_one(monkeypatch):
    def revoke(self, request):
        lease = self.keyspace.leases.find(LeaseRevokeRequest.FromString(request).ID)
        if lease is None:
            raise LEASE_NOT_FOUND.fresh()
        result = self.keyspace.delete_keys(())
        for key in sorted(lease.keys):
            result = self.keyspace.delete_keys([key])
        self.keyspace.leases.remove(lease)
        self.lease_changes.append(lease)
        return result

    monkeypatch.setattr(StateMachine, "_lease_revoke", revoke)
    found = violations()  # revisions are not what the log means: reads and writes notice it too
    assert "the log means" in found or "revision" in found
