"""The command line: Go's flag syntax, etcd's names, older spellings."""

import dataclasses
import shlex

import pytest

from miniraft.config.flags import ALIASES, DEAD_FLAGS, FLAGS, GATE_ALIASES
from miniraft.config.load import load
from miniraft.config.problem import ConfigError, UsageError
from miniraft.runtime.config import ServerConfig

# As in the unit file of "Kubernetes the hard way".
HARD_WAY = shlex.split("""
  --name controller-0
  --cert-file=/etc/etcd/kubernetes.pem
  --key-file=/etc/etcd/kubernetes-key.pem
  --peer-cert-file=/etc/etcd/kubernetes.pem
  --peer-key-file=/etc/etcd/kubernetes-key.pem
  --trusted-ca-file=/etc/etcd/ca.pem
  --peer-trusted-ca-file=/etc/etcd/ca.pem
  --peer-client-cert-auth
  --client-cert-auth
  --initial-advertise-peer-urls https://10.240.0.10:2380
  --listen-peer-urls https://10.240.0.10:2380
  --listen-client-urls https://10.240.0.10:2379,https://127.0.0.1:2379
  --advertise-client-urls https://10.240.0.10:2379
  --initial-cluster-token etcd-cluster-0
  --initial-cluster controller-0=https://10.240.0.10:2380,controller-1=https://10.240.0.11:2380
  --initial-cluster-state new
  --data-dir=/var/lib/etcd
""")

KUBEADM = shlex.split("""
  --advertise-client-urls=https://192.168.1.5:2379
  --cert-file=/etc/kubernetes/pki/etcd/server.crt
  --client-cert-auth=true
  --data-dir=/var/lib/etcd
  --feature-gates=InitialCorruptCheck=true
  --initial-advertise-peer-urls=https://192.168.1.5:2380
  --initial-cluster=cp1=https://192.168.1.5:2380
  --key-file=/etc/kubernetes/pki/etcd/server.key
  --listen-client-urls=https://127.0.0.1:2379,https://192.168.1.5:2379
  --listen-metrics-urls=http://127.0.0.1:2381
  --listen-peer-urls=https://192.168.1.5:2380
  --name=cp1
  --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt
  --peer-client-cert-auth=true
  --peer-key-file=/etc/kubernetes/pki/etcd/peer.key
  --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
  --snapshot-count=10000
  --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
  --watch-progress-notify-interval=5s
""")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _any_certificate(monkeypatch):
    """The files of the two command lines above are not on this machine."""
    monkeypatch.setattr("miniraft.config.certificates.check_certificates", lambda config, warnings: None)


def config(*words, **environment):
    return load(words, environment).config


def warnings(*words, **environment):
    return [warning.message for warning in load(words, environment).warnings.items]


def refusal(kind, *words, **environment):
    with pytest.raises(kind) as caught:
        load(words, environment)
    assert caught.value.fix, "every refusal says what to do"
    return caught.value.message


def test_no_flag_at_all_is_one_member_on_localhost():
    assert config() == ServerConfig()
    assert config().data_folder == "default.etcd"
    assert config().initial_members == {"default": ("http://localhost:2380",)}
    assert config().election_ticks == 10
    assert warnings() == []


@pytest.mark.usefixtures("_any_certificate")
def test_the_unit_file_of_kubernetes_the_hard_way():
    found = config(*HARD_WAY)
    assert found.name == "controller-0"
    assert found.client_cert_auth is True
    assert found.peer_client_cert_auth is True
    assert found.listen_client_urls == ("https://10.240.0.10:2379", "https://127.0.0.1:2379")
    assert found.initial_members == {
        "controller-0": ("https://10.240.0.10:2380",),
        "controller-1": ("https://10.240.0.11:2380",),
    }
    assert found.initial_cluster_token == "etcd-cluster-0"
    assert found.data_folder == "/var/lib/etcd"
    assert warnings(*HARD_WAY) == []


@pytest.mark.usefixtures("_any_certificate")
def test_the_static_pod_of_kubeadm():
    found = config(*KUBEADM)
    assert found.feature("InitialCorruptCheck")
    assert found.listen_metrics_urls == ("http://127.0.0.1:2381",)
    assert found.watch_progress_notify_interval_seconds == 5.0
    assert found.snapshot_count == 10000
    assert found.peer_trusted_ca_file == "/etc/kubernetes/pki/etcd/ca.crt"


