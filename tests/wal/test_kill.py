"""kill -9 at random moments: everything reported durable is there afterwards."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from miniraft.raft.state import HardState
from miniraft.runtime.disk import RealDisk
from miniraft.wal.wal import create_log, open_log, verify_log
from tests.wal.log_building import BOOTSTRAP, METADATA

ROOT = Path(__file__).parents[2]
SEGMENT_BYTES = 200_000

# Appends as fast as it can and prints each sequence that is durable. Now and then entries are
# overridden, as after a change of leader, and the log is purged behind a snapshot.
CHILD = """
import asyncio, os, random, sys
from pathlib import Path
from miniraft.raft.entry import Entry
from miniraft.raft.state import HardState, SnapshotMetadata
from miniraft.runtime.disk import RealDisk
from miniraft.runtime.log_writer import LogWriter
from miniraft.server.effects import Persist
from miniraft.wal.wal import open_log
from tests.wal.log_building import CONFIG, METADATA
from tests.wal.test_kill import SEGMENT_BYTES, value

async def main():
    loop = asyncio.get_running_loop()
    log, recovered = open_log(RealDisk(Path(sys.argv[1])), METADATA, segment_bytes=SEGMENT_BYTES)
    random_ = random.Random(int(sys.argv[2]))
    durable = 0
    room = asyncio.Event()

    def on_durable(sequence):
        nonlocal durable
        durable = sequence
        os.write(1, b"%d %d\\n" % (sequence, indexes[sequence]))
        room.set()

    def on_failure(error):
        os.write(2, str(error).encode())
        os._exit(1)

    writer = LogWriter(log, loop, on_durable, on_failure, keep_segments=1)
    last = recovered.entries[-1].index if recovered.entries else recovered.snapshot.index
    indexes = {}
    sequence = 0
    while True:
        sequence += 1
        first = last + 1
        last += random_.randrange(1, 20)
        new = [Entry(1, index, 0, value(index)) for index in range(first, last + 1)]
        indexes[sequence] = last
        writer.submit(Persist(sequence, HardState(1, 1, first - 1), new, True))
        if sequence % 50 == 0 and indexes.get(durable, 0) > 400:
            writer.submit_snapshot(SnapshotMetadata(indexes[durable] - 300, 1, CONFIG), lambda removed: None)
        await asyncio.sleep(0)
        while sequence - durable > 20:
            room.clear()
            await room.wait()

asyncio.run(main())
"""


def value(index):
    return (b"%d," % index) * (index % 100)


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_reported_durable_survives_kill(tmp_path, seed):
    random_ = random.Random(seed)
    folder = tmp_path / "wal"
    create_log(RealDisk(folder), METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES).close()
    for round_ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), str(round_)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        lines = random_.randrange(1, 400)
        for _ in range(lines):
            assert child.stdout.readline(), child.stderr.read()
        os.kill(child.pid, signal.SIGKILL)
        rest, errors = child.communicate(timeout=30)
        assert not errors
        reported = [line for line in rest.split(b"\n")[:-1] if line]
        durable_index = int(reported[-1].split()[1]) if reported else 0
        assert verify_log(RealDisk(folder), METADATA).error is None
        log, recovered = open_log(RealDisk(folder), METADATA, segment_bytes=SEGMENT_BYTES)
        log.close()
        assert recovered.entries[-1].index >= durable_index
        assert [entry.data for entry in recovered.entries] == [
            value(index) for index in range(recovered.snapshot.index + 1, recovered.entries[-1].index + 1)
        ]
        assert isinstance(recovered.hard_state, HardState)
    assert recovered.snapshot.index > 0 or durable_index < 1000
