"""Whole configurations: what does not fit together is refused with what to type."""

import pytest

from miniraft.config.load import load
from miniraft.config.problem import ConfigError

THREE = "n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(*words):
    with pytest.raises(ConfigError) as caught:
        load(words, {})
    assert caught.value.fix
    return caught.value


def warned(*words):
    return load(words, {}).warnings.items


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--election-timeout=200"],
            "--election-timeout[200ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
        (
            ["--election-timeout=60000"],
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
        (
            ["--listen-client-urls=http://0.0.0.0:2379"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            ["--listen-client-urls=http://foo:1", "--advertise-client-urls=http://foo:1"],
            "expected IP in URL for binding (http://foo:1)",
        ),
        (["--listen-peer-urls=http://foo:1"], "expected IP in URL for binding (http://foo:1)"),
        (["--listen-metrics-urls=http://foo:1"], "expected IP in URL for binding (http://foo:1)"),
        (["--auto-compaction-mode=foo"], 'unknown auto-compaction-mode "foo"'),
        (["--auto-compaction-retention=foo"], "error parsing CompactionRetention: "),
        (
            ["--auto-compaction-mode=revision", "--auto-compaction-retention=1h"],
            "error parsing CompactionRet",
        ),
        (["--auto-compaction-retention=-1h"], "is negative"),
        (["--logger=foo"], 'unknown logger option "foo"'),
        (["--log-level=foo"], 'unrecognized level: "foo"'),
        (["--log-format=foo"], 'unknown log format "foo"'),
        (["--log-outputs=default,stderr"], 'multi logoutput for "default" is not supported yet'),
        (["--log-rotation-config-json=x"], "improperly formatted log rotation config"),
        (["--tls-min-version=foo"], 'unexpected TLS version "foo" (must be one of: TLS1.2, TLS1.3)'),
        (
            ["--tls-max-version=TLS1.2", "--tls-min-version=TLS1.3"],
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (["--cipher-suites=FOO"], 'unexpected TLS cipher suite "FOO"'),
        (
            ["--tls-min-version=TLS1.3", "--cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA256"],
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (
            ["--peer-cert-allowed-cn=a,b", "--peer-cert-allowed-hostname=c"],
            "AllowedCNs and AllowedHostnames are mutually exclusive (cns=a,b, hostnames=c)",
        ),
        (["--metrics=all"], 'unknown --metrics "all"'),
        (
            ["--experimental-compact-hash-check-time=0s"],
            "--compact-hash-check-time must be >0 (set to 0s)",
        ),
        (["--auth-token=jwt,sign-method=RS256"], "--auth-token: RS256 needs priv-key, or pub-key"),
        (["--auth-token=jwt,priv-key=x"], "--auth-token: jwt needs sign-method: one of HS256, "),
        (["--auth-token=jwt,sign-method=XS1"], "--auth-token: sign-method 'XS1' is not one of HS256, "),
        (["--auth-token=jwt,sign-method=HS256,priv-key=/nowhere"], "--auth-token: cannot read /nowhere: "),
        (["--auth-token=jwt,sign-method=HS256,ttl=x"], "--auth-token: ttl: time: invalid duration"),
        (["--auth-token=jwt,sign-method=HS256,ttl=0"], "--auth-token: ttl=0 must be positive"),
        (["--auth-token=jwt,key=x"], "--auth-token: 'key=x' is no option of jwt"),
        (["--auth-token=simple,ttl=1m"], "--auth-token: simple takes no options"),
        (["--auth-token=paseto"], "--auth-token: there are no tokens of kind 'paseto'"),
        (["--bcrypt-cost=3"], "--bcrypt-cost 3 is not in 4 to 31"),
        (["--bcrypt-cost=32"], "--bcrypt-cost 32 is not in 4 to 31"),
        (["--max-request-bytes=0"], "--max-request-bytes must be >0"),
        (["--name=a,b"], "--name 'a,b' cannot be told apart"),
        (["--name="], "--name '' cannot be told apart"),
        (["--initial-cluster=foo"], "error setting up initial cluster"),
        (["--initial-cluster=default=http://x"], 'URL address does not have the form "host:port": http://x'),
        (
            ["--name=n4", f"--initial-cluster={THREE}"],
            'couldn\'t find local name "n4" in the initial cluster configuration',
        ),
        (
            ["--name=n1", f"--initial-cluster={THREE}", "--initial-advertise-peer-urls=http://10.0.0.9:2380"],
            "--initial-cluster has n1=http://10.0.0.1:2380 but missing from "
            "--initial-advertise-peer-urls=http://10.0.0.9:2380",
        ),
        (
            [
                "--initial-cluster=default=http://127.0.0.1:1",
                "--initial-advertise-peer-urls=http://127.0.0.1:1,http://127.0.0.1:2",
            ],
            "--initial-advertise-peer-urls has http://127.0.0.1:2 but missing from --initial-cluster=",
        ),
        (
            [f"--initial-cluster={THREE}", "--name=n1", "--discovery-srv=example.com"],
            "multiple discovery or bootstrap flags are set. Choose one of ",
        ),
        (
            ["--discovery-endpoints=a:1", "--discovery-token=x", "--discovery-srv=example.com"],
            "multiple discovery or bootstrap flags are set. Choose one of ",
        ),
        (["--discovery-token=x"], "both --discovery-token and --discovery-endpoints must be set"),
        (["--discovery-endpoints=a:1"], "both --discovery-token and --discovery-endpoints must be set"),
        (
            ["--discovery-endpoints=a:1", "--discovery-token=x", "--initial-cluster-state=existing"],
            "discovery URL should not be set when joining existing initial cluster",
        ),
        (
            ["--discovery-endpoints=a:1", "--discovery-token=x", "--discovery-dial-timeout=0s"],
            "--discovery-dial-timeout must be >0 (set to 0s)",
        ),
        (["--discovery-srv-name=x"], "--discovery-srv-name has no effect without --discovery-srv"),
        (["--discovery-cert=x"], "--discovery-cert and --discovery-key go together"),
        (
            ["--initial-cluster=default=http://localhost:2380,b=http://localhost:2380"],
            "names http://localhost:2380 for default and b",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_together(words, message):
    assert message in refused(*words).message


def test_refusals_say_what_to_type():
    assert "--election-timeout=1000" in refused("--election-timeout=200").fix
    assert "--advertise-client-urls=http://ADDRESS-CLIENTS-REACH:2379" in (
        refused("--listen-client-urls=http://0.0.0.0:2379").fix
    )
    assert "one of n1, n2, n3" in refused("--name=n4", f"--initial-cluster={THREE}").fix


def test_two_spellings_of_one_address_are_the_same():
    words = ["--initial-cluster=default=http://127.0.0.1:2380"]
    assert load([*words, "--initial-advertise-peer-urls=http://127.0.0.1:2380"], {}).config


def member_of_three(advertised):
    members = THREE.replace("http://10.0.0.1:2380", advertised)
    return ["--name=n1", f"--initial-cluster={members}", f"--initial-advertise-peer-urls={advertised}"]


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "127.0.0.1", "[::]"])
def test_members_cannot_be_reached_at_an_address_that_means_everybody_himself(host):
    caught = refused(*member_of_three(f"http://{host}:2380"))
    assert "leads every other member to itself" in caught.message
    assert "--initial-advertise-peer-urls=http://THIS-MACHINE:2380" in caught.fix


def test_a_cluster_on_one_machine_may_use_loopback():
    members = "n1=http://127.0.0.1:2380,n2=http://127.0.0.1:22380"
    words = [
        "--name=n1",
        f"--initial-cluster={members}",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
    ]
    assert warned(*words) == []


def test_clients_sent_to_themselves_are_warned_about():
    words = ("--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://0.0.0.0:2379")
    (warning,) = warned(*words)
    assert warning.fields["fix"] == "write --advertise-client-urls=http://ADDRESS-CLIENTS-REACH:2379"
    (warning,) = warned(*member_of_three("http://10.0.0.1:2380"))
    assert warning.fields["advertise_client_urls"] == "http://localhost:2379"


def test_a_peer_listener_of_another_scheme_than_advertised_is_warned_about():
    words = member_of_three("https://10.0.0.1:2380")
    assert any("another scheme" in warning.message for warning in warned(*words))


def test_a_member_with_data_ignores_the_bootstrap_flags(tmp_path):
    words = ["--name=n4", f"--initial-cluster={THREE}", f"--data-dir={tmp_path}"]
    refused(*words)
    wal = tmp_path / "member" / "wal"
    wal.mkdir(parents=True)
    refused(*words)
    (wal / "0000000000000000-0000000000000000.wal").write_bytes(b"x")
    assert load(words, {}).config.name == "n4"


def test_members_that_are_looked_for_need_no_list():
    assert load(["--name=n4", "--discovery-srv=example.com"], {}).config.discovery_srv == "example.com"
    words = ["--name=n4", "--discovery-endpoints=a:1,b:2", "--discovery-token=x"]
    assert load(words, {}).config.discovery_endpoints == ("a:1", "b:2")


def test_unix_sockets_are_listened_on():
    words = ["--listen-client-urls=unix:///run/x.sock", "--advertise-client-urls=http://localhost:2379"]
    assert load(words, {}).config.listen_client_urls == ("unix:///run/x.sock",)


def test_retention_in_each_form():
    assert load(["--auto-compaction-retention=2"], {}).config.auto_compaction_period_seconds == 7200
    assert load(["--auto-compaction-retention=90m"], {}).config.auto_compaction_period_seconds == 5400
    found = load(["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"], {}).config
    assert (found.auto_compaction_revisions, found.auto_compaction_period_seconds) == (1000, 0)