@pytest.mark.usefixtures("_any_certificate")
def test_the_static_pod_of_kubeadm_for_etcd_3_5():
    words = [word for word in KUBEADM if not word.startswith(("--feature-gates", "--watch-progress"))]
    words += ["--experimental-initial-corrupt-check=true", "--experimental-watch-progress-notify-interval=5s"]
    assert config(*words) == config(*KUBEADM)


def test_every_flag_sets_a_field_of_its_own_and_every_field_has_a_flag():
    fields = [flag.field for flag in FLAGS.values()]
    assert sorted(fields) == sorted(field.name for field in dataclasses.fields(ServerConfig))
    assert not set(ALIASES.values()) - set(FLAGS)


def test_every_flag_can_be_given_its_default():
    for flag in FLAGS.values():
        default = flag.default
        if isinstance(default, bool):
            text = str(default).lower()
        elif isinstance(default, frozenset):
            text = ""
        elif isinstance(default, tuple):
            text = ",".join(default)
        elif isinstance(default, float):
            text = f"{default}s"
        else:
            text = str(default)
        if flag.name == "listen-client-urls":
            continue  # asks for --advertise-client-urls too
        assert config(f"--{flag.name}={text}") == ServerConfig(), flag.name


def test_each_way_to_write_a_flag():
    for words in (("-name", "x"), ("--name", "x"), ("-name=x",), ("--name=x",), ("--name=y", "--name", "x")):
        assert config(*words).name == "x"
    assert config("--name", "--pre-vote").name == "--pre-vote"
    assert config("--pre-vote=F").pre_vote is False
    assert config("-force-new-cluster").force_new_cluster is True
    assert config("--snapshot-count", "0x10").snapshot_count == 16
    assert config("--snapshot-count", "010").snapshot_count == 8
    assert config("--initial-cluster-token=a=b").initial_cluster_token == "a=b"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nosuch"], "flag provided but not defined: -nosuch"),
        (["--nmae=x"], "flag provided but not defined: -nmae"),
        (["-debug"], "flag provided but not defined: -debug"),
        (["--name"], "flag needs an argument: -name"),
        (["---name"], "bad flag syntax: ---name"),
        (["--=x"], "bad flag syntax: --=x"),
        (["--snapshot-count=x"], 'invalid value "x" for flag -snapshot-count: parse error'),
        (["--snapshot-count=-1"], 'invalid value "-1" for flag -snapshot-count: parse error'),
        (["--snapshot-count="], 'invalid value "" for flag -snapshot-count: parse error'),
        (["--max-concurrent-streams=4294967296"], "value out of range"),
        (["--pre-vote=maybe"], 'invalid boolean value "maybe" for -pre-vote: parse error'),
        (["--grpc-keepalive-interval=5"], 'invalid value "5" for flag -grpc-keepalive-interval: parse error'),
        (
            ["--initial-cluster-state=old"],
            'invalid value "old" for flag -initial-cluster-state: invalid value',
        ),
        (["--feature-gates=Foo=true"], "unrecognized feature gate: Foo"),
        (["--feature-gates=LeaseCheckpoint"], "missing bool value for feature gate LeaseCheckpoint"),
        (["--listen-client-urls=ht"], "URL scheme must be http, https, unix, or unixs: ht"),
        (["--listen-client-urls=http://1.2.3.4"], 'URL address does not have the form "host:port"'),
        (["--listen-client-urls=http://1.2.3.4:1/x"], "URL must not contain a path: http://1.2.3.4:1/x"),
        (["--listen-client-urls=http://1.2.3.4:99999"], "Port out of range"),
        (["--listen-peer-urls=http://1.2.3.4:1,"], "URL scheme must be http, https, unix, or unixs: "),
        (["--cors=foo"], "URL scheme must be"),
        (["--discovery-fallback=proxy"], "invalid value"),
        (["--name=x", "--client-server=apache"], "write one of h2corn, hypercorn"),
    ],
)
def test_a_command_line_that_cannot_be_read(words, message):
    assert message in refusal(UsageError, *words)


