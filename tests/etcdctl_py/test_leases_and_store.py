"""lease, defrag and snapshot, against the real etcdctl."""

import hashlib
import itertools
import re
import stat

import pytest

from tests.support.etcdctl import post, run_ours, run_process, run_real, until

FORMATS = ("simple", "json", "fields", "protobuf")
_IDS = itertools.count(0x7000_0000_0000_0001)


def grant(address, ttl_s=600, keys=()):
    """Makes a lease with an identifier of our own choice; returns it in hexadecimal."""
    lease_id = next(_IDS)
    post(address, "/v3/lease/grant", {"TTL": str(ttl_s), "ID": str(lease_id)})
    for key in keys:
        assert run_real("--endpoints", address, "put", key, "v", f"--lease={lease_id:x}").code == 0
    return f"{lease_id:x}"


def compare(address, *words):
    """Runs the same with both programs, and again if a second went by in between."""
    for _ in range(3):
        real, ours = run_real("--endpoints", address, *words), run_ours("--endpoints", address, *words)
        if ours.out == real.out:
            break
    assert (ours.out, ours.code, ours.last_error) == (real.out, real.code, real.last_error), words
    return ours


@pytest.mark.parametrize("output", FORMATS)
def test_looking_at_a_lease(server, output):
    lease = grant(server, keys=["leased"])
    for words in (
        ("lease", "timetolive", lease),
        ("lease", "timetolive", lease, "--keys"),
        ("lease", "timetolive", lease, "--keys", "--hex"),
        ("lease", "timetolive", "123"),
        ("lease", "timetolive", "123", "--keys"),
        ("lease", "keep-alive", "--once", lease),
        ("lease", "keep-alive", "--once", "123"),
        ("lease", "keep-alive", "123"),
        ("lease", "list"),
        ("get", "leased"),
    ):
        compare(server, *words, "-w", output)


@pytest.mark.parametrize("output", ["simple", "json", "fields"])
def test_granting_and_revoking(server, output):
    def life(run):
        granted = run("--endpoints", server, "lease", "grant", "500", "-w", output)
        number = re.search(rb"lease ([0-9a-f]{16})|\"ID\"(?::| : )(\d+)", granted.out)
        lease = number[1].decode() if number[1] else f"{int(number[2]):x}"
        revoked = run("--endpoints", server, "lease", "revoke", lease, "-w", output)
        outs = [each.out.replace(number[1] or number[2], b"LEASE") for each in (granted, revoked)]
        return outs, granted.code, revoked.code

    assert life(run_ours) == life(run_real)


@pytest.mark.parametrize(
    "words",
    [
        "lease grant",
        "lease grant x",
        "lease grant 1 2",
        "lease grant 99999999999",
        "lease grant 1 -w table",
        "lease revoke",
        "lease revoke zz",
        "lease revoke 12",
        "lease timetolive",
        "lease timetolive zz",
        "lease keep-alive",
        "lease keep-alive zz",
        "lease list -w table",
        "put k v --lease 12",
        "snapshot save",
        "snapshot save a b",
        "snapshot save /nowhere/file",
        "snapshot save file --endpoints 127.0.0.1:1",
        "defrag -w xml",
        "auth enable x",
        "auth disable x",
        "auth status x",
        "auth enable",
        "lock",
        "elect",
        "elect e",
        "elect -l e p",
        "elect -l",
        "elect e p q",
        "make-mirror",
        "check perf --load x",
        "watch",
        "watch -- echo",
        "watch a --",
        "watch a b --prefix",
    ],
)
def test_errors_are_equal(server, words):
    ours = compare(server, *words.split())
    assert ours.code != 0


def test_a_watch_that_cannot_be_shown_is_refused_at_once(server):
    ours = run_ours("--endpoints", server, "watch", "a", "-w", "table")
    assert (ours.code, ours.last_error) == (4, "Error: table not supported as output format")


def test_keep_alive_renews_until_the_lease_is_gone(server):
    lease = grant(server, ttl_s=2)
    from threading import Timer

    timer = Timer(1.0, post, (server, "/v3/lease/revoke", {"ID": str(int(lease, 16))}))
    timer.start()
    ours = run_ours("--endpoints", server, "lease", "keep-alive", lease)
    timer.join()
    lines = ours.out.decode().splitlines()
    assert lines[:2] == [f"lease {lease:0>16} keepalived with TTL(2)"] * 2
    assert lines[-1] == f"lease {lease:0>16} expired or revoked."
    assert ours.code == 0


def test_defrag(server):
    compare(server, "defrag")
    compare(server, "defrag", "--cluster")
    ours = run_ours("--endpoints", f"127.0.0.1:1,{server}", "defrag")
    assert ours.code == 1
    assert ours.out.decode() == f"Finished defragmenting etcd member[{server}]\n"
    assert "Failed to defragment etcd member[127.0.0.1:1] (connection refused" in ours.error_text


def test_a_snapshot_is_whole_private_and_readable(server, tmp_path):
    for index in range(20):
        run_ours("--endpoints", server, "put", f"snapshot/{index}", stdin=b"x" * 50_000)
    target, theirs = tmp_path / "copy.db", tmp_path / "theirs.db"

    def saved_alike():
        """Unless a lease of another test ends in between."""
        assert run_real("--endpoints", server, "snapshot", "save", str(theirs)).code == 0
        ours = run_ours("--endpoints", server, "snapshot", "save", str(target))
        assert ours.out.decode() == f"Snapshot saved at {target}\n"
        revision_and_keys = [
            run_real("snapshot", "status", str(path)).out.split(b", ")[1:3] for path in (target, theirs)
        ]
        return revision_and_keys[0] == revision_and_keys[1]

    until(saved_alike)
    content = target.read_bytes()
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert set(tmp_path.iterdir()) == {target, theirs}


def test_check_perf_judges_a_run(server, monkeypatch):
    from functools import partial

    from etcdctl_py.commands import check

    monkeypatch.setattr(check.PERF, "run", partial(check.run_perf, duration_s=0.4))
    ours = run_ours("--endpoints", server, "check", "perf", "--auto-compact", "--auto-defrag")
    lines = ours.out.decode().splitlines()
    assert lines[-1] in {"PASS", "FAIL"}
    assert (lines[-1] == "PASS") == (ours.code == 0)
    assert sum(line.startswith(("PASS: ", "FAIL: ")) for line in lines) == 3
    assert run_ours("--endpoints", server, "get", "/etcdctl-check-perf/", "--prefix").out == b""


def test_check_perf_refuses_a_prefix_in_use(server):
    run_ours("--endpoints", server, "put", "/used/1", "x")
    real, ours = (
        run("--endpoints", server, "check", "perf", "--prefix", "/used/") for run in (run_real, run_ours)
    )
    assert (ours.code, ours.last_error) == (real.code, real.last_error)


def test_check_datascale(server, monkeypatch):
    from etcdctl_py.commands import check

    monkeypatch.setitem(check._SCALE, "s", check.ScaleLoad(100, 1024, 10))
    ours = run_ours("--endpoints", server, "check", "datascale")
    assert ours.out.decode().splitlines()[-1].startswith("PASS: Approximate")


def test_a_process_of_its_own_saves_a_snapshot(server, tmp_path):
    done = run_process("--endpoints", server, "snapshot", "save", str(tmp_path / "x.db"))
    assert (done.code, done.err) == (0, b"")
