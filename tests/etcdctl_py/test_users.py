"""auth, user and role, and commands under authentication, on two servers with one history."""

import pytest

from tests.etcdctl_py.conftest import make_twins
from tests.support.etcdctl import run_ours, run_real

FORMATS = ("simple", "json", "fields", "protobuf")


@pytest.fixture(scope="module")
def accounts(server_kind, tmp_path_factory):
    """Two servers, so that users and roles are nobody else's; passwords are hashed quickly."""
    with make_twins(tmp_path_factory.mktemp("accounts"), "--bcrypt-cost", "4") as pair:
        yield pair


@pytest.mark.parametrize("output", FORMATS)
def test_users_and_roles_in_every_format(accounts, output):
    user, role = f"user{output}", f"role{output}"
    for words in (
        ("user", "add", f"{user}:pw"),
        ("user", "add", f"{user}2:pw:with:colons"),
        ("user", "add", f"{user}3:x", "--no-password"),
        ("user", "add", f"{user}4", "--new-user-password", "pw"),
        ("user", "add", f"<&>{user}é\u2028\x01:pw"),
        ("role", "add", role),
        ("role", "grant-permission", role, "readwrite", "key"),
        ("role", "grant-permission", role, "READ", "a", "b"),
        ("role", "grant-permission", role, "write", "pre/", "--prefix"),
        ("role", "grant-permission", role, "read", "z", "--from-key"),
        ("role", "grant-permission", role, "read", "", "--prefix"),
        ("role", "get", role),
        ("role", "list"),
        ("user", "grant-role", user, role),
        ("user", "get", user, "--detail"),
        ("user", "get", f"{user}2", "--detail"),
        ("user", "revoke-role", user, role),
        ("role", "revoke-permission", role, "key"),
        ("role", "revoke-permission", role, "a", "b"),
        ("role", "revoke-permission", role, "pre/", "--prefix"),
        ("role", "revoke-permission", role, "z", "--from-key"),
        ("role", "revoke-permission", role, "", "--prefix"),
        ("role", "get", role),
        ("user", "delete", f"{user}2"),
        ("role", "delete", role),
    ):
        accounts.compare(*words, "-w", output)
    for words in (("user", "list"), ("user", "get", user), ("auth", "status")):
        accounts.compare(*words, "-w", output)
    for number, answers in enumerate((b"a\na\n", b"a\nb\n", b"\n\n")):
        accounts.compare("user", "add", f"{user}-asked{number}", "-w", output, stdin=answers)
        accounts.compare("user", "passwd", user, "-w", output, stdin=answers)
    accounts.compare("user", "passwd", user, "--interactive=false", "-w", output, stdin=b"new\n")
    accounts.compare("user", "add", f"{user}-piped", "--interactive=false", "-w", output, stdin=b"new\n")


@pytest.mark.parametrize(
    "words",
    [
        "user add",
        "user add a b",
        "user add :x",
        "user get",
        "user get nobody",
        "user delete",
        "user delete nobody",
        "user passwd",
        "user passwd nobody --interactive=false",
        "user grant-role",
        "user grant-role nobody nothing",
        "user revoke-role a",
        "user list x",
        "role add",
        "role get",
        "role get nothing",
        "role delete nothing",
        "role list x",
        "role grant-permission r read",
        "role grant-permission r foo k",
        "role grant-permission r read a b --prefix",
        "role grant-permission r read a b --from-key",
        "role grant-permission r read a --prefix --from-key",
        "role grant-permission nothing read b",
        "role revoke-permission r",
        "role revoke-permission nothing k",
        "user list -w table",
    ],
)
def test_errors_are_equal(accounts, words):
    assert accounts.compare(*words.split()).code != 0


def test_under_authentication(accounts):
    accounts.compare("user", "add", "root:secret")
    accounts.compare("role", "add", "reader")
    accounts.compare("role", "grant-permission", "reader", "read", "public/", "--prefix")
    accounts.compare("user", "add", "ann:pw:ann")
    accounts.compare("user", "add", "bob", "--no-password")
    accounts.compare("user", "grant-role", "ann", "reader")
    accounts.compare("put", "public/k", "v")
    accounts.compare("auth", "enable")
    as_root = ("--user", "root:secret")
    try:
        for words in (
            ("get", "public/k"),
            ("get", "public/k", *as_root),
            ("get", "public/k", "--user", "root", "--password", "secret"),
            ("get", "public/k", "--user", "ann:pw:ann"),
            ("get", "private", "--user", "ann:pw:ann"),
            ("put", "public/k", "w", "--user", "ann:pw:ann"),
            ("get", "public/k", "--user", "ann:wrong"),
            ("get", "public/k", "--user", "nobody:pw"),
            ("get", "public/k", "--password", "secret"),
            ("member", "list"),
            ("user", "list", "--user", "ann:pw:ann"),
            ("user", "get", "ann", "--user", "ann:pw:ann"),
            ("user", "get", "root", *as_root),
            ("user", "get", "root", "--detail", *as_root),
            ("role", "get", "root", *as_root),
            ("role", "get", "root", "-w", "json", *as_root),
            ("auth", "status", *as_root),
            ("auth", "status"),
            ("auth", "enable", *as_root),
            ("lease", "list"),
            ("watch", "private", "--user", "ann:pw:ann"),
            *(("watch", "private", "-w", output) for output in FORMATS),
            ("endpoint", "hashkv"),
            ("alarm", "list"),
            ("put", "public/k", "by root", *as_root),
            ("txn", "--user", "ann:pw:ann"),
        ):
            accounts.compare(
                *words,
                stdin=b'\nput "private" x\n\n\n' if words[0] == "txn" else b"",
                errors=words[0] != "endpoint",
            )
        asked = [
            run("--endpoints", address, "get", "public/k", "--user", "root", stdin=b"secret\n")
            for run, address in ((run_real, accounts.first), (run_ours, accounts.second))
        ]
        assert asked[0].out == asked[1].out
        hint = run_ours("--endpoints", accounts.second, "get", "public/k").error_text
        assert "--user name:password" in hint
        health = run_ours("--endpoints", accounts.second, "endpoint", "health", "--user", "ann:pw:ann")
        assert health.code == 0
    finally:
        accounts.compare("auth", "disable", *as_root)
    accounts.compare("get", "public/k", *as_root)
