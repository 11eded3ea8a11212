"""Every command of etcdctl is here, with each of its flags: the list is the interface's, not ours."""

import pytest

from tests.support.etcdctl import run_ours

_SCALE = "--load --prefix --auto-compact --auto-defrag"
# Command -> its own flags, of etcdctl 3.4 to 3.7 together. Left out: `migrate` (3.4), for v2 data.
COMMANDS = {
    "get": (
        "--consistency --order --sort-by --limit --prefix --from-key --rev --keys-only --count-only"
        " --print-value-only --min-create-rev --max-create-rev --min-mod-rev --max-mod-rev --stream"
    ),
    "put": "--lease --prev-kv --ignore-value --ignore-lease",
    "del": "--prefix --prev-kv --from-key --range",
    "txn": "--interactive -i",
    "compaction": "--physical",
    "watch": "--interactive -i --prefix --rev --prev-kv --progress-notify",
    "lease grant": "",
    "lease revoke": "",
    "lease timetolive": "--keys",
    "lease list": "",
    "lease keep-alive": "--once",
    "member add": "--peer-urls --learner",
    "member remove": "",
    "member promote": "",
    "member update": "--peer-urls",
    "member list": "--consistency",
    "endpoint health": "--cluster",
    "endpoint status": "--cluster",
    "endpoint hashkv": "--cluster --rev",
    "move-leader": "",
    "alarm list": "",
    "alarm disarm": "",
    "defrag": "--cluster",
    "snapshot save": "",
    "snapshot status": "",
    "snapshot restore": (
        "--data-dir --wal-dir --name --initial-cluster --initial-cluster-token"
        " --initial-advertise-peer-urls --skip-hash-check --initial-memory-map-size --bump-revision"
        " --mark-compacted"
    ),
    "auth enable": "",
    "auth disable": "",
    "auth status": "",
    "user add": "--interactive --new-user-password --no-password",
    "user get": "--detail",
    "user delete": "",
    "user list": "",
    "user grant-role": "",
    "user revoke-role": "",
    "user passwd": "--interactive",
    "role add": "",
    "role delete": "",
    "role get": "",
    "role list": "",
    "role grant-permission": "--prefix --from-key",
    "role revoke-permission": "--prefix --from-key",
    "lock": "--ttl",
    "elect": "--listen -l",
    "make-mirror": (
        "--prefix --rev --max-txn-ops --dest-prefix --no-dest-prefix --dest-cert --dest-key --dest-cacert"
        " --dest-insecure-transport --dest-user --dest-password"
    ),
    "check perf": _SCALE,
    "check datascale": _SCALE,
    "downgrade validate": "",
    "downgrade enable": "",
    "downgrade cancel": "",
    "version": "",
    "options": "",
    "completion bash": "",
    "completion zsh": "",
    "completion fish": "",
    "completion powershell": "",
    "help": "",
}
DEFAULTS = {
    "get": "--consistency='l' --limit=0",
    "lock": "--ttl=10",
    "check perf": "--load='s' --prefix='/etcdctl-check-perf/'",
    "check datascale": "--prefix='/etcdctl-check-datascale/'",
    "make-mirror": "--max-txn-ops=128 --dest-insecure-transport[=true]",
    "user add": "--interactive[=true]",
    "snapshot restore": (
        "--name='default' --initial-cluster='default=http://localhost:2380'"
        " --initial-cluster-token='etcd-cluster' --initial-advertise-peer-urls='http://localhost:2380'"
        " --bump-revision=0 --initial-memory-map-size=0"
    ),
}
GLOBAL_FLAGS = (
    "--endpoints --write-out -w --hex --debug --dial-timeout --command-timeout --keepalive-time"
    " --keepalive-timeout --max-request-bytes --max-recv-bytes --insecure-transport --insecure-discovery"
    " --insecure-skip-tls-verify --cert --key --cacert --user --password --auth-jwt-token"
    " --discovery-srv -d --discovery-srv-name"
)


def shown_flags(text):
    """The flags that a help text lists, with their defaults, and without."""
    rows = [line.split() for line in text.splitlines() if line.startswith(("  -", "      --"))]
    words = [word.rstrip(",") for row in rows for word in row[:2] if word.startswith("-")]
    return set(words) | {word.partition("=")[0].removesuffix("[") for word in words}


@pytest.mark.parametrize(("path", "flags"), COMMANDS.items(), ids=COMMANDS)
def test_command_is_here_with_its_flags(path, flags):
    ours = run_ours(*path.split(), "--help")
    shown = ours.out.decode()
    assert ours.code == 0, ours.error_text
    assert shown.startswith(f"NAME:\n\t{path} - "), "the help is that of another command"
    wanted = {*flags.split(), *DEFAULTS.get(path, "").replace("'", '"').split()}
    assert wanted <= shown_flags(shown), f"missing: {sorted(wanted - shown_flags(shown))}"


def test_global_flags_are_here():
    assert set(GLOBAL_FLAGS.split()) <= shown_flags(run_ours("options").out.decode())


def test_help_lists_every_command():
    listing = run_ours("--help").out.decode().partition("COMMANDS:\n")[2].partition("\n\n")[0]
    assert {line.strip().partition("  ")[0] for line in listing.splitlines()} >= set(COMMANDS)
