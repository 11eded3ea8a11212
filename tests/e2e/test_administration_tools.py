"""Operators' tools against members of ours: etcdctl 3.5, 3.4 and etcdctl-py, and JSON."""

import base64
import hashlib
import json
import subprocess
import urllib.request

import pytest

from miniraft.pb.rpc_pb2 import AlarmRequest, AlarmResponse
from tests.support.etcdctl import post, run_ours, run_real
from tests.support.member_processes import Processes, initial_cluster, until
from tests.support.real_etcd import real_binary
from tests.support.server_under_test import MINIRAFT, running_server

TOOLS = {
    "etcdctl 3.5": run_real,
    "etcdctl 3.4": lambda *words: run_real(*words, old=True, environment={"ETCDCTL_API": "3"}),
    "etcdctl-py": run_ours,
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("member"), program=MINIRAFT) as served:
        yield served


@pytest.fixture(params=TOOLS)
def etcdctl(request, address):
    """Runs a tool on the member; returns what it wrote, as text."""

    def run(*words, fails=False):
        outcome = TOOLS[request.param]("--endpoints", address, *words)
        assert (outcome.code != 0) == fails, outcome.error_text
        return outcome.error_text if fails else outcome.out.decode()

    return run


def test_member_commands(etcdctl, request):
    # A member's id comes from its URLs and the second it is added in, and none is used twice.
    url = f"http://127.0.0.1:{1 + request.node.callspec.indices['etcdctl']}"
    (before,) = etcdctl("member", "list").splitlines()
    assert ", started, m1, " in before
    added = etcdctl("member", "add", "n9", "--learner", f"--peer-urls={url}")
    assert "added to cluster" in added
    assert 'ETCD_INITIAL_CLUSTER_STATE="existing"' in added
    (new,) = [line for line in etcdctl("member", "list").splitlines() if line != before]
    member_id, status, _, urls, _, learner = new.split(", ")
    assert (status, urls, learner) == ("unstarted", url, "true")
    refused = etcdctl("member", "promote", member_id, fails=True)
    assert "can only promote a learner member which is in sync with leader" in refused
    etcdctl("member", "update", member_id, "--peer-urls=http://127.0.0.1:9")
    assert "http://127.0.0.1:9, " in etcdctl("member", "list")
    assert "removed from cluster" in etcdctl("member", "remove", member_id)
    assert etcdctl("member", "list").splitlines() == [before]
    assert "member not found" in etcdctl("member", "remove", member_id, fails=True)
    own_id = before.split(", ")[0]
    assert "not enough started members" in etcdctl("member", "remove", own_id, fails=True)


def test_alarm_defrag_hash_compaction(etcdctl, address):
    assert etcdctl("alarm", "list").strip() == ""
    own_id = int(etcdctl("member", "list").split(", ")[0], 16)
    post(
        address, "/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": str(own_id), "alarm": "NOSPACE"}
    )
    raised = f"memberID:{own_id} alarm:NOSPACE"
    assert etcdctl("alarm", "list").strip() == raised
    assert "database space exceeded" in etcdctl("put", "k", "v", fails=True)
    assert raised in etcdctl("endpoint", "status")
    assert etcdctl("alarm", "disarm").strip() == raised
    assert etcdctl("alarm", "list").strip() == ""
    etcdctl("put", "k", "v")
    revision = json.loads(etcdctl("get", "k", "-w", "json"))["header"]["revision"]
    assert f"compacted revision {revision}" in etcdctl("compaction", "--physical", str(revision))
    assert "required revision has been compacted" in etcdctl("compaction", str(revision), fails=True)
    assert "Finished defragmenting" in etcdctl("defrag")
    hashed = etcdctl("endpoint", "hashkv")
    assert hashed.startswith(address)
    assert etcdctl("endpoint", "hashkv") == hashed


def test_snapshot(etcdctl, tmp_path):
    etcdctl("put", "saved", "in the snapshot")
    file = tmp_path / "snapshot.db"
    etcdctl("snapshot", "save", str(file))
    data = file.read_bytes()
    assert len(data) % 512 == 32
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    assert b"in the snapshot" in data
    status = subprocess.run(
        [str(real_binary("etcdutl")), "snapshot", "status", str(file), "-w", "json"], capture_output=True
    )
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["totalKey"] >= 1


def test_leadership_moves(tmp_path):
    with Processes(tmp_path) as processes:
        members = [processes.new(f"n{number}") for number in (1, 2, 3)]
        for member in members:
            member.start(initial_cluster(*members))
        for tool in TOOLS.values():
            statuses = until(
                lambda: [s for s in (member.status() for member in members) if s.leader], "all know a leader"
            )
            leader_id = statuses[0].leader
            leader = next(m for m in members if m.status().header.member_id == leader_id)
            target = next(m for m in members if m is not leader)
            target_id = f"{target.status().header.member_id:x}"
            outcome = tool("--endpoints", f"{leader.client},{target.client}", "move-leader", target_id)
            assert outcome.code == 0, outcome.error_text
            assert f"Leadership transferred from {leader_id:x} to {target_id}" in outcome.out.decode()
            outcome = tool("--endpoints", leader.client, "move-leader", f"{leader_id:x}")
            assert outcome.code != 0
            assert "no leader endpoint given" in outcome.error_text
        # An alarm is everybody's.
        raise_it = AlarmRequest(action=AlarmRequest.ACTIVATE, memberID=1, alarm=1)
        members[0].call("Maintenance/Alarm", raise_it, AlarmResponse)
        for member in members:
            (alarm,) = member.call("Maintenance/Alarm", AlarmRequest(), AlarmResponse).alarms
            assert (alarm.memberID, alarm.alarm) == (1, 1)


def test_by_json(address):
    added = post(address, "/v3/cluster/member/add", {"peerURLs": ["http://127.0.0.1:3"], "isLearner": True})
    assert "revision" not in added["header"]
    member_id = added["member"]["ID"]
    assert added["member"] == {"ID": member_id, "peerURLs": ["http://127.0.0.1:3"], "isLearner": True}
    assert len(added["members"]) == 2
    updated = post(
        address, "/v3/cluster/member/update", {"ID": member_id, "peerURLs": ["http://127.0.0.1:4"]}
    )
    assert ["http://127.0.0.1:4"] in [member["peerURLs"] for member in updated["members"]]
    assert len(post(address, "/v3/cluster/member/remove", {"ID": member_id})["members"]) == 1
    assert post(address, "/v3/maintenance/defragment", {}) == {}
    hashed = post(address, "/v3/maintenance/hash", {})
    assert isinstance(hashed["hash"], int)
    post(address, "/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": 5, "alarm": "CORRUPT"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}/health", timeout=5)
    assert refused.value.code == 503
    assert json.loads(refused.value.read()) == {"health": "false", "reason": "ALARM CORRUPT"}
    disarmed = post(address, "/v3/maintenance/alarm", {"action": 2, "memberID": "5", "alarm": "CORRUPT"})
    assert disarmed["alarms"] == [{"memberID": "5", "alarm": "CORRUPT"}]
    request = urllib.request.Request(f"http://{address}/v3/maintenance/snapshot", b"{}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        lines = [json.loads(line)["result"] for line in answer]
    data = b"".join(base64.b64decode(line["blob"]) for line in lines[:-1])
    assert base64.b64decode(lines[-1]["blob"]) == hashlib.sha256(data).digest()
    assert lines[0]["version"] == "3.7.0"
    assert "header" not in lines[0]
