"""etcd#14685: after a crash in the midst of a defragmentation, a member held something else than others.

The process kills itself at exactly the step in question, with writes going on and acknowledged
from the log alone until then.
"""

import contextlib
import signal

import grpc
import pytest

from miniraft.pb.rpc_pb2 import (
    CompactionRequest,
    CompactionResponse,
    DefragmentRequest,
    DefragmentResponse,
    PutRequest,
    PutResponse,
)
from tests.support.member_processes import PATIENCE_SECONDS, Processes, Writer, initial_cluster, until

VALUE = b"x" * 100_000
OVERWRITTEN = 40

# What runs instead of the plain server: {step} is where its life ends.
PROGRAM = """
import os, pathlib, runpy, signal, time
from miniraft.runtime.lmdb_store import LmdbStore

def die():
    time.sleep(0.3)  # writes are answered meanwhile, and are in no file but the log
    os.kill(os.getpid(), signal.SIGKILL)

def write_copy(store, path, real=LmdbStore._write_copy):
    if {step!r} == "half a copy":
        real(store, path)
        os.truncate(path, path.stat().st_size // 2)
        die()
    real(store, path)

def replace(path, target, real=pathlib.Path.replace):
    if not path.name.endswith(".defragmented.tmp"):
        return real(path, target)
    if {step!r} == "copied":
        die()
    real(path, target)
    die()

LmdbStore._write_copy = write_copy
pathlib.Path.replace = replace
runpy.run_module("miniraft", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("step", ["half a copy", "copied", "in place of the old file"])
def test_a_crash_while_defragmenting_loses_nothing_14685(tmp_path, step):
    with Processes(tmp_path) as processes:
        member = processes.new("m1")
        member.program = ("-c", PROGRAM.format(step=step))
        cluster = initial_cluster(member)
        member.start(cluster)
        make_unused_space(member)
        with Writer([member], b"before") as early:
            until(lambda: len(early.acknowledged) > 20, "writes")
            with Writer([member], b"beside") as late:
                crash_while_defragmenting(member)
        assert late.acknowledged, "nothing was written beside the defragmentation"
        process_ended_by = member.process.wait()
        member.kill()
        assert process_ended_by == -signal.SIGKILL, member.log()[-1500:]

        member.program = ("-m", "miniraft")
        member.start(cluster)
        for writer in (early, late):
            writer.assert_nothing_lost(member)
        assert member.keys()[b"big"] == VALUE + b"%d" % (OVERWRITTEN - 1)
        with Writer([member], b"again") as again:
            until(lambda: len(again.acknowledged) > 20, "writes")
            for _ in range(3):
                member.call(
                    "Maintenance/Defragment", DefragmentRequest(), DefragmentResponse, PATIENCE_SECONDS
                )
            assert member.status().dbSize < OVERWRITTEN * len(VALUE) / 4
            member.kill()  # what came beside it is in the new file, or still in the log
        assert not list(member.data.rglob("*.defragmented.tmp"))
        member.start(cluster)
        for writer in (early, late, again):
            writer.assert_nothing_lost(member)


def make_unused_space(member):
    for number in range(OVERWRITTEN):
        put = PutRequest(key=b"big", value=VALUE + b"%d" % number)
        revision = member.call("KV/Put", put, PutResponse).header.revision
    compaction = CompactionRequest(revision=revision, physical=True)
    member.call("KV/Compact", compaction, CompactionResponse, PATIENCE_SECONDS)


def crash_while_defragmenting(member):
    with contextlib.suppress(grpc.RpcError):
        member.call("Maintenance/Defragment", DefragmentRequest(), DefragmentResponse, PATIENCE_SECONDS)
        raise AssertionError("the member lived on")
