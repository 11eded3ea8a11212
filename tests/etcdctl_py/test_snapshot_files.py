"""`snapshot status` and `snapshot restore`, against the real etcdctl, and the drill of the courses."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.etcdctl import assert_equal, run_ours, run_process, run_real
from tests.support.real_etcd import free_port

PATIENCE_SECONDS = 40


@pytest.fixture(scope="module")
def snapshot(server, tmp_path_factory):
    """A snapshot with puts, an overwrite and a deletion in it."""
    for words in (("put", "a", "1"), ("put", "a", "2"), ("put", "b", "1"), ("del", "b")):
        assert run_ours("--endpoints", server, *words).code == 0
    path = tmp_path_factory.mktemp("saved") / "snapshot.db"
    assert run_ours("--endpoints", server, "snapshot", "save", str(path)).code == 0
    return path


# --- status ---


@pytest.mark.parametrize("output_format", ["simple", "json", "fields", "protobuf", "xml"])
def test_status_is_shown_alike(snapshot, output_format):
    words = ("snapshot", "status", str(snapshot), "-w", output_format)
    real, ours = run_real(*words), run_ours(*words)
    assert_equal(real, ours, words)
    assert (ours.code == 0) == (output_format in {"simple", "json", "fields"})


def test_status_draws_a_table_of_the_same_figures(snapshot):
    path = str(snapshot)
    figures = run_real("snapshot", "status", path).out.decode().strip().split(", ")
    ours = run_process("--write-out=table", "snapshot", "status", path)
    rule, head, _, cells, _ = ours.out.decode().splitlines()
    assert set(rule) == {"+", "-"}
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        *("HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE")
    ]
    assert [cell.strip() for cell in cells.strip("|").split("|")] == figures


def test_the_format_may_come_from_the_variable(snapshot):
    """As everywhere else; the real etcdctl forgets the variable for this one command."""
    words = ("snapshot", "status", str(snapshot))
    ours = run_process(*words, environment={"ETCDCTL_WRITE_OUT": "json"})
    assert ours.out == run_real(*words, "-w", "json").out


@pytest.mark.parametrize("command", ["status", "restore"])
def test_the_deprecation_comes_first_and_names_both_programs(snapshot, tmp_path, command):
    flags = ("--data-dir", str(tmp_path / "data")) if command == "restore" else ()
    words = ("snapshot", command, str(snapshot), *flags)
    ours = run_process(*words)
    first, second = ours.error_text.splitlines()[:2]
    assert ours.code == 0
    assert (first, second) == (
        f"Deprecated: Use `etcdutl snapshot {command}` or `etcdutl-py snapshot {command}` instead.",
        "",
    )
    shared, _, _ = first.partition(" or ")
    assert run_real("snapshot", command).error_text.startswith(shared)


# --- errors ---


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "status a b",
        "status nothing-here",
        "restore",
        "restore a b",
        "restore FILE --data-dir TAKEN",
        "restore FILE --data-dir NEW --bump-revision 5",
        "restore FILE --data-dir NEW --mark-compacted",
    ],
)
def test_errors_are_equal(snapshot, tmp_path, monkeypatch, words):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    monkeypatch.chdir(tmp_path)
    names = {"FILE": str(snapshot), "TAKEN": "taken"}
    real, ours = (
        run("snapshot", *[names.get(word, new if word == "NEW" else word) for word in words.split()])
        for run, new in ((run_real, "theirs"), (run_ours, "ours"))
    )
    assert_equal(real, ours, words)
    assert ours.code != 0


@pytest.mark.parametrize(
    "words",
    [
        "status FILE --bump-revision 1",
        "restore FILE --bump-revision=-1",
        "restore FILE --initial-memory-map-size=x",
        "restore FILE --mark-compacted=x",
    ],
)
def test_bad_flags_end_in_the_same_line(words):
    real, ours = (run("snapshot", *words.split()) for run in (run_real, run_ours))
    assert (ours.code, ours.last_error) == (real.code, real.last_error)
    assert ours.out == b""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("nothing-here --data-dir data", "nothing-here: no such file or directory"),
        ("FILE --data-dir data --name other", 'couldn\'t find local name "other" in the initial cluster'),
    ],
)
def test_errors_of_restore_name_the_same(snapshot, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    words = ["snapshot", "restore", *words.replace("FILE", str(snapshot)).split()]
    real, ours = (run(*words) for run in (run_real, run_ours))
    assert ours.code == real.code == 1
    assert named in ours.last_error
    assert named in real.last_error


def test_a_missing_package_is_named(snapshot, monkeypatch):
    monkeypatch.delitem(sys.modules, "miniraft.etcdutl", raising=False)
    monkeypatch.setitem(sys.modules, "miniraft", None)
    ours = run_ours("snapshot", "status", str(snapshot))
    assert (ours.code, ours.out) == (1, b"")
    assert "needs etcdutl of the package miniraft" in ours.last_error
    assert "etcdutl snapshot status" in ours.error_text


def test_a_file_is_no_flag_and_the_working_directory_no_code(snapshot, tmp_path, monkeypatch):
    (tmp_path / "-w").write_bytes(snapshot.read_bytes())
    for name in ("json.py", "miniraft.py"):
        (tmp_path / name).write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    ours = run_ours("snapshot", "status", "--", "-w")
    assert (ours.code, ours.out) == (0, run_real("snapshot", "status", str(snapshot)).out)


# --- restore ---


def test_restore_hands_on_every_flag(snapshot, tmp_path):
    """The end of the report is the command to start with; the log is where it was wanted."""
    bare = tmp_path / "copied.db"
    bare.write_bytes(snapshot.read_bytes()[:-32])
    peer, cluster = "http://127.0.0.1:7", "b=http://127.0.0.1:8,a=http://127.0.0.1:7"
    data, log = tmp_path / "my data", tmp_path / "log"
    flags = (
        *("--data-dir", str(data), f"--wal-dir={log}", "--name=a", "--initial-cluster", cluster),
        *("--initial-cluster-token", "salt", f"--initial-advertise-peer-urls={peer}", "--skip-hash-check"),
        *("--bump-revision=0x3e8", "--mark-compacted", "--initial-memory-map-size", "20", "-w", "xml"),
    )
    before = int(run_ours("snapshot", "status", str(snapshot)).out.split(b", ")[1])
    ours = run_ours("snapshot", "restore", str(bare), *flags)
    assert (ours.code, ours.out) == (0, b""), ours.error_text
    assert list(log.iterdir())
    assert f"revision {before + 1000}" in ours.error_text
    start = ours.error_text.splitlines()[-1]
    wanted = (f"'--data-dir={data}'", f"--wal-dir={log}", "--name=a", cluster, "token=salt", peer)
    assert all(text in start for text in wanted), start


# --- the drill ---


class ControlPlane:
    """One member with TLS for its clients, started as a static pod starts it."""

    def __init__(self, folder, authority):
        self.folder = folder
        self.authority_file = authority.cert_file
        self.pair = authority.issue("controlplane")
        self.client = f"https://127.0.0.1:{free_port()}"
        self.peer = f"http://127.0.0.1:{free_port()}"

    @contextlib.contextmanager
    def running(self, data_dir):
        command = [
            *(sys.executable, "-m", "miniraft", "--name=controlplane", f"--data-dir={data_dir}"),
            *(f"--listen-client-urls={self.client}", f"--advertise-client-urls={self.client}"),
            *(f"--listen-peer-urls={self.peer}", f"--initial-advertise-peer-urls={self.peer}"),
            *(f"--initial-cluster=controlplane={self.peer}", "--client-cert-auth=true"),
            *(f"--cert-file={self.pair.cert_file}", f"--key-file={self.pair.key_file}"),
            f"--trusted-ca-file={self.authority_file}",
        ]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
        with (self.folder / "member.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            self._wait(process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait(self, process):
        limit = time.monotonic() + PATIENCE_SECONDS
        while (answer := self.etcdctl("get", "x", must=False)).code != 0:
            log = (self.folder / "member.log").read_text(errors="replace")[-2000:]
            assert process.poll() is None, log
            assert time.monotonic() < limit, answer.error_text + log
            time.sleep(0.1)

    def etcdctl(self, *words, must=True):
        """Runs etcdctl-py with the flags of the courses."""
        flags = (
            *(f"--endpoints={self.client}", f"--cacert={self.authority_file}"),
            *(f"--cert={self.pair.cert_file}", f"--key={self.pair.key_file}"),
        )
        outcome = run_process(*words[:2], *flags, *words[2:], environment={"ETCDCTL_API": "3"})
        assert outcome.code == 0 or not must, outcome.error_text
        return outcome


def test_the_drill_of_backup_and_restore(tmp_path, authority):
    """Put, save, status, lose the data, restore with --data-dir alone, start on it as before, get."""
    machine = ControlPlane(tmp_path, authority)
    backup, restored = str(tmp_path / "backup.db"), str(tmp_path / "etcd-from-backup")
    with machine.running(tmp_path / "etcd"):
        machine.etcdctl("put", "pod", "running")
        assert machine.etcdctl("snapshot", "save", backup).out.decode() == f"Snapshot saved at {backup}\n"
        status = run_process("snapshot", "status", backup, "--write-out=table")
        assert "TOTAL KEYS" in status.out.decode()
        assert machine.etcdctl("del", "pod").out == b"1\n"
    outcome = machine.etcdctl("snapshot", "restore", backup, f"--data-dir={restored}")
    assert Path(restored, "member", "wal").is_dir(), outcome.error_text
    with machine.running(restored):
        assert machine.etcdctl("get", "pod").out == b"pod\nrunning\n"
        machine.etcdctl("put", "pod", "again")
