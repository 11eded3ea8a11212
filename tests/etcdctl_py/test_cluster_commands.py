"""endpoint, member, move-leader and alarm, against the real etcdctl on the same server."""

import contextlib
import re

import pytest

from tests.support.etcdctl import Outcome, post, run_ours, run_real, until, without_new_fields
from tests.support.server_under_test import running_server

pytestmark = pytest.mark.usefixtures("server_kind")

_TOOK = re.compile(rb"\d+(\.\d+)?(ns|\xc2\xb5s|ms|s)")


def both(address, *words):
    """Runs the same with both programs on one server; returns real and ours."""
    real = run_real("--endpoints", address, *words)
    return real, without_new_fields(run_ours("--endpoints", address, *words))


def both_at_rest(address, *words, old=False):
    """The same, when nothing changes in between: sizes do, for a moment, after a write."""

    def asked():
        before = run_real("--endpoints", address, *words, old=old)
        ours = without_new_fields(run_ours("--endpoints", address, *words))
        real = run_real("--endpoints", address, *words, old=old)
        return (real, ours) if real.out == before.out else None

    return until(asked)


def without_times(outcome):
    return Outcome(outcome.code, _TOOK.sub(b"TOOK", outcome.out), outcome.err)


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (words, output)
        for words in (
            ("endpoint", "status"),
            ("endpoint", "status", "--cluster"),
            ("endpoint", "--cluster", "hashkv"),
            ("endpoint", "hashkv", "--rev", "2"),
            ("endpoint", "status", "ignored", "--hex"),
            ("member", "list"),
            ("member", "list", "--hex"),
            ("alarm", "list"),
            ("alarm", "disarm"),
        )
        for output in ("simple", "json", "fields")
        if (words, output) != (("alarm", "disarm"), "fields")  # etcdctl crashes on that
    ],
)
def test_equal_in_every_format(server, words, output):
    run_ours("--endpoints", server, "put", "a", "b")
    real, ours = both_at_rest(server, *words, "-w", output)
    assert (ours.out, ours.code) == (real.out, real.code)
    assert ours.code == 0


@pytest.mark.parametrize("output", ["simple", "json", "fields"])
@pytest.mark.parametrize("flags", [(), ("--cluster",)])
def test_health_differs_in_times_only(server, output, flags):
    real, ours = map(without_times, both(server, "endpoint", "health", "-w", output, *flags))
    assert (ours.out, ours.code) == (real.out, 0)


@pytest.mark.parametrize("words", ["member list", "endpoint status", "endpoint hashkv"])
def test_tables_are_drawn_as_in_etcdctl_3_4(server, words):
    real, ours = both_at_rest(server, *words.split(), "-w", "table", old=True)
    assert ours.out == real.out


@pytest.mark.parametrize("words", ["member list", "endpoint status", "endpoint hashkv"])
def test_tables_have_the_content_of_3_5(server, words):
    real, ours = both_at_rest(server, *words.split(), "-w", "table")
    cells = [re.split(r"[|│]", line) for line in real.out.decode().splitlines()]
    drawn = [re.split(r"[|│]", line) for line in ours.out.decode().splitlines()]
    assert [row for row in drawn if len(row) > 1] == [row for row in cells if len(row) > 1]


@pytest.mark.parametrize(
    "words",
    [
        "endpoint health -w protobuf",
        "endpoint status -w protobuf",
        "endpoint hashkv -w protobuf",
        "alarm list -w table",
        "move-leader zz",
        "move-leader",
        "move-leader 1 2",
        "move-leader 1",
        "alarm list x",
        "alarm disarm x",
        "member add",
        "member add x",
        "member add x --peer-urls=",
        "member add x --peer-urls=foo",
        "member add x y --peer-urls=http://1.1.1.1:1",
        "member add x http://1.1.1.1:1",
        "member remove",
        "member remove zz",
        "member remove 12",
        "member update",
        "member update 12",
        "member update zz --peer-urls=http://1.1.1.1:1",
        "member update 12 --peer-urls=http://1.1.1.1:1",
        "member promote",
        "member promote zz",
        "member promote 12",
        "endpoint hashkv --rev 99999",
    ],
)
def test_errors_are_equal(server, words):
    real, ours = both(server, *words.split())
    assert (ours.code, ours.last_error) == (real.code, real.last_error)
    assert ours.code != 0
    assert ours.out == real.out


def test_protobuf_answers_are_equal(server):
    for words in ("member list", "alarm list"):
        real, ours = both(server, *words.split(), "-w", "protobuf")
        assert ours.out == real.out


def test_moving_the_leadership_to_the_leader(server):
    member = run_ours("--endpoints", server, "member", "list").out.decode().split(",")[0]
    for output in ("simple", "json"):
        real, ours = both(server, "move-leader", member, "-w", output)
        assert (ours.out, ours.code) == (real.out, 0)


