"""--config-file: etcd's keys, and its rule that everything else is ignored."""

import pytest

from miniraft.config.config_file import MAX_FILE_BYTES
from miniraft.config.flags import FLAGS
from miniraft.config.load import load
from miniraft.config.problem import ConfigError


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        path = tmp_path / "etcd.yaml"
        path.write_text(text)
        return f"--config-file={path}"

    return write


def refused(*words):
    with pytest.raises(ConfigError) as caught:
        load(words, {})
    assert caught.value.fix
    return caught.value.message


def test_the_file_alone_decides(write):
    word = write("name: n1\nheartbeat-interval: 50\npre-vote: false\n")
    found = load([word, "--name=other", "--snapshot-count=7"], {"ETCD_NAME": "third"}).config
    assert (found.name, found.heartbeat_interval_ms, found.pre_vote) == ("n1", 50, False)
    assert found.snapshot_count == 10000
    path = word.partition("=")[2]
    assert load([], {"ETCD_CONFIG_FILE": path}).config.name == "n1"


def test_lists_durations_and_groups(write):
    found = load(
        [
            write(
                """
listen-client-urls: http://127.0.0.1:2379,http://127.0.0.1:12379
advertise-client-urls: http://127.0.0.1:2379
grpc-keepalive-interval: 5000000000
warning-apply-duration: 250ms
log-outputs: [stderr]
auto-compaction-retention: 5
feature-gates: InitialCorruptCheck=true
experimental-snapshot-catchup-entries: 9
host-whitelist: a,b
socket-options:
  reuse-port: true
peer-transport-security:
  allowed-cn: member
client-transport-security:
  client-cert-auth: false
discovery-config:
  client:
    dial-timeout: 2000000000
"""
            )
        ],
        {},
    ).config
    assert found.listen_client_urls == ("http://127.0.0.1:12379", "http://127.0.0.1:2379")
    assert found.grpc_keepalive_interval_seconds == 5.0
    assert found.warning_apply_duration_seconds == 0.25
    assert found.log_outputs == ("stderr",)
    assert found.auto_compaction_retention == "5"
    assert found.feature("InitialCorruptCheck")
    assert found.snapshot_catchup_entries == 9
    assert found.host_whitelist == ("a", "b")
    assert found.socket_reuse_port is True
    assert found.peer_cert_allowed_cn == ("member",)


def test_json_is_yaml(write):
    assert load([write('{"name": "n2", "max-wals": 3}')], {}).config.max_wals == 3


def test_an_empty_file_is_all_defaults(write):
    assert load([write("")], {}).config.name == "default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("snapshot-count: '100'", "snapshot-count: wants a whole number, not text"),
        ("snapshot-count: -1", "snapshot-count: value out of range"),
        ("snapshot-count: true", "snapshot-count: wants a whole number, not true or false"),
        ("pre-vote: 'true'", "pre-vote: wants true or false, not text"),
        ("name: 12", 'name: wants text, not a number; put it in quotes: "12"'),
        ("grpc-keepalive-interval: 5", None),
        ("grpc-keepalive-interval: 5x", "grpc-keepalive-interval: parse error"),
        ("grpc-keepalive-interval: 1.5", "wants nanoseconds or a duration"),
        ("listen-client-urls: 7", "wants text, not a number"),
        ("client-transport-security: yes", "client-transport-security holds keys of its own"),
        (
            "client-transport-security: {client-cert-autth: true}",
            "unknown key client-transport-security.client-",
        ),
        ("peer-transport-security: {nonsense: 1}", "unknown key peer-transport-security.nonsense"),
        ("{bad", "error converting YAML to JSON: yaml: line "),
        ("just words", "holds no settings"),
        ("- a", "holds no settings"),
    ],
)
def test_what_a_file_cannot_say(write, text, message):
    word = write(text)
    if message is None:
        assert load([word], {}).config
    else:
        assert message in refused(word)


def test_an_unknown_key_warns_as_etcd_passes_over_it(write):
    (warning,) = load([write("snapshot-coun: 5\nname: x")], {}).warnings.items
    assert warning.fields["key"] == "snapshot-coun"
    assert warning.fields["hint"] == "did you mean snapshot-count?"


def test_a_file_that_is_not_there_or_too_large(write, tmp_path):
    assert refused("--config-file=/nonexistent") == "open /nonexistent: no such file or directory"
    assert refused(f"--config-file={tmp_path}").startswith(f"open {tmp_path}: is a directory")
    assert "larger than" in refused(write("#" * (MAX_FILE_BYTES + 1)))


def test_no_two_flags_share_a_key():
    paths = [flag.yaml_path for flag in FLAGS.values() if flag.yaml_path]
    assert len(paths) == len(set(paths))
