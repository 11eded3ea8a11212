"""Users, roles and permissions, kept in the store in etcd's buckets and encodings.

Bucket `authUsers` holds an authpb.User under each name, `authRoles` an authpb.Role, and `auth`
whether authentication is on (`authEnabled`, one byte) and the auth revision (`authRevision`,
8 bytes, big-endian). So an etcd can go on from this data, and the other way round.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from miniraft.auth.permissions import ROOT, UserPermissions
from miniraft.auth.ranges import OPEN_END
from miniraft.errors import (
    INVALID_AUTH_MANAGEMENT,
    PERMISSION_NOT_GIVEN,
    PERMISSION_NOT_GRANTED,
    ROLE_EXISTS,
    ROLE_NAME_EMPTY,
    ROLE_NOT_FOUND,
    ROLE_NOT_GRANTED,
    ROOT_ROLE_NOT_GRANTED,
    ROOT_USER_MISSING,
    USER_EXISTS,
    USER_NAME_EMPTY,
    USER_NOT_FOUND,
    Code,
    EtcdError,
)
from miniraft.mvcc.store import MAX_KEY_BYTES, Bucket
from miniraft.pb.auth_pb2 import Permission, Role, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from miniraft.mvcc.store import Store

_ENABLED_KEY = b"authEnabled"
_REVISION_KEY = b"authRevision"
_REVISION = struct.Struct(">Q")
_ON, _OFF = b"\x01", b"\x00"
_FIRST_REVISION = 1


class AuthStore:
    """The state of authentication. Methods that change it run at apply, on every member alike.

    Each raises EtcdError and changes nothing, or changes all. Everything is also held in
    memory: users and roles are few.

    Invariants: memory and store say the same; `revision` moves on with each change of a user
    or role, and when authentication is switched off; the roles of a user ascend, and so do the
    keys of a role's permissions.
    """

    def __init__(self, store: Store) -> None:
        self.enabled = False
        self.revision = _FIRST_REVISION
        self.load(store)

    def load(self, store: Store) -> None:
        """Reads everything: at the start, and when a snapshot has replaced the store.

        Raises ValueError for what cannot be read.
        """
        self._store = store
        self.enabled = store.get(Bucket.AUTH, _ENABLED_KEY) == _ON
        self.revision = _load_revision(store)
        self._users = {name.decode(): User.FromString(value) for name, value in store.scan(Bucket.AUTH_USERS)}
        self._roles = {name.decode(): Role.FromString(value) for name, value in store.scan(Bucket.AUTH_ROLES)}
        self._permissions: dict[str, UserPermissions] = {}  # as of `revision`

    # Reading ----------------------------------------------------------------------------------
    def user(self, name: str) -> User | None:
        """Returns the user, not to be changed, or None."""
        return self._users.get(name)

    def existing_user(self, name: str) -> User:
        """Returns the user, not to be changed. Raises USER_NOT_FOUND."""
        user = self._users.get(name)
        if user is None:
            raise USER_NOT_FOUND.fresh()
        return user

    def users(self) -> list[str]:
        """Returns the names in byte order."""
        return sorted(self._users, key=str.encode)

    def roles(self) -> list[str]:
        """Returns the names in byte order."""
        return sorted(self._roles, key=str.encode)

    def role_permissions(self, name: str) -> Sequence[Permission]:
        """Returns what a role grants; `root` grants everything. Raises ROLE_NOT_FOUND."""
        role = self._existing_role(name)
        if name == ROOT:
            return [Permission(permType=Permission.READWRITE, key=b"", range_end=OPEN_END)]
        return role.keyPermission

    def permissions(self, user_name: str) -> UserPermissions | None:
        """Returns what a user may do, or None for a user there is not."""
        found = self._permissions.get(user_name)
        if found is None:
            user = self._users.get(user_name)
            if user is None:
                return None
            found = self._permissions[user_name] = UserPermissions(user.roles, self._roles)
        return found

    # On and off -------------------------------------------------------------------------------
    def enable(self) -> None:
        """Switches authentication on; it may be on. Raises ROOT_USER_MISSING, ROOT_ROLE_NOT_GRANTED."""
        if self.enabled:
            return
        root = self._users.get(ROOT)
        if root is None:
            raise ROOT_USER_MISSING.fresh()
        if ROOT not in root.roles:
            raise ROOT_ROLE_NOT_GRANTED.fresh()
        self._store.put(Bucket.AUTH, _ENABLED_KEY, _ON)
        self.enabled = True

    def disable(self) -> None:
        """Switches authentication off; it may be off."""
        if not self.enabled:
            return
        self._store.put(Bucket.AUTH, _ENABLED_KEY, _OFF)
        self.enabled = False
        self._next_revision()

    # Users ------------------------------------------------------------------------------------
    def add_user(self, name: str, password_hash: bytes, *, no_password: bool) -> None:
        """Adds a user without roles. Raises USER_NAME_EMPTY, USER_EXISTS."""
        if not name:
            raise USER_NAME_EMPTY.fresh()
        if name in self._users:
            raise USER_EXISTS.fresh()
        _check_length("user", name)
        user = User(name=name.encode(), password=password_hash)
        user.options.no_password = no_password
        self._put_user(name, user)
        self._next_revision()

    def delete_user(self, name: str) -> None:
        """Removes a user. Raises INVALID_AUTH_MANAGEMENT for root while it is needed, USER_NOT_FOUND."""
        if self.enabled and name == ROOT:
            raise INVALID_AUTH_MANAGEMENT.fresh()
        self.existing_user(name)
        del self._users[name]
        self._store.delete(Bucket.AUTH_USERS, name.encode())
        self._next_revision()

    def change_password(self, name: str, password_hash: bytes) -> None:
        """Replaces a password; a user without one stays so. Raises USER_NOT_FOUND."""
        user = _copy_of_user(self.existing_user(name))
        if not user.options.no_password:
            user.password = password_hash
        self._put_user(name, user)
        self._next_revision()

    def grant_role(self, user_name: str, role_name: str) -> None:
        """Gives a user a role, which it may have. Raises USER_NOT_FOUND, ROLE_NOT_FOUND.

        The role `root` need not exist.
        """
        user = self.existing_user(user_name)
        if role_name != ROOT:
            self._existing_role(role_name)
        if role_name in user.roles:
            return
        self._set_roles(user_name, [*user.roles, role_name])
        self._next_revision()

    def revoke_role(self, user_name: str, role_name: str) -> None:
        """Takes a role from a user.

        Raises INVALID_AUTH_MANAGEMENT for root's own while it is needed, USER_NOT_FOUND,
        ROLE_NOT_GRANTED.
        """
        if self.enabled and user_name == ROOT and role_name == ROOT:
            raise INVALID_AUTH_MANAGEMENT.fresh()
        user = self.existing_user(user_name)
        if role_name not in user.roles:
            raise ROLE_NOT_GRANTED.fresh()
        self._set_roles(user_name, [name for name in user.roles if name != role_name])
        self._next_revision()

    # Roles ------------------------------------------------------------------------------------
    def add_role(self, name: str) -> None:
        """Adds a role that grants nothing. Raises ROLE_NAME_EMPTY, ROLE_EXISTS."""
        if not name:
            raise ROLE_NAME_EMPTY.fresh()
        if name in self._roles:
            raise ROLE_EXISTS.fresh()
        _check_length("role", name)
        self._put_role(name, Role(name=name.encode()))
        self._next_revision()

    def delete_role(self, name: str) -> None:
        """Removes a role, from all users too.

        Raises INVALID_AUTH_MANAGEMENT for `root` while it is needed, ROLE_NOT_FOUND.
        """
        if self.enabled and name == ROOT:
            raise INVALID_AUTH_MANAGEMENT.fresh()
        self._existing_role(name)
        del self._roles[name]
        self._store.delete(Bucket.AUTH_ROLES, name.encode())
        for user_name, user in list(self._users.items()):
            if name in user.roles:
                self._set_roles(user_name, [role for role in user.roles if role != name])
        self._next_revision()

    def grant_permission(self, role_name: str, permission: Permission | None) -> None:
        """Lets a role read or write keys; what it could do with the same range is replaced.

        Raises PERMISSION_NOT_GIVEN, INVALID_AUTH_MANAGEMENT for an empty range, ROLE_NOT_FOUND.
        """
        if permission is None:
            raise PERMISSION_NOT_GIVEN.fresh()
        if not _is_range(permission.key, permission.range_end):
            raise INVALID_AUTH_MANAGEMENT.fresh()
        role = Role()
        role.CopyFrom(self._existing_role(role_name))
        for granted in role.keyPermission:
            if (granted.key, granted.range_end) == (permission.key, permission.range_end):
                granted.permType = permission.permType
                break
        else:
            role.keyPermission.append(permission)
            role.keyPermission.sort(key=lambda granted: granted.key)
        self._put_role(role_name, role)
        self._next_revision()

    def revoke_permission(self, role_name: str, key: bytes, range_end: bytes) -> None:
        """Takes back exactly what was granted. Raises ROLE_NOT_FOUND, PERMISSION_NOT_GRANTED."""
        role = self._existing_role(role_name)
        kept = [
            granted for granted in role.keyPermission if (granted.key, granted.range_end) != (key, range_end)
        ]
        if len(kept) == len(role.keyPermission):
            raise PERMISSION_NOT_GRANTED.fresh()
        self._put_role(role_name, Role(name=role.name, keyPermission=kept))
        self._next_revision()

    # Parts ------------------------------------------------------------------------------------
    def _existing_role(self, name: str) -> Role:
        role = self._roles.get(name)
        if role is None:
            raise ROLE_NOT_FOUND.fresh()
        return role

    def _set_roles(self, user_name: str, role_names: Iterable[str]) -> None:
        user = _copy_of_user(self._users[user_name])
        user.roles[:] = sorted(role_names, key=str.encode)
        self._put_user(user_name, user)

    def _put_user(self, name: str, user: User) -> None:
        self._users[name] = user
        self._store.put(Bucket.AUTH_USERS, name.encode(), user.SerializeToString())

    def _put_role(self, name: str, role: Role) -> None:
        self._roles[name] = role
        self._store.put(Bucket.AUTH_ROLES, name.encode(), role.SerializeToString())

    def _next_revision(self) -> None:
        """Ends every change: what was worked out from the state before no longer counts."""
        self.revision += 1
        self._store.put(Bucket.AUTH, _REVISION_KEY, _REVISION.pack(self.revision))
        self._permissions.clear()


def _copy_of_user(user: User) -> User:
    copy = User()
    copy.CopyFrom(user)
    return copy


def _is_range(key: bytes, range_end: bytes) -> bool:
    return bool(key) and (not range_end or range_end == OPEN_END or key < range_end)


def _check_length(kind: str, name: str) -> None:
    """The store's bound on keys; etcd has none but the size of a request."""
    size = len(name.encode())
    if size > MAX_KEY_BYTES:
        raise EtcdError(
            Code.INVALID_ARGUMENT,
            f"etcdserver: {kind} name of {size} bytes is too long: choose one of at most {MAX_KEY_BYTES}",
        )


def _load_revision(store: Store) -> int:
    value = store.get(Bucket.AUTH, _REVISION_KEY)
    if value is None:
        return _FIRST_REVISION
    if len(value) != _REVISION.size:
        raise ValueError(
            f"auth/{_REVISION_KEY.decode()} holds {len(value)} bytes, not {_REVISION.size}: {value[:32]!r}"
        )
    return max(int(_REVISION.unpack(value)[0]), _FIRST_REVISION)
