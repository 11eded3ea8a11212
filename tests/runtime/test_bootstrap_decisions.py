"""What a member does at its start, from its folder, its flags and what the others say."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.pb import peer_pb2
from miniraft.peer.security import PeerTls
from miniraft.peer.server import PeerServer
from miniraft.peer.settings import PeerSettings
from miniraft.raft.entry import Entry
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from miniraft.runtime.bootstrap import begin
from miniraft.runtime.data_dir import DataFolder
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.bootstrap import BootstrapError, new_cluster, parse_initial_cluster
from miniraft.server.metastate import load_position, store_config, store_position
from tests.support.servers import free_ports, single_config

NO_TLS = PeerTls()


@asynccontextmanager
async def peer_that_says(url, reply):
    """A member's peer API that answers Describe, and nothing else."""
    server = PeerServer(lambda: reply, NO_TLS, PeerSettings(), lambda *_, **__: None)
    await server.listen([url])
    yield
    await server.close()


class Situation:
    """m1 is to be started; m2 is its peer."""

    def __init__(self, tmp_path, **changes):
        own, other = free_ports(2)
        self.urls = {"m1": f"http://127.0.0.1:{own}", "m2": f"http://127.0.0.1:{other}"}
        self.initial_cluster = ",".join(f"{name}={url}" for name, url in self.urls.items())
        self.config = single_config(
            tmp_path,
            initial_cluster=self.initial_cluster,
            initial_advertise_peer_urls=(self.urls["m1"],),
            **changes,
        )
        self.folder = DataFolder(tmp_path / "m1")
        self.first = new_cluster(parse_initial_cluster(self.initial_cluster), "m1", "etcd-cluster")

    async def begin(self):
        return await begin(self.config, self.folder, NO_TLS)

    def description(self, *, started=(), **changes):
        fields = {"bootstrapped": True, "cluster_id": self.first.cluster_id, "member_name": "m2"}
        reply = peer_pb2.DescribeReply(**{**fields, **changes})
        for member in self.first.members:
            urls = ["http://127.0.0.1:1"] if member.name in started else []
            reply.members.add(id=member.id, name=member.name, peer_urls=member.peer_urls, client_urls=urls)
        return reply

    def close(self, beginning=None):
        if beginning is not None:
            beginning.wal.close()
            beginning.store.close()
        self.folder.release()


def run(scenario):
    asyncio.run(scenario())


