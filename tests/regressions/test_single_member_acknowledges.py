"""etcd#14370: a cluster of one answered a write before it was durable, and lost it in a crash."""

import asyncio
import contextlib
import threading

from miniraft.runtime.disk import RealAppendFile
from miniraft.runtime.server import start_server
from tests.server.harness import Wired
from tests.support.member_processes import Processes, Writer, initial_cluster, until
from tests.support.servers import PATIENCE_SECONDS, get, put, single_config


def test_what_a_single_member_acknowledged_survives_its_crash_14370(tmp_path):
    with Processes(tmp_path) as processes:
        member = processes.new("m1")
        acknowledged = []
        for life in range(3):
            member.start(initial_cluster(member))
            until(member.keys if life else member.status, "the member serves")
            for writer in acknowledged:
                writer.assert_nothing_lost(member)
            with contextlib.ExitStack() as load:
                writers = [load.enter_context(Writer([member], b"life%d-%d" % (life, n))) for n in range(4)]
                until(lambda fresh=writers: all(len(w.acknowledged) >= 25 for w in fresh), "writes")
                member.kill()
            acknowledged += writers
        member.start(initial_cluster(member))
        for writer in acknowledged:
            writer.assert_nothing_lost(member)


def test_a_single_member_replies_only_once_it_is_told_of_durability_14370():
    cluster = Wired(1)
    cluster.pump()
    node = cluster.elect()
    node.hold_log = True
    for number in range(5):
        node.put(number, b"k%d" % number)
        cluster.pump()
    cluster.tick(3)
    assert not node.answers.replies
    assert node.member.keyspace.revision == 1, "what is not durable must not be seen either"
    node.persisted = node.written - 3  # the disk has some of it
    node.member.persisted(node.persisted)
    cluster.pump()
    assert sorted(node.answers.replies) == [0, 1]
    cluster.release(node)
    assert [node.answers.result(number).revision for number in range(5)] == [2, 3, 4, 5, 6]


def test_a_running_member_replies_only_after_the_sync_of_its_log_14370(tmp_path, monkeypatch):
    asyncio.run(_put_during_a_sync_that_hangs(tmp_path, monkeypatch))


async def _put_during_a_sync_that_hangs(folder, monkeypatch):
    server = await start_server(single_config(folder))
    try:
        await put(server, "before", "1")
        began, go_on = threading.Event(), threading.Event()
        append, sync = RealAppendFile.append, RealAppendFile.sync
        written = threading.Event()  # the put, that is: a member's own entries are synced too

        def append_and_look(file, data):
            append(file, data)
            if b"not durable yet" in data:
                written.set()

        def sync_when_told(file):
            if written.is_set():
                began.set()
                go_on.wait(PATIENCE_SECONDS)
            sync(file)

        monkeypatch.setattr(RealAppendFile, "append", append_and_look)
        monkeypatch.setattr(RealAppendFile, "sync", sync_when_told)
        try:
            writing = asyncio.create_task(put(server, "k", "not durable yet"))
            assert await asyncio.to_thread(began.wait, PATIENCE_SECONDS), "the log was not synced"
            await asyncio.sleep(0.05)  # whoever replies too early has the time to
            assert not writing.done()
            assert get(server, "k") is None
        finally:
            go_on.set()
        await writing
        assert get(server, "k") == "not durable yet"
    finally:
        await server.stop(hand_over=False)
