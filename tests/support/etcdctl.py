"""Runs etcdctl-py inside the test's process, and the real etcdctl beside it."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from etcdctl_py.cli import run
from etcdctl_py.console import Console, to_text
from tests.support.real_etcd import real_binary

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 15.0


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    code: int
    out: bytes
    err: bytes

    @property
    def last_error(self):
        """The last line of standard error."""
        lines = self.err.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def error_text(self):
        """All of standard error."""
        return self.err.decode("utf-8", "replace")


def arguments_of(words):
    """Arguments as the program's main function hands them on."""
    return [to_text(os.fsencode(word) if isinstance(word, str) else word) for word in words]


def run_ours(*words, stdin=b"", environment=None):
    """Runs etcdctl-py in this process."""
    console = Console(io.BytesIO(stdin), io.BytesIO(), io.BytesIO(), environment or {})
    code = run(arguments_of(words), console)
    return Outcome(int(code), console.stdout.getvalue(), console.stderr.getvalue())


def run_process(*words, stdin=b"", environment=None, timeout_s=30):
    """Runs etcdctl-py as a process of its own."""
    return _run([sys.executable, "-m", "etcdctl_py", *words], stdin, environment, timeout_s)


def run_real(*words, stdin=b"", environment=None, old=False, timeout_s=30):
    """Runs the real etcdctl."""
    return _run([str(real_binary("etcdctl", old)), *words], stdin, environment, timeout_s)


def _run(command, stdin, environment, timeout_s):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ETCDCTL_")}
    clean |= {"PYTHONPATH": str(ROOT)} | (environment or {})
    done = subprocess.run(command, input=stdin, capture_output=True, env=clean, timeout=timeout_s)
    return Outcome(done.returncode, done.stdout, done.stderr)


class Running:
    """A command in the background, its output in files."""

    def __init__(self, folder, command, stdin=subprocess.DEVNULL, environment=None):
        self._out, self._err = folder / f"out{id(self)}", folder / f"err{id(self)}"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ETCDCTL_")}
        clean |= {"PYTHONPATH": str(ROOT)} | (environment or {})
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, env=clean)

    @property
    def out(self):
        return self._out.read_bytes()

    @property
    def err(self):
        return self._err.read_bytes()

    def wait_for(self, text, times=1):
        """Waits until the output holds a text so many times."""
        deadline = time.monotonic() + PATIENCE_S
        while (self.out + self.err).count(text) < times:
            assert time.monotonic() < deadline, (self.out, self.err)
            assert self.process.poll() is None, (self.out, self.err)
            time.sleep(0.01)

    def interrupt(self):
        """Sends SIGINT and returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def running(folder, *words, real=False, **more):
    """Runs one of the two programs in the background, and ends it."""
    command = [str(real_binary("etcdctl"))] if real else [sys.executable, "-m", "etcdctl_py"]
    run = Running(folder, [*command, *words], **more)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        if run.process.stdin:
            run.process.stdin.close()


def post(address, path, body):
    """Posts to the JSON gateway and returns the answer."""
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.loads(response.read())


def without_program_name(text):
    """Error texts name the program: ours is called etcdctl-py."""
    return text.replace("etcdctl-py", "etcdctl")


# Of an answer by etcd 3.6 or later, such as miniraft gives, etcdctl 3.5 shows less: it does not know these.
_NEW_FIELDS = re.compile(
    rb',"(?:hash_revision":\d+|storageVersion":"[^"]*"|dbSizeQuota":\d+|downgradeInfo":{[^}]*})'
)


def without_new_fields(outcome):
    """Takes out of an outcome in JSON what etcdctl 3.5 does not know."""
    return replace(outcome, out=_NEW_FIELDS.sub(b"", outcome.out))


def until(condition, limit_s=PATIENCE_S):
    """Waits for a condition to hold, and returns what it returned; without it the test fails."""
    deadline = time.monotonic() + limit_s
    while not (met := condition()):
        assert time.monotonic() < deadline, "what was waited for did not come about"
        time.sleep(0.02)
    return met


class Twins:
    """Two servers with one history: the real etcdctl works on the first, ours on the second."""

    def __init__(self, first, second):
        self.first = first
        self.second = second

    def post(self, path, body):
        """Posts the same to both."""
        for address in (self.first, self.second):
            post(address, path, body)

    def compare(self, *words, stdin=b"", errors=True):
        """Runs the same on both; output and exit code must be equal. Returns our outcome."""
        real = run_real("--endpoints", self.first, *words, stdin=stdin)
        ours = run_ours("--endpoints", self.second, *words, stdin=stdin)
        assert_equal(real, ours, words, errors)
        return ours

    def compare_reading(self, *words, stdin=b"", errors=True):
        """Runs the same on one server, for commands that change nothing."""
        real = run_real("--endpoints", self.second, *words, stdin=stdin)
        ours = run_ours("--endpoints", self.second, *words, stdin=stdin)
        assert_equal(real, ours, words, errors)
        return ours


def assert_equal(real, ours, words, errors=True):
    """Standard output and exit code are equal, and after a failure the last line of stderr."""
    shown = " ".join(map(str, words))
    assert ours.out == real.out, f"{shown}: {ours.error_text}"
    assert ours.code == real.code, f"{shown}: {ours.error_text}"
    if real.code != 0 and errors:
        assert without_program_name(ours.last_error) == real.last_error, shown