def test_a_new_cluster_is_formed_though_nobody_else_is_up(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        beginning = await here.begin()
        assert (beginning.cluster_id, beginning.member_id) == (here.first.cluster_id, here.first.member_id)
        assert beginning.recovered.snapshot == here.first.snapshot
        assert load_position(beginning.store) == here.first.snapshot
        assert list(beginning.unverified_peers.values()) == [(here.urls["m2"],)]
        here.close(beginning)

    run(scenario)


def test_a_start_that_was_interrupted_is_begun_again(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        beginning = await here.begin()
        here.close(beginning)
        for path in here.folder.wal.iterdir():  # the crash came before the log was made
            path.unlink()
        here.folder = DataFolder(tmp_path / "m1")
        again = await here.begin()
        assert again.recovered.snapshot == here.first.snapshot
        here.close(again)

    run(scenario)


def test_a_restart_ignores_the_flags(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        here.close(await here.begin())
        changed = Situation(tmp_path, initial_cluster_token="another")
        beginning = await changed.begin()
        assert beginning.cluster_id == here.first.cluster_id
        assert not beginning.unverified_peers
        changed.close(beginning)

    run(scenario)


def test_peers_that_are_starting_too_are_no_hindrance(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        async with peer_that_says(here.urls["m2"], peer_pb2.DescribeReply(member_name="m2")):
            beginning = await here.begin()
        here.close(beginning)

    run(scenario)


def test_a_slow_member_may_still_form_the_cluster_that_the_others_have_formed(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        async with peer_that_says(here.urls["m2"], here.description(started=("m2",))):
            beginning = await here.begin()
        here.close(beginning)

    run(scenario)


def test_a_member_that_has_been_there_before_is_refused(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        async with peer_that_says(here.urls["m2"], here.description(started=("m1", "m2"))):
            with pytest.raises(BootstrapError) as refused:
                await here.begin()
        text = str(refused.value)
        assert f"member m1 ({here.first.member_id:x}) has already been bootstrapped" in text
        assert f"etcdctl member remove {here.first.member_id:x}" in text
        assert f"etcdctl member add m1 --peer-urls={here.urls['m1']}" in text
        assert list(here.folder.wal.iterdir()) == []
        here.close()

    run(scenario)


def test_a_member_that_was_removed_is_refused(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        reply = here.description()
        kept = [member for member in reply.members if member.name != "m1"]
        del reply.members[:]
        reply.members.extend(kept)
        async with peer_that_says(here.urls["m2"], reply):
            with pytest.raises(BootstrapError, match="has been removed from cluster"):
                await here.begin()
        here.close()

    run(scenario)


def test_joining_takes_the_ids_from_the_others(tmp_path):
    async def scenario():
        here = Situation(tmp_path, initial_cluster_state="existing")
        reply = here.description(cluster_id=0xABC)
        own = next(member for member in reply.members if member.name == "m1")
        own.name, own.id = "", 0x123
        async with peer_that_says(here.urls["m2"], reply):
            beginning = await here.begin()
            assert (beginning.cluster_id, beginning.member_id) == (0xABC, 0x123)
            assert load_position(beginning.store).index == 0
            assert {member.name for member in beginning.assumed_members} == {"", "m2"}
            here.close(beginning)
            # Stopped before the leader's first word: it has to ask again who the others are.
            here.folder = DataFolder(tmp_path / "m1")
            again = await here.begin()
            assert again.member_id == 0x123
            assert len(again.assumed_members) == 2
        here.close(again)

    run(scenario)


def test_joining_without_having_been_added_says_how(tmp_path):
    async def scenario():
        here = Situation(tmp_path, initial_cluster_state="existing")
        reply = here.description()
        kept = [member for member in reply.members if member.name != "m1"]
        del reply.members[:]
        reply.members.extend(kept)
        async with peer_that_says(here.urls["m2"], reply):
            with pytest.raises(BootstrapError, match="etcdctl member add m1"):
                await here.begin()
        here.close()

    run(scenario)


def test_joining_nobody_is_refused(tmp_path):
    async def scenario():
        here = Situation(tmp_path, initial_cluster_state="existing")
        here.config = single_config(tmp_path, initial_cluster_state="existing")
        with pytest.raises(BootstrapError, match="needs the other members"):
            await here.begin()
        here.close()

    run(scenario)


def test_a_name_that_is_not_in_the_cluster_is_refused(tmp_path):
    async def scenario():
        here = Situation(tmp_path, name="m9")
        with pytest.raises(BootstrapError, match='couldn\'t find local name "m9"'):
            await here.begin()
        here.close()

    run(scenario)


def test_a_keyspace_without_its_log_is_refused(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        store = LmdbStore(here.folder.store_file)
        store_position(store, 7, 2)
        commit(store)
        store.close()
        with pytest.raises(BootstrapError, match=r"up to log entry 7, but there is no log.*--wal-dir"):
            await here.begin()
        here.close()

    run(scenario)


def test_an_installation_that_a_crash_interrupted_is_finished(tmp_path):
    async def scenario():
        here = Situation(tmp_path)
        beginning = await here.begin()
        config = ConfigState((here.first.member_id,))
        snapshot = SnapshotMetadata(9, 3, config)
        # The log has the snapshot's record; its data lies beside the store.
        beginning.wal.append(HardState(3, 0, 9), (), snapshot)
        beginning.wal.append(None, [Entry(3, 10, 0, b"")])
        beginning.wal.sync()
        received = LmdbStore(here.folder.received_file(snapshot))
        store_config(received, config)
        store_position(received, 9, 3)
        received.put(Bucket.KEY, b"k", b"v")
        commit(received)
        received.close()
        here.close(beginning)

        here.folder = DataFolder(tmp_path / "m1")
        again = await here.begin()
        assert load_position(again.store) == snapshot
        assert again.store.get(Bucket.KEY, b"k") == b"v"
        assert not here.folder.received_file(snapshot).exists()
        here.close(again)

    run(scenario)


def commit(store):
    running = store.begin_commit()
    running.write()
    running.finish()
