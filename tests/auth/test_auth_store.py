"""Users and roles: what changes, what is refused, and how it is kept."""

import struct

import pytest

from miniraft import errors
from miniraft.auth.auth_store import AuthStore
from miniraft.errors import EtcdError
from miniraft.mvcc.store import Bucket
from miniraft.pb.auth_pb2 import Permission, Role, User
from tests.support.dict_store import DictStore

READ, WRITE, READWRITE = Permission.READ, Permission.WRITE, Permission.READWRITE


@pytest.fixture
def store():
    return DictStore()


@pytest.fixture
def auth(store):
    return AuthStore(store)


def refused(error, function, *arguments, **options):
    with pytest.raises(EtcdError) as caught:
        function(*arguments, **options)
    assert caught.value.message == error.message


def add_root(auth):
    auth.add_user("root", b"", no_password=True)
    auth.grant_role("root", "root")


def test_it_is_off_at_first_and_needs_root_to_be_switched_on(auth):
    assert (auth.enabled, auth.revision) == (False, 1)
    refused(errors.ROOT_USER_MISSING, auth.enable)
    auth.add_user("root", b"", no_password=True)
    refused(errors.ROOT_ROLE_NOT_GRANTED, auth.enable)
    auth.grant_role("root", "root")  # the role itself need not exist
    revision = auth.revision
    auth.enable()
    auth.enable()
    assert (auth.enabled, auth.revision) == (True, revision)
    auth.disable()
    auth.disable()
    assert (auth.enabled, auth.revision) == (False, revision + 1)


def test_every_change_moves_the_revision_and_a_grant_that_is_there_does_not(auth):
    changes = [
        lambda: auth.add_user("u", b"hash", no_password=False),
        lambda: auth.add_role("r"),
        lambda: auth.grant_role("u", "r"),
        lambda: auth.grant_permission("r", Permission(permType=READ, key=b"a")),
        lambda: auth.change_password("u", b"other"),
        lambda: auth.revoke_permission("r", b"a", b""),
        lambda: auth.revoke_role("u", "r"),
        lambda: auth.delete_role("r"),
        lambda: auth.delete_user("u"),
    ]
    for number, change in enumerate(changes, 2):
        change()
        assert auth.revision == number
    auth.add_user("u", b"", no_password=False)
    auth.grant_role("u", "root")
    revision = auth.revision
    auth.grant_role("u", "root")
    assert auth.revision == revision


def test_what_is_refused_changes_nothing(auth, store):
    add_root(auth)
    auth.add_role("r")
    auth.enable()
    before, revision = dict(store.scan(Bucket.AUTH_USERS)), auth.revision
    refused(errors.USER_NAME_EMPTY, auth.add_user, "", b"", no_password=False)
    refused(errors.USER_EXISTS, auth.add_user, "root", b"", no_password=False)
    refused(errors.USER_NOT_FOUND, auth.delete_user, "u")
    refused(errors.USER_NOT_FOUND, auth.change_password, "u", b"")
    refused(errors.USER_NOT_FOUND, auth.grant_role, "u", "nothing")
    refused(errors.ROLE_NOT_FOUND, auth.grant_role, "root", "nothing")
    refused(errors.USER_NOT_FOUND, auth.revoke_role, "u", "r")
    refused(errors.ROLE_NOT_GRANTED, auth.revoke_role, "root", "r")
    refused(errors.ROLE_NAME_EMPTY, auth.add_role, "")
    refused(errors.ROLE_EXISTS, auth.add_role, "r")
    refused(errors.ROLE_NOT_FOUND, auth.delete_role, "nothing")
    refused(errors.ROLE_NOT_FOUND, auth.role_permissions, "nothing")
    refused(errors.PERMISSION_NOT_GIVEN, auth.grant_permission, "nothing", None)
    for key, end in ((b"", b""), (b"b", b"a"), (b"b", b"b")):
        broken = Permission(permType=READ, key=key, range_end=end)
        refused(errors.INVALID_AUTH_MANAGEMENT, auth.grant_permission, "r", broken)
    refused(errors.ROLE_NOT_FOUND, auth.grant_permission, "nothing", Permission(key=b"a"))
    refused(errors.PERMISSION_NOT_GRANTED, auth.revoke_permission, "r", b"a", b"")
    refused(errors.INVALID_AUTH_MANAGEMENT, auth.delete_user, "root")
    refused(errors.INVALID_AUTH_MANAGEMENT, auth.revoke_role, "root", "root")
    refused(errors.INVALID_AUTH_MANAGEMENT, auth.delete_role, "root")
    assert (dict(store.scan(Bucket.AUTH_USERS)), auth.revision) == (before, revision)


def test_root_can_be_taken_apart_while_authentication_is_off(auth):
    add_root(auth)
    auth.revoke_role("root", "root")
    auth.delete_user("root")
    assert auth.users() == []


