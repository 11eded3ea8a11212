"""What is on the client port beside gRPC and the gateway."""

import gzip
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from miniraft.api.options import ApiOptions
from miniraft.errors import COMPACTED, EMPTY_KEY, TIMED_OUT
from miniraft.peer.statistics import PeerStatistics
from miniraft.server.proposal import RequestKind
from tests.support.client_api import served
from tests.support.http_client import fetch, post
from tests.support.memory_service import MEMBER_ID, MemoryService


@pytest.fixture
def api():
    with served(MemoryService()) as api:
        yield api


def get(api, path, **headers):
    return fetch(api.address, "GET", path, headers=headers)


# /version, /debug/vars, paths --------------------------------------------------------------------
def test_version_is_bare_integers(api):
    answer = get(api, "/version")
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == '{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}'
    for version in answer.json.values():
        assert [int(part) for part in version.split(".")]
    api.service.cluster_version = ""
    assert get(api, "/version").json["etcdcluster"] == "not_decided"


def test_debug_vars(api):
    answer = get(api, "/debug/vars")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.text.startswith("{\n")
    assert answer.text.endswith("\n}\n")
    assert answer.json["raft.status"]["term"] == 3
    assert {"cmdline", "file_descriptor_limit", "memstats"} <= set(answer.json)


@pytest.mark.parametrize("path", ["/", "/nothing", "/versions", "/healthz", "/metricsx", "/livezz"])
def test_unknown_paths(api, path):
    answer = get(api, path)
    assert (answer.status, answer.text) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    "path", ["/version", "/health", "/livez", "/readyz", "/readyz/non_learner", "/debug/vars"]
)
def test_only_get(api, path):
    answer = post(api.address, path)
    assert (answer.status, answer.text) == (405, "Method Not Allowed\n")
    assert answer.headers["allow"] == "GET"


# /health ------------------------------------------------------------------------------------------
def health(api, query=""):
    answer = get(api, f"/health{query}")
    return answer.status, answer.text


def fail_reads(api):
    api.service.read_index = lambda: (_ for _ in ()).throw(TIMED_OUT.fresh())


def test_health(api):
    assert health(api) == (200, '{"health":"true","reason":""}')
    assert get(api, "/health").headers["content-type"].startswith("text/plain")


def test_health_checks_alarms_then_leader_then_reads(api):
    fail_reads(api)
    assert health(api) == (503, '{"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}\n')
    api.service.leader = 0
    assert health(api) == (503, '{"health":"false","reason":"RAFT NO LEADER"}\n')
    api.service.raised_alarms = [(MEMBER_ID, 1)]
    assert health(api) == (503, '{"health":"false","reason":"ALARM NOSPACE"}\n')
    assert health(api, "?exclude=CORRUPT")[1] == '{"health":"false","reason":"ALARM NOSPACE"}\n'
    assert (
        health(api, "?exclude=CORRUPT&exclude=NOSPACE")[1] == '{"health":"false","reason":"RAFT NO LEADER"}\n'
    )
    assert health(api, "?exclude=NOSPACE&serializable=true")[0] == 200
    assert health(api, "?exclude=NOSPACE&serializable=1")[0] == 503
    api.service.raised_alarms = [(MEMBER_ID, 9)]
    assert "ALARM UNKNOWN" in health(api)[1]


