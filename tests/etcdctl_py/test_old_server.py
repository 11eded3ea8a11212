"""etcd 3.4 and its older gateway: other error bodies, no hashkv, the same commands."""

import pytest

from tests.support.etcdctl import run_ours, run_real
from tests.support.real_etcd import real_binary
from tests.support.server_under_test import running_server


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    with running_server(
        tmp_path_factory.mktemp("old"),
        program=(str(real_binary("etcd", old=True)),),
        own_flags=("--logger", "zap", "--log-level", "warn"),
    ) as address:
        yield address


@pytest.mark.parametrize("output", ["simple", "json", "fields", "protobuf"])
def test_the_same_answers(old_server, output):
    run_ours("--endpoints", old_server, "put", "k", "v")
    for words in (
        ("get", "k"),
        ("get", "", "--prefix"),
        ("member", "list"),
        ("endpoint", "status"),
        ("lease", "list"),
        ("lease", "timetolive", "12"),
        ("role", "list"),
        *(() if output == "fields" else (("alarm", "list"),)),  # etcdctl crashes: no header
        ("compaction", "99999"),
        ("get", "k", "--rev", "9999"),
        ("put", "", "x"),
        *(() if output == "protobuf" else (("lease", "revoke", "12"),)),
        ("user", "delete", "nobody"),
        *(() if output == "fields" else (("member", "remove", "12"),)),
    ):
        real = run_real("--endpoints", old_server, *words, "-w", output)
        ours = run_ours("--endpoints", old_server, *words, "-w", output)
        assert (ours.out, ours.code) == (real.out, real.code), words
        if ours.code:
            assert ours.last_error == real.last_error


def test_writes_and_leases(old_server):
    assert run_ours("--endpoints", old_server, "put", "w", "1").out == b"OK\n"
    granted = run_ours("--endpoints", old_server, "lease", "grant", "60").out.decode()
    lease = granted.split()[1]
    assert run_ours("--endpoints", old_server, "lease", "keep-alive", "--once", lease).code == 0
    assert run_ours("--endpoints", old_server, "lease", "revoke", lease).code == 0
    ours = run_ours("--endpoints", old_server, "txn", stdin=b'val("w") = "1"\n\nput w 2\n\n\n')
    assert ours.out == b"SUCCESS\n\nOK\n"
    assert run_ours("--endpoints", old_server, "endpoint", "health").code == 0


def test_what_it_does_not_know_is_explained(old_server):
    ours = run_ours("--endpoints", old_server, "endpoint", "hashkv")
    assert ours.code == 1
    assert "/v3/maintenance/hashkv" in ours.error_text
    assert "old" in ours.error_text