def test_names_longer_than_a_key_are_refused_and_say_how_long_they_may_be(auth):
    with pytest.raises(EtcdError, match="at most 511"):
        auth.add_user("é" * 256, b"", no_password=True)
    with pytest.raises(EtcdError, match="at most 511"):
        auth.add_role("r" * 512)
    auth.add_role("r" * 511)


def test_a_permission_on_the_same_range_is_replaced_and_keys_ascend(auth):
    auth.add_role("r")
    for key, end, kind in (
        (b"b", b"", READ),
        (b"a", b"z", READ),
        (b"a", b"", WRITE),
        (b"b", b"", READWRITE),
        (b"c", b"\0", READ),
    ):
        auth.grant_permission("r", Permission(permType=kind, key=key, range_end=end))
    granted = [(p.key, p.range_end, p.permType) for p in auth.role_permissions("r")]
    assert granted == [
        (b"a", b"z", READ),
        (b"a", b"", WRITE),
        (b"b", b"", READWRITE),
        (b"c", b"\0", READ),
    ]


def test_the_role_root_shows_everything_once_it_exists(auth):
    refused(errors.ROLE_NOT_FOUND, auth.role_permissions, "root")
    auth.add_role("root")
    (everything,) = auth.role_permissions("root")
    assert (everything.permType, everything.key, everything.range_end) == (READWRITE, b"", b"\0")


def test_a_role_that_is_deleted_is_taken_from_all_users(auth):
    for name in ("a", "b"):
        auth.add_role(name)
    for user in ("u", "v"):
        auth.add_user(user, b"", no_password=True)
        auth.grant_role(user, "b")
        auth.grant_role(user, "a")
    assert list(auth.user("u").roles) == ["a", "b"]
    auth.delete_role("a")
    assert [list(auth.user(name).roles) for name in auth.users()] == [["b"], ["b"]]


def test_permissions_are_the_union_of_all_roles_and_follow_every_change(auth):
    auth.add_user("u", b"", no_password=True)
    for role, key, end, kind in (("r1", b"a", b"c", READ), ("r2", b"c", b"e", READWRITE)):
        auth.add_role(role)
        auth.grant_permission(role, Permission(permType=kind, key=key, range_end=end))
        auth.grant_role("u", role)
    assert auth.permissions("u").may_read(b"a", b"e")
    assert not auth.permissions("u").may_write(b"a", b"e")
    assert auth.permissions("u").may_write(b"c", b"e")
    assert not auth.permissions("u").may_read(b"e", b"")
    auth.revoke_role("u", "r2")
    assert not auth.permissions("u").may_read(b"a", b"e")
    auth.grant_role("u", "root")
    assert auth.permissions("u").is_root
    assert auth.permissions("u").may_write(b"\0", b"\0")
    auth.delete_user("u")
    assert auth.permissions("u") is None


def test_a_user_without_a_password_stays_so(auth):
    auth.add_user("u", b"", no_password=True)
    auth.change_password("u", b"hash")
    assert (auth.user("u").password, auth.user("u").options.no_password) == (b"", True)


def test_it_is_kept_as_etcd_keeps_it(auth, store):
    add_root(auth)
    auth.add_user("u", b"$2a$", no_password=False)
    auth.add_role("r")
    auth.grant_permission("r", Permission(permType=READ, key=b"a", range_end=b"b"))
    auth.enable()
    assert dict(store.scan(Bucket.AUTH)) == {
        b"authEnabled": b"\x01",
        b"authRevision": struct.pack(">Q", auth.revision),
    }
    user = User.FromString(store.get(Bucket.AUTH_USERS, b"u"))
    assert (user.name, user.password, list(user.roles)) == (b"u", b"$2a$", [])
    assert user.HasField("options")  # present in what etcd writes, with or without a password
    role = Role.FromString(store.get(Bucket.AUTH_ROLES, b"r"))
    assert role.name == b"r"
    assert [(p.permType, p.key, p.range_end) for p in role.keyPermission] == [(READ, b"a", b"b")]
    auth.disable()
    assert store.get(Bucket.AUTH, b"authEnabled") == b"\x00"


def test_it_is_found_again(auth, store):
    add_root(auth)
    auth.add_role("r")
    auth.grant_permission("r", Permission(permType=READ, key=b"a"))
    auth.add_user("u", b"hash", no_password=False)
    auth.grant_role("u", "r")
    auth.enable()
    again = AuthStore(store)
    assert (again.enabled, again.revision) == (True, auth.revision)
    assert again.users() == ["root", "u"]
    assert again.roles() == ["r"]
    assert again.permissions("u").may_read(b"a", b"")


def test_a_revision_that_cannot_be_read_is_said(store):
    store.put(Bucket.AUTH, b"authRevision", b"abc")
    with pytest.raises(ValueError, match="auth/authRevision holds 3 bytes"):
        AuthStore(store)