def test_a_misspelt_flag_is_answered_with_the_right_one():
    with pytest.raises(UsageError) as caught:
        load(["--listen-clients-urls=x"], {})
    assert caught.value.fix == "did you mean --listen-client-urls?"
    with pytest.raises(UsageError) as caught:
        load(["--debug"], {})
    assert caught.value.fix == "write --log-level=debug"


@pytest.mark.parametrize("words", [["--client-cert-auth", "true"], ["true"], ["--", "true"]])
def test_a_stray_word_is_refused(words):
    with pytest.raises(ConfigError) as caught:
        load(words, {})
    assert caught.value.message == '"true" is not a valid flag'
    assert "--client-cert-auth=true" in caught.value.fix


def test_older_spellings_mean_the_same():
    for name in ("snapshot-catchup-entries", "compaction-batch-limit"):
        assert config(f"--experimental-{name}=77") == config(f"--{name}=77") != ServerConfig()
    assert config("--experimental-enable-lease-checkpoint=false").feature("LeaseCheckpoint") is False
    assert config("--experimental-compact-hash-check-enabled").feature("CompactHashCheck") is True
    assert set(GATE_ALIASES.values()) <= set(ServerConfig().feature_gates) | {
        "InitialCorruptCheck",
        "CompactHashCheck",
        "StopGRPCServiceOnDefrag",
    }


def test_flags_that_etcd_ignores_are_ignored_here():
    assert config(*(f"--{name}=anything" for name in DEAD_FLAGS), "--force", "-v") == ServerConfig()


def test_zero_means_the_default_where_etcd_says_so():
    words = ("--backend-batch-interval=0", "--backend-batch-limit=0", "--compaction-batch-limit=0")
    assert config(*words, "--watch-progress-notify-interval=0s") == ServerConfig()


def test_gates_by_group_and_by_name():
    found = config("--feature-gates=LeaseCheckpoint=false,AllAlpha=true")
    assert not found.feature("LeaseCheckpoint")
    assert found.feature("InitialCorruptCheck")
    assert not config("--feature-gates=AllBeta=false").feature("FastLeaseKeepAlive")
    with pytest.raises(KeyError):
        ServerConfig().feature("Foo")


def test_what_is_not_built_warns_when_harmless():
    found = load(["--enable-pprof", "--enable-distributed-tracing=true"], {}).warnings.items
    assert [warning.fields["flag"] for warning in found] == ["--enable-pprof", "--enable-distributed-tracing"]
    assert warnings("--enable-pprof=false") == []


def test_variables_set_flags_and_empty_ones_do_not():
    found = config(ETCD_NAME="n7", ETCD_PRE_VOTE="false", ETCD_DATA_DIR="", ETCD_HEARTBEAT_INTERVAL="50")
    assert (found.name, found.pre_vote, found.data_folder, found.heartbeat_interval_ms) == (
        "n7",
        False,
        "n7.etcd",
        50,
    )
    assert config(ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK="true").feature("InitialCorruptCheck")


def test_a_flag_and_its_variable_together_are_refused():
    message = refusal(ConfigError, "--name=a", ETCD_NAME="b")
    assert message.startswith('conflicting environment variable "ETCD_NAME" is shadowed by')
    assert config("--name=a", ETCD_NAME="").name == "a"
    words = ("--experimental-initial-corrupt-check",)
    assert "conflicting" in refusal(ConfigError, *words, ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK="true")
    assert "conflicting" in refusal(
        ConfigError, "--corrupt-check-time=1h", ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME="1h"
    )


def test_unknown_variables_warn():
    assert warnings(ETCD_FOO="x", ETCDCTL_API="3", HOME="/") == ["unrecognized environment variable"]
    assert warnings(ETCD_VERSION="3") == ["cannot set special environment variable"]
    assert warnings(ETCD_UNSUPPORTED_ARCH="arm") == []


def test_a_bad_value_in_a_variable_names_the_variable():
    assert refusal(ConfigError, ETCD_SNAPSHOT_COUNT="x") == (
        'invalid value "x" for ETCD_SNAPSHOT_COUNT: parse error'
    )
