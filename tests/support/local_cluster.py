"""`miniraft cluster` as a process, printing lines."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 40.0
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("ETCD_", "ETCDCTL_"))}
ENVIRONMENT = CLEAN | {"PYTHONPATH": str(ROOT)}


def miniraft(folder, *words, check=True):
    result = subprocess.run(
        [sys.executable, "-m", "miniraft", "cluster", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )
    assert not check or result.returncode == 0, result.stderr
    return result


class Running:
    """A cluster that prints lines."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.output = folder / f"output-{time.monotonic_ns()}.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "miniraft", "cluster", *words],
                cwd=folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def lines(self):
        return self.output.read_text().splitlines()

    def wait_for(self, pattern, after=0):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for line in self.lines[after:]:
                if re.search(pattern, line):
                    return line
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.1)
        raise AssertionError(f"no line {pattern!r} in\n{self.output.read_text()}")

    def pids(self):
        return [int(re.search(r"pid=(\d+)", line)[1]) for line in self.lines if line.startswith("member ")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextlib.contextmanager
def running(folder, *words):
    cluster = Running(folder, *words)
    try:
        yield cluster
    finally:
        if cluster.process.poll() is None:
            cluster.process.kill()
            cluster.process.wait()


def status(folder):
    return json.loads(miniraft(folder, "status", "--json").stdout)