# /livez and /readyz -------------------------------------------------------------------------------
def test_probes_pass(api):
    for path in ("/livez", "/readyz", "/readyz/linearizable_read", "/livez/serializable_read"):
        answer = get(api, path)
        assert (answer.status, answer.text) == (200, "ok\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
    lines = get(api, "/readyz?verbose").text.splitlines()
    assert sorted(lines[:-1]) == [
        "[+]data_corruption ok",
        "[+]linearizable_read ok",
        "[+]non_learner ok",
        "[+]serializable_read ok",
    ]
    assert lines[-1] == "ok"


def test_failing_probe_is_always_detailed(api):
    fail_reads(api)
    answer = get(api, "/readyz")
    assert answer.status == 503
    assert "[-]linearizable_read failed: etcdserver: request timed out\n" in answer.text
    assert "[+]serializable_read ok\n" in answer.text
    assert answer.text.endswith("\n\n")
    assert "\nok\n" not in answer.text
    assert get(api, "/livez").text == "ok\n"
    assert get(api, "/readyz?exclude=linearizable_read").text == "ok\n"
    assert get(api, "/readyz?exclude=nobody").status == 503
    assert get(api, "/readyz/linearizable_read?exclude=linearizable_read").status == 503


def test_corruption_fails_readyz_and_nospace_does_not(api):
    api.service.raised_alarms = [(MEMBER_ID, 1)]
    assert get(api, "/readyz").status == 200
    api.service.raised_alarms = [(MEMBER_ID, 2)]
    assert "[-]data_corruption failed: alarm activated: CORRUPT\n" in get(api, "/readyz").text
    assert get(api, "/livez").status == 200


def test_learner_is_not_ready(api):
    api.service.is_learner = True
    assert "[-]non_learner failed: not supported for learner\n" in get(api, "/readyz").text
    assert get(api, "/livez").status == 200


def test_unknown_check(api):
    assert get(api, "/readyz/nothing").status == 404
    assert get(api, "/livez/non_learner").status == 404


# CORS and host whitelist --------------------------------------------------------------------------
def test_cors_for_everybody(api):
    answer = get(api, "/version", Origin="http://ui.example")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "POST, GET, OPTIONS, PUT, DELETE"
    assert answer.headers["access-control-allow-headers"] == "accept, content-type, authorization"
    for path in ("/v3/kv/range", "/nothing", "/health"):
        answer = fetch(api.address, "OPTIONS", path)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["access-control-allow-origin"] == "*"
    assert post(api.address, "/v3/kv/range").headers["access-control-allow-origin"] == "*"


def test_cors_for_some():
    with served(MemoryService(), api=ApiOptions(cors=frozenset(["http://ui.example"]))) as api:
        allowed = get(api, "/version", Origin="http://ui.example")
        assert allowed.headers["access-control-allow-origin"] == "http://ui.example"
        for headers in ({"Origin": "http://evil.example"}, {}):
            assert "access-control-allow-origin" not in get(api, "/version", **headers).headers


@pytest.mark.parametrize(
    ("host", "status"),
    [("known.example:2379", 200), ("known.example", 200), ("evil.example:2379", 421), ("[::1]:2379", 200)],
)
def test_host_whitelist(host, status):
    options = ApiOptions(host_whitelist=frozenset(["known.example", "::1"]))
    with served(MemoryService(), api=options) as api:
        answer = get(api, "/version", Host=host)
        assert answer.status == status
        if status == 421:
            assert "CVE-2018-5702" in answer.text
            assert "--host-whitelist evil.example" in answer.text


# Metrics ------------------------------------------------------------------------------------------
def parse(text):
    """Returns {family: type} and {sample with labels: value}."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    samples = dict(re.findall(r"^([a-z][^ ]*(?:\{.*\})?) (\S+)$", text, re.MULTILINE))
    return types, samples


# name: type, of everything the public dashboards and alerts use
DASHBOARD = {
    "etcd_server_has_leader": "gauge",
    "etcd_server_leader_changes_seen_total": "counter",
    "etcd_server_proposals_failed_total": "counter",
    "etcd_server_proposals_committed_total": "gauge",
    "etcd_server_proposals_applied_total": "gauge",
    "etcd_server_proposals_pending": "gauge",
    "etcd_server_quota_backend_bytes": "gauge",
    "etcd_mvcc_db_total_size_in_bytes": "gauge",
    "etcd_mvcc_db_total_size_in_use_in_bytes": "gauge",
    "etcd_disk_wal_fsync_duration_seconds": "histogram",
    "etcd_disk_backend_commit_duration_seconds": "histogram",
    "etcd_network_peer_round_trip_time_seconds": "histogram",
    "etcd_network_peer_sent_failures_total": "counter",
    "etcd_network_peer_sent_bytes_total": "counter",
    "etcd_network_peer_received_bytes_total": "counter",
    "etcd_network_client_grpc_sent_bytes_total": "counter",
    "etcd_network_client_grpc_received_bytes_total": "counter",
    "grpc_server_started_total": "counter",
    "grpc_server_handled_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
    "etcd_server_health_success": "counter",
    "etcd_server_is_leader": "gauge",
    "os_fd_used": "gauge",
}


def test_metrics_have_etcds_names_and_types(api):
    answer = get(api, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    types, samples = parse(answer.text)
    assert {name: types.get(name) for name in DASHBOARD} == DASHBOARD
    assert samples["etcd_server_has_leader"] == "1"
    assert samples["etcd_server_quota_backend_bytes"] == "2147483648"
    assert samples["etcd_mvcc_db_total_size_in_bytes"] == "20480"
    assert samples['etcd_server_version{server_version="3.7.1"}'] == "1"
    assert samples[f'etcd_server_id{{server_id="{MEMBER_ID:x}"}}'] == "1"


def test_metrics_are_well_formed(api):
    text = get(api, "/metrics").text
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "every family once"
    assert all(family.documentation for family in families)


def test_every_rpc_is_there_before_its_first_call(api):
    _, samples = parse(get(api, "/metrics").text)
    labels = 'grpc_service="etcdserverpb.Watch",grpc_method="Watch",grpc_type="bidi_stream"'
    assert samples[f"grpc_server_started_total{{{labels}}}"] == "0"
    assert samples[f'grpc_server_handled_total{{{labels},grpc_code="Unavailable"}}'] == "0"
    handled = [name for name in samples if name.startswith("grpc_server_handled_total")]
    assert len(handled) == 54 * 17


def test_calls_are_counted(api):
    post(api.address, "/v3/kv/put", {"key": "YQ==", "value": "YQ=="})
    post(api.address, "/v3/kv/put", {}, {"Grpc-Metadata-client-api-version": "3.6"})
    _, samples = parse(get(api, "/metrics").text)
    labels = 'grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_type="unary"'
    assert samples[f"grpc_server_started_total{{{labels}}}"] == "2"
    assert samples[f'grpc_server_handled_total{{{labels},grpc_code="OK"}}'] == "1"
    assert samples[f'grpc_server_handled_total{{{labels},grpc_code="InvalidArgument"}}'] == "1"
    assert samples['etcd_server_client_requests_total{type="unary",client_api_version="3.6"}'] == "1"
    assert int(samples["etcd_network_client_grpc_received_bytes_total"]) == 6


def test_what_the_runtime_feeds(api):
    metrics, peer = api.metrics, PeerStatistics(sent_bytes=5, is_connected=True)
    metrics.storage.log_sync_seconds.observe(0.003)
    metrics.member.leader_changes += 2
    metrics.member.applies.applied(RequestKind.PUT, None)
    metrics.member.applies.applied(RequestKind.PUT, EMPTY_KEY)
    metrics.member.applies.applied(RequestKind.COMPACT, COMPACTED)
    metrics.leases.count_grant(60)
    peer.round_trip_seconds.observe(0.001)
    metrics.peers = lambda: {0x2A: peer}
    _, samples = parse(get(api, "/metrics").text)
    assert samples['etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"}'] == "0"
    assert samples['etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"}'] == "1"
    assert samples['etcd_disk_wal_fsync_duration_seconds_bucket{le="8.192"}'] == "1"
    assert samples['etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"}'] == "1"
    assert samples["etcd_disk_wal_fsync_duration_seconds_sum"] == "0.003"
    assert samples["etcd_server_leader_changes_seen_total"] == "2"
    assert samples['etcd_network_peer_sent_bytes_total{To="2a"}'] == "5"
    assert samples['etcd_network_peer_round_trip_time_seconds_count{To="2a"}'] == "1"
    assert samples[f'etcd_network_active_peers{{Local="{MEMBER_ID:x}",Remote="2a"}}'] == "1"
    applied = "etcd_server_apply_duration_seconds_count"
    assert samples[f'{applied}{{version="v3",op="Put",success="true"}}'] == "1"
    assert samples[f'{applied}{{version="v3",op="Put",success="false"}}'] == "1"
    assert samples[f'{applied}{{version="v3",op="Compaction",success="true"}}'] == "1"
    # Bounds are written as Go does: they are part of the series' names.
    assert samples['etcd_debugging_lease_ttl_total_bucket{le="64"}'] == "1"
    assert samples['etcd_debugging_lease_ttl_total_bucket{le="1.048576e+06"}'] == "1"


def test_reads_that_take_too_long_are_counted_and_told():
    service, told = MemoryService(), []
    service.applies.slow_seconds = 0.0
    service.applies.on_slow = lambda operation, seconds: told.append(operation)
    with served(service) as api:
        post(api.address, "/v3/kv/range", {"key": "YQ=="})
        post(api.address, "/v3/kv/range", {})  # refused, after some time
        post(api.address, "/v3/kv/txn", {"success": [{"request_range": {"key": "YQ=="}}]})
        post(api.address, "/v3/kv/put", {"key": "YQ=="})  # counted where it is applied
    assert told == ["read-only range", "read-only range", "read-only txn"]
    assert service.applies.slow_count == 3


def test_health_is_counted(api):
    get(api, "/health")
    get(api, "/readyz/non_learner")
    _, samples = parse(get(api, "/metrics").text)
    assert samples["etcd_server_health_success"] == "1"
    assert samples['etcd_server_healthcheck{type="readyz",name="non_learner"}'] == "1"
    assert samples['etcd_server_healthchecks_total{type="readyz",name="non_learner",status="success"}'] == "1"


def test_metrics_compressed(api):
    answer = get(api, "/metrics", **{"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b"etcd_server_has_leader 1\n" in gzip.decompress(answer.body)


def test_extensive_metrics_have_latencies():
    from miniraft.api.metrics import Metrics

    with served(MemoryService(), metrics=Metrics(extensive=True)) as api:
        post(api.address, "/v3/kv/put", {"key": "YQ=="})
        _, samples = parse(get(api, "/metrics").text)
    labels = 'grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_type="unary"'
    assert samples[f"grpc_server_handling_seconds_count{{{labels}}}"] == "1"


def test_client_versions_are_bounded(api):
    for number in range(50):
        headers = {"Grpc-Metadata-client-api-version": f"3.{number}"}
        post(api.address, "/v3/maintenance/status", {}, headers)
    counted = api.metrics.apis[0].admission.calls_by_version()
    assert len(counted) <= 33
    assert sum(unary for unary, _ in counted.values()) == 50
    assert counted["other"][0] > 0
