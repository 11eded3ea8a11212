"""What one user may do: the ranges of all the user's roles, joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.auth.ranges import RangeSet, bounds
from miniraft.pb.auth_pb2 import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from miniraft.pb.auth_pb2 import Role

ROOT = "root"  # the user and the role that may do everything

_READS = (Permission.READ, Permission.READWRITE)
_WRITES = (Permission.WRITE, Permission.READWRITE)


class UserPermissions:
    """The permissions of one user as of one auth revision."""

    __slots__ = ("_read", "_write", "is_root")

    def __init__(self, role_names: Iterable[str], roles: Mapping[str, Role]) -> None:
        """Roles that do not exist grant nothing; but the name `root` is enough, as in etcd."""
        names = list(role_names)
        granted = [
            (permission.permType, bounds(permission.key, permission.range_end))
            for name in names
            if name in roles
            for permission in roles[name].keyPermission
        ]
        self.is_root = ROOT in names
        self._read = RangeSet(keys for kind, keys in granted if kind in _READS)
        self._write = RangeSet(keys for kind, keys in granted if kind in _WRITES)

    def may_read(self, key: bytes, range_end: bytes) -> bool:
        """Whether every key of the range may be read."""
        return self.is_root or self._read.covers(*bounds(key, range_end))

    def may_write(self, key: bytes, range_end: bytes) -> bool:
        """Whether every key of the range may be written."""
        return self.is_root or self._write.covers(*bounds(key, range_end))
