"""The server for other people's tests: one member in this process."""

import json
import threading
import urllib.request

import pytest

from miniraft.testing import Etcd, EtcdError
from tests.support.etcdctl import run_ours, run_real


def put(etcd, key, value):
    ours = run_ours("--endpoints", etcd.endpoint, "put", key, value)
    assert ours.out == b"OK\n", ours.error_text


def get(etcd, key):
    ours = run_ours("--endpoints", etcd.endpoint, "get", "--print-value-only", key)
    assert ours.code == 0, ours.error_text
    return ours.out.decode().removesuffix("\n")


def revision(etcd):
    ours = run_ours("--endpoints", etcd.endpoint, "get", "any", "-w", "json")
    return json.loads(ours.out)["header"]["revision"]


@pytest.mark.parametrize("turn", [1, 2])
def test_the_fixture_is_empty_each_time(etcd, turn):
    assert revision(etcd) == 1
    put(etcd, "key", str(turn))
    assert get(etcd, "key") == str(turn)


def test_the_real_etcdctl_talks_to_it(etcd):
    assert run_real("--endpoints", etcd.endpoint, "put", "k", "v").out == b"OK\n"
    assert run_real("--endpoints", etcd.endpoint, "get", "k").out == b"k\nv\n"
    with urllib.request.urlopen(f"{etcd.url}/health") as answer:
        assert json.load(answer)["health"] == "true"


def test_a_restart_keeps_data_and_port():
    with Etcd() as etcd:
        put(etcd, "k", "v")
        endpoint = etcd.endpoint
        etcd.stop()
        refused = run_ours("--endpoints", endpoint, "get", "k")
        assert "connection refused" in refused.error_text
        etcd.start()
        assert etcd.endpoint == endpoint
        assert get(etcd, "k") == "v"
        etcd.restart()
        assert get(etcd, "k") == "v"


def test_a_reset_leaves_nothing_and_keeps_the_port(etcd):
    put(etcd, "k", "v")
    endpoint = etcd.endpoint
    etcd.reset()
    assert etcd.endpoint == endpoint
    assert get(etcd, "k") == ""
    assert revision(etcd) == 1


def test_etcd_flags_apply():
    with Etcd("--max-request-bytes=1000") as etcd:
        large = run_ours("--endpoints", etcd.endpoint, "put", "k", "v" * 2000)
        assert "request is too large" in large.error_text


def test_what_cannot_be_is_told():
    etcd = Etcd("--no-such-flag")
    with pytest.raises(EtcdError, match="no-such-flag"):
        etcd.start()
    with pytest.raises(EtcdError, match="before its first start"):
        _ = etcd.url
    etcd.close()
    with Etcd() as running, pytest.raises(EtcdError, match="runs already"):
        running.start()


def test_nothing_is_left_behind(tmp_path):
    before = threading.active_count()
    with Etcd() as etcd:
        temporary = etcd.folder
        assert temporary.is_dir()
    assert not temporary.exists()
    assert threading.active_count() == before
    with Etcd(folder=tmp_path) as etcd:
        put(etcd, "k", "v")
    with Etcd(folder=tmp_path) as etcd:
        assert get(etcd, "k") == "v"


def test_two_beside_each_other_know_nothing_of_each_other():
    with Etcd() as one, Etcd() as other:
        put(one, "k", "v")
        assert get(other, "k") == ""