def test_a_learner_from_addition_to_removal(tmp_path):
    """Each program adds a member of its own; the answers differ in the identifiers only."""
    with running_server(tmp_path) as address:
        seen = {}
        for number, (name, run) in enumerate({"real": run_real, "ours": run_ours}.items()):
            steps = []
            for index, output in enumerate(("simple", "json", "protobuf", "simple")):
                url = f"http://127.0.0.1:{index + 1}"
                at = ("--endpoints", address, "-w", output)
                added = run(
                    *at, "member", "add", 'n"1', "--learner", "--peer-urls", f"{url},http://b.c:{number + 5}"
                )
                member = next(
                    line.split(",")[0]
                    for line in run_ours("--endpoints", address, "member", "list").out.decode().splitlines()
                    if "unstarted" in line
                )
                listed = run("--endpoints", address, "member", "list", "-w", output, "--hex")
                promoted = run(*at, "member", "promote", member)
                updated = run(
                    *at, "member", "update", member, "--peer-urls", f"{url},http://d.e:{number + 5}"
                )
                removed = run(*at, "member", "remove", member)
                for step in (added, listed, promoted, updated, removed):
                    steps.append(_without_ids(step, member, number + 5, output))
            seen[name] = steps
        assert seen["ours"] == seen["real"]


def _without_ids(outcome, member, number, output):
    """Hides the identifier and the port that tell the two members apart; sorts what they order."""
    out = outcome.out
    if output == "protobuf":
        return outcome.code, len(out) > 0, outcome.last_error
    for shown in (member.rjust(16), member, str(int(member, 16))):
        out = out.replace(shown.encode(), b"ID")
    out = out.replace(f"b.c:{number}".encode(), b"b.c").replace(f"d.e:{number}".encode(), b"d.e")
    parts = re.split(rb'[,"{}\[\]\n]', out)
    return outcome.code, sorted(parts), outcome.last_error


def test_alarms(tmp_path):
    with running_server(tmp_path, "--quota-backend-bytes", "100000") as address:
        filled = fill(address)
        assert filled.last_error == "Error: etcdserver: mvcc: database space exceeded"
        for step in ("compaction", "defrag", "alarm disarm"):
            assert step in filled.error_text
        # A write that turns out too large when it is applied is refused before the alarm is raised.
        until(lambda: run_ours("--endpoints", address, "alarm", "list").out)
        for output in ("simple", "json", "fields", "protobuf"):
            real, ours = both(address, "alarm", "list", "-w", output)
            assert (ours.out, ours.code) == (real.out, 0)
        real, ours = both_at_rest(address, "endpoint", "status")
        assert ours.out == real.out
        for output in ("simple", "json", "fields"):
            real, ours = map(without_times, both(address, "endpoint", "health", "-w", output))
            assert (ours.out, ours.code) == (real.out, 1)
        disarmed = {}
        for name, run in {"real": run_real, "ours": run_ours}.items():
            disarmed[name] = []
            for output in ("simple", "json", "protobuf"):  # with fields etcdctl crashes here
                member = run_ours("--endpoints", address, "member", "list").out.decode().split(",")[0]
                post(
                    address,
                    "/v3/maintenance/alarm",
                    {"action": "ACTIVATE", "memberID": str(int(member, 16)), "alarm": "NOSPACE"},
                )
                done = run("--endpoints", address, "alarm", "disarm", "-w", output)
                disarmed[name].append((done.code, done.out))
        assert disarmed["ours"] == disarmed["real"]


def fill(address):
    """Puts until the quota is reached; returns the refused put."""
    for index in range(100):
        ours = run_ours("--endpoints", address, "put", f"fill{index}", stdin=b"x" * 20_000)
        if ours.code != 0:
            return ours
    raise AssertionError("the quota was never reached")


def test_move_leader_in_a_cluster_of_three(tmp_path):
    from tests.support.real_etcd import free_port

    peers = {name: f"http://127.0.0.1:{free_port()}" for name in ("m1", "m2", "m3")}
    cluster = ",".join(f"{name}={url}" for name, url in peers.items())
    from concurrent.futures import ThreadPoolExecutor

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        managers = [
            running_server(
                tmp_path / name,
                *("--listen-peer-urls", url, "--initial-advertise-peer-urls", url),
                *("--initial-cluster", cluster),
                name=name,
            )
            for name, url in peers.items()
        ]
        addresses = list(pool.map(lambda manager: manager.__enter__(), managers))
        for manager in managers:
            stack.push(manager.__exit__)
        rows = run_ours("--endpoints", ",".join(addresses), "endpoint", "status").out.decode().splitlines()
        members = {row.split(", ")[0]: row.split(", ")[1] for row in rows}
        leader = next(row.split(", ")[0] for row in rows if row.split(", ")[4] == "true")
        other, third = (address for address in addresses if address != leader)

        refused = [
            run("--endpoints", f"{other},{third}", "move-leader", members[other])
            for run in (run_real, run_ours)
        ]
        assert refused[0].code == refused[1].code == 128
        assert refused[0].last_error == refused[1].last_error

        moved = run_ours("--endpoints", ",".join(addresses), "move-leader", members[other])
        assert moved.out.decode() == f"Leadership transferred from {members[leader]} to {members[other]}\n"
        back = run_real("--endpoints", ",".join(addresses), "move-leader", members[leader])
        assert back.out.decode() == f"Leadership transferred from {members[other]} to {members[leader]}\n"

        for output in ("simple", "json", "fields"):
            real, ours = both(other, "endpoint", "hashkv", "--cluster", "-w", output)
            assert (ours.out, ours.code) == (real.out, 0)
            real, ours = both(other, "member", "list", "-w", output)
            assert (ours.out, ours.code) == (real.out, 0)
