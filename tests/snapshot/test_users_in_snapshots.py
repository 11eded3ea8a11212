"""Users, roles and passwords go with a snapshot: etcd's to us, ours to etcd."""

import contextlib

from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission, UserAddOptions
from tests.snapshot.conftest import etcdutl, etcdutl_py
from tests.support.auth_client import Failure, GrpcClient
from tests.support.etcdctl import run_real
from tests.support.real_etcd import running_etcd
from tests.support.server_under_test import MINIRAFT, running_server

QUICK = ("--bcrypt-cost", "4")
SET_UP = [
    ("UserAdd", rpc.AuthUserAddRequest(name="root", password="p")),
    ("UserAdd", rpc.AuthUserAddRequest(name="ann", password="pä")),
    ("UserAdd", rpc.AuthUserAddRequest(name="silent", options=UserAddOptions(no_password=True))),
    ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
    ("RoleAdd", rpc.AuthRoleAddRequest(name="r")),
    ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="ann", role="r")),
    (
        "RoleGrantPermission",
        rpc.AuthRoleGrantPermissionRequest(
            name="r", perm=Permission(permType=Permission.READWRITE, key=b"a", range_end=b"b")
        ),
    ),
    (
        "RoleGrantPermission",
        rpc.AuthRoleGrantPermissionRequest(
            name="r", perm=Permission(permType=Permission.READ, key=b"z", range_end=b"\0")
        ),
    ),
    ("Put", rpc.PutRequest(key=b"a", value=b"1")),
    ("AuthEnable", rpc.AuthEnableRequest()),
]


@contextlib.contextmanager
def client_of(address):
    client = GrpcClient(address)
    yield client
    client.close()


def set_up_and_save(address, path):
    """Returns what was seen of users before the snapshot was taken."""
    with client_of(address) as client:
        for name, request in SET_UP:
            assert not isinstance(client.call(name, request), Failure), name
        seen = look(client)
    saved = run_real("--endpoints", address, "--user", "root:p", "snapshot", "save", str(path))
    assert saved.code == 0, saved.error_text
    return seen


def look(client):
    """Logs in, and returns what two servers with the same users must answer alike."""
    root, ann = client.login("root", "p"), client.login("ann", "pä")
    assert not isinstance(ann, Failure), ann
    return {
        "users": list(client.call("UserList", rpc.AuthUserListRequest(), root).users),
        "permissions": list(client.call("RoleGet", rpc.AuthRoleGetRequest(role="r"), ann).perm),
        "own": client.call("Range", rpc.RangeRequest(key=b"a"), ann).count,
        "open end": client.call("Range", rpc.RangeRequest(key=b"z", range_end=b"\0"), ann).count,
        "others": client.call("Range", rpc.RangeRequest(key=b"b"), ann),
        "nobody": client.call("Range", rpc.RangeRequest(key=b"a")),
        "silent": client.login("silent", ""),
        "wrong": client.login("ann", "p"),
        "revision": client.call("AuthStatus", rpc.AuthStatusRequest(), root).authRevision,
    }


def go_on(client, revision):
    """Users can be changed, from the revision on at which they were."""
    root = client.login("root", "p")
    change = rpc.AuthUserChangePasswordRequest(name="ann", password="new")
    assert not isinstance(client.call("UserChangePassword", change, root), Failure)
    assert client.call("AuthStatus", rpc.AuthStatusRequest(), root).authRevision == revision + 1
    assert not isinstance(client.login("ann", "new"), Failure)


def test_from_etcd_to_us(tmp_path):
    snapshot = tmp_path / "snapshot.db"
    with running_etcd(tmp_path, *QUICK) as address:
        before = set_up_and_save(address, snapshot)
    restored = etcdutl_py("snapshot", "restore", snapshot, "--data-dir", tmp_path / "ours" / "data")
    assert restored.returncode == 0, restored.stderr
    with (
        running_server(tmp_path / "ours", *QUICK, program=MINIRAFT, name="default") as address,
        client_of(address) as client,
    ):
        assert look(client) == before
        go_on(client, before["revision"])


def test_from_us_to_etcd(tmp_path):
    snapshot = tmp_path / "snapshot.db"
    with running_server(tmp_path / "ours", *QUICK, program=MINIRAFT) as address:
        before = set_up_and_save(address, snapshot)
    (tmp_path / "etcd").mkdir()
    restored = etcdutl("snapshot", "restore", snapshot, "--data-dir", tmp_path / "etcd" / "data")
    assert restored.returncode == 0, restored.stderr
    with running_etcd(tmp_path / "etcd", *QUICK) as address, client_of(address) as client:
        assert look(client) == before
        go_on(client, before["revision"])
