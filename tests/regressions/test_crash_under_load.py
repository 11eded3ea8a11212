"""etcd#13766: after a crash under load, members differed.

There the place in the log could reach the disk without the data of the entries up to it: what
was in between was skipped after the restart. Place and data have to be committed as one.
"""

import contextlib
import shutil

from miniraft.mvcc.keyspace import Keyspace
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.metastate import load_position
from tests.support.member_processes import Processes, Writer, initial_cluster, until


def test_members_killed_under_load_hold_the_same_afterwards_13766(tmp_path):
    with Processes(tmp_path) as processes:
        members = [processes.new(f"m{number}") for number in (1, 2, 3)]
        cluster = initial_cluster(*members)
        for member in members:
            member.start(cluster)
        until(lambda: all(member.status().leader for member in members), "a leader")
        with contextlib.ExitStack() as load:
            writers = [load.enter_context(Writer(members, b"load%d" % number)) for number in range(3)]
            written = lambda count: sum(len(writer.acknowledged) for writer in writers) >= count  # noqa: E731
            until(lambda: written(150), "writes before the first crash")
            leader = members[0].status().leader
            follower = next(member for member in members if member.status().header.member_id != leader)
            follower.kill()
            until(lambda: written(300), "writes of two members")
            for member in members:
                member.kill()
        distances = {member.name: distance_from_log(member, tmp_path) for member in members}

        for member in members:
            member.start(cluster, "existing")
        until(members[0].keys, "a leader again")
        # Not until they are at the same revision: one that skipped an entry will never be.
        index = max(member.status().raftIndex for member in members)
        until(lambda: all(member.status().raftAppliedIndex >= index for member in members), "all is applied")
        for writer in writers:
            for member in members:
                writer.assert_nothing_lost(member, serializable=True)
        hashes = {member.name: member.hash_kv(0) for member in members}
        assert len(set(hashes.values())) == 1, hashes
        terms = {term for term, _ in distances.values()}
        assert len(set(distances.values())) == len(terms), (
            f"place in the log and data are not one: {distances}"
        )


def distance_from_log(member, folder):
    """The term, and how far the applied index in the file of a killed member is above its revision.

    Each put moves both by one; an election's first entry moves only the index. So once the
    cluster has been set up, it is the same for every member of the same term.
    """
    copy = folder / f"{member.name}.db"
    found = next(file for file in member.data.rglob("db") if file.is_file())
    shutil.copyfile(found, copy)
    store = LmdbStore(copy)
    try:
        position = load_position(store)
        return position.term, position.index - Keyspace(store).revision
    finally:
        store.close()
