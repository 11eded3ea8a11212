"""--force-new-cluster on a disk that may fail, and among members that may still run."""

from dataclasses import replace
from random import Random

import pytest

from miniraft.peer.security import PeerTls
from miniraft.raft.config import RaftConfig
from miniraft.raft.state import ConfigState, HardState
from miniraft.runtime import log
from miniraft.runtime.bootstrap import begin
from miniraft.runtime.data_dir import DataFolder
from miniraft.runtime.force_new_cluster import write_new_cluster
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.config import MemberConfig
from miniraft.server.force_new_cluster import plan_new_cluster
from miniraft.server.restore import restore_member
from miniraft.wal.wal import create_log, open_log
from tests.runtime.test_bootstrap_decisions import Situation, peer_that_says, run
from tests.server.test_force_new_cluster import THREE, ConfigChange, change, log_of, store_of
from tests.support.lossy_disk import LossyDisk, PowerLost

NO_TLS = PeerTls()


@pytest.fixture
def logged(monkeypatch):
    events = []

    def event(level, message, **fields):
        events.append((level, message, fields))

    monkeypatch.setattr(log, "event", event)
    return events


# Crashes --------------------------------------------------------------------------------------
def disk_with_log():
    """A log of three members that ends with a change of membership which is not committed."""
    recovered = log_of(change(15, ConfigChange.ADD_LEARNER, 4, peer_urls=["http://n4:2380"]))
    disk = LossyDisk()
    wal = create_log(disk, recovered.metadata, recovered.snapshot, segment_bytes=4096)
    wal.append(recovered.hard_state, recovered.entries)
    wal.sync()
    return disk


def force(disk):
    wal, recovered = open_log(disk, segment_bytes=4096)
    plan = plan_new_cluster(recovered, store_of(THREE), 1)
    write_new_cluster(wal, plan)


def restored(disk):
    """The member that a start without the flag makes of the log."""
    _, recovered = open_log(disk, segment_bytes=4096)
    config = MemberConfig(cluster_id=9, raft=RaftConfig(1))
    member = restore_member(config, recovered, store_of(THREE), Random(1), 1 << 40, 0)
    assert member.raft.committed == recovered.hard_state.commit, "nothing is taken for committed by guessing"
    member.drain()
    return member


def call_count():
    disk = disk_with_log()
    before = disk.calls
    force(disk)
    return disk.calls - before


@pytest.mark.parametrize("seed", range(3))
def test_power_that_goes_in_any_call_leaves_a_log_that_can_be_finished(seed):
    random = Random(seed)
    configs = set()
    for call in range(call_count()):
        disk = disk_with_log()
        disk.power_lost_in = call
        with pytest.raises(PowerLost):
            force(disk)
        found = disk.after_power_loss(lambda: random.random() < 0.5)
        member = restored(found)
        assert member.applied_snapshot.index >= 14, "what was committed stays so"
        configs.add(member.applied_snapshot.config)
        force(found)
        member = restored(found)
        assert member.applied_snapshot.config == ConfigState((1,))
        assert member.keyspace.revision == 4, "13, 14 and 16 wrote keys"
    assert len(configs) > 2, "it was cut short at different places"


def test_a_disk_that_fails_ends_the_start():
    disk = disk_with_log()
    disk.fails_in = 2
    with pytest.raises(OSError, match="No space left"):
        force(disk)


# The others -----------------------------------------------------------------------------------
def forced(here):
    return begin(replace(here.config, force_new_cluster=True), here.folder, NO_TLS)


async def formed(tmp_path):
    """The folder of m1, which has formed a cluster of two with m2."""
    here = Situation(tmp_path)
    here.close(await here.begin())
    here.folder = DataFolder(tmp_path / "m1")
    return here


def test_a_member_whose_other_is_gone_stands_alone(tmp_path, logged):
    async def scenario():
        here = await formed(tmp_path)
        beginning = await forced(here)
        last = beginning.recovered.entries[-1]
        assert beginning.recovered.hard_state == HardState(2, here.first.member_id, last.index)
        assert ConfigChange.FromString(last.data).kind == ConfigChange.REMOVE
        here.close(beginning)
        here.folder = DataFolder(tmp_path / "m1")
        again = await here.begin()
        assert again.recovered.hard_state == beginning.recovered.hard_state, "it was written"
        assert again.recovered.entries == beginning.recovered.entries
        here.close(again)

    run(scenario)
    assert any(message == "forcing restart member" for _, message, _ in logged)


def test_it_is_refused_while_another_member_runs(tmp_path):
    async def scenario():
        here = await formed(tmp_path)
        async with peer_that_says(here.urls["m2"], here.description(started=("m1", "m2"))):
            with pytest.raises(BootstrapError, match=f"answers at {here.urls['m2']}.*leave the flag out"):
                await forced(here)
        here.folder.release()
        here.folder = DataFolder(tmp_path / "m1")
        # At that address there is a member of another cluster by now: it does not matter.
        async with peer_that_says(here.urls["m2"], here.description(cluster_id=5)):
            here.close(await forced(here))

    run(scenario)


def test_an_empty_folder_is_refused(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        with pytest.raises(BootstrapError, match=f"there is no log in {here.folder.wal}"):
            await forced(here)
        here.close()

    run(scenario)


def test_another_address_is_told(tmp_path, logged):
    async def scenario():
        here = await formed(tmp_path)
        here.config = replace(here.config, initial_advertise_peer_urls=("http://127.0.0.9:1",))
        here.close(await forced(here))
        fixes = [fields.get("fix") for _, _, fields in logged]
        assert f"etcdctl member update {here.first.member_id:x} --peer-urls=http://127.0.0.9:1" in fixes

    run(scenario)
