"""Where the members of a new cluster register with another etcd, and who of them belongs to it.

/_etcd/registry/<token>/_config/size          how many members there will be, set by the operator
/_etcd/registry/<token>/members/<id in hex>   `name=url,name=url`, set by each member

Whoever registered first belongs to the cluster: the keys are put in the order of their creation,
and those behind the first `size` do not count.
"""

from __future__ import annotations

from typing import NamedTuple

from miniraft.discovery.problem import DiscoveryError
from miniraft.server.bootstrap import BootstrapError, parse_initial_cluster
from miniraft.server.identity import format_id

_PREFIX = "/_etcd/registry"
MAX_SIZE = 1000  # of what an operator may have typed


def size_key(token: str) -> str:
    """Returns the key that holds the cluster's size."""
    return f"{_PREFIX}/{token}/_config/size"


def members_prefix(token: str) -> str:
    """Returns what the keys of all members begin with."""
    return f"{_PREFIX}/{token}/members/"


def member_key(token: str, member_id: int) -> str:
    """Returns a member's key."""
    return members_prefix(token) + format_id(member_id)


def read_size(token: str, value: bytes | None) -> int:
    """Returns the size the operator has set. Raises DiscoveryError, in etcd's words."""
    put = f"set it with: etcdctl put {size_key(token)} 3"
    if value is None:
        raise DiscoveryError(f"discovery: size key not found: {put}")
    try:
        size = int(value)
    except ValueError:
        size = 0
    if not 0 < size <= MAX_SIZE:
        shown = value[:40].decode(errors="replace")
        raise DiscoveryError(f"discovery: size key is bad: it holds {shown!r}; {put}")
    return size


class Registered(NamedTuple):
    """One member's entry."""

    create_revision: int
    key: str
    entry: str  # name=url,name=url


class Registry:
    """Those that have registered so far. Invariant: in the order in which they did."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._members: list[Registered] = []

    def add(self, key: str, value: str, create_revision: int) -> str:
        """Takes a member's entry; returns why it does not count, empty when it does."""
        if "=" not in value:
            return "invalid peer info returned from discovery service"
        if any(member.key == key for member in self._members):
            return "found duplicate peer from discovery service"
        self._members.append(Registered(create_revision, key, value))
        self._members.sort()
        return ""

    @property
    def found(self) -> int:
        """How many have registered."""
        return len(self._members)

    @property
    def is_complete(self) -> bool:
        """Whether all members are known."""
        return self.found >= self.size

    def check_place(self, own_key: str) -> None:
        """Raises DiscoveryError when the cluster is full and this member is not in it."""
        first = self._members[: self.size]
        if len(first) == self.size and all(member.key != own_key for member in first):
            raise DiscoveryError(
                "discovery: cluster is full: its members have registered already. Raise the size before they "
                "have all come, use another --discovery-token, or join the running cluster with "
                "'etcdctl member add' and --initial-cluster-state=existing"
            )

    def initial_cluster(self) -> str:
        """Returns the members as --initial-cluster would name them. Raises DiscoveryError."""
        text = ",".join(member.entry for member in self._members[: self.size])
        try:
            parse_initial_cluster(text)
        except BootstrapError as error:
            raise DiscoveryError(
                f"discovery: invalid peer URL: {error}; remove the keys of wrong members, or use another "
                "--discovery-token"
            ) from error
        return text
