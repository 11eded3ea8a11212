"""How a member that has no data yet comes to its first state.

A new cluster's members each work out the same beginning from --initial-cluster: a state that
counts as the snapshot of log entry 1 of term 1, holding the first membership. So a member
that is added later can tell that it lacks something (its log ends at 0, nobody's log holds
entry 1) and gets the whole state from the leader: it cannot build a different beginning from
the member list it happens to be started with.

What a driver does with an empty data directory:
- state "new": `new_cluster`, then `seed_store` and commit the store, then create the log, to
  begin behind `FirstState.snapshot`.
- state "existing": ask the peers who they are, `find_own_member`, create the log to begin
  behind `NOTHING`, leave the store empty, and tell `Cluster.assume` the peers' addresses.
In this order a crash leaves a store without a log at most, and it is all done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from miniraft.raft.state import ConfigState, SnapshotMetadata
from miniraft.server.identity import bootstrap_member_id, cluster_id, format_id
from miniraft.server.membership import config_of, write_member
from miniraft.server.metastate import store_config, store_position
from miniraft.server.service import MemberInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from miniraft.mvcc.store import Store

FIRST_INDEX = 1
FIRST_TERM = 1
NOTHING = SnapshotMetadata(0, 0, ConfigState((), ()))  # what a member that joins begins with
_SCHEMES = ("http", "https", "unix", "unixs")


class BootstrapError(Exception):
    """A member cannot be started this way. The message says what to type instead."""


class FirstState(NamedTuple):
    """Where a member of a new cluster begins."""

    cluster_id: int
    member_id: int  # its own
    members: tuple[MemberInfo, ...]
    snapshot: SnapshotMetadata


def parse_urls(text: str, flag: str) -> tuple[str, ...]:
    """Returns the URLs of a comma list, sorted. Raises BootstrapError, naming `flag`."""
    urls = [_checked_url(part.strip(), flag) for part in text.split(",") if part.strip()]
    if not urls:
        raise BootstrapError(f"{flag} holds no URL; type it as {flag}=http://HOST:2380")
    return tuple(sorted(set(urls)))


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """Returns name -> peer URLs (sorted) of `name=url,name=url`; a name may stand several times.

    Raises BootstrapError when a part is no pair, a URL no peer URL, or two names share one.
    """
    flag = "--initial-cluster"
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise BootstrapError(f"{flag} is empty; type it as {flag}=NAME=http://HOST:2380[,NAME=URL...]")
    urls_by_name: dict[str, set[str]] = {}
    for part in parts:
        name, separator, url = part.partition("=")
        if not separator or not name or not url:
            raise BootstrapError(f"{flag} has {part!r}, which is not NAME=URL (NAME=http://HOST:2380)")
        urls_by_name.setdefault(name, set()).add(_checked_url(url, flag))
    _check_distinct(urls_by_name)
    return {name: tuple(sorted(urls)) for name, urls in urls_by_name.items()}


def check_own_entry(
    initial_cluster: Mapping[str, Sequence[str]], name: str, advertised_peer_urls: Sequence[str]
) -> None:
    """Checks that this member stands in --initial-cluster with the URLs it advertises.

    Raises BootstrapError with etcd's words first, then what to type.
    """
    own = initial_cluster.get(name)
    if own is None:
        listed = ", ".join(initial_cluster)
        raise BootstrapError(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
            f" (it names {listed}); set --name to one of them, or add"
            f" {name}={advertised_peer_urls[0] if advertised_peer_urls else 'http://HOST:2380'}"
            " to --initial-cluster on every member"
        )
    advertised_list, own_list = ",".join(advertised_peer_urls), ",".join(own)
    missing = sorted(set(own) - set(advertised_peer_urls))
    if missing:
        raise BootstrapError(
            f"--initial-cluster has {','.join(missing)} but missing from"
            f" --initial-advertise-peer-urls={advertised_list}"
            f" (type --initial-advertise-peer-urls={own_list}, or correct the entry of {name})"
        )
    extra = sorted(set(advertised_peer_urls) - set(own))
    if extra:
        entry = ",".join(f"{name}={url}" for url in sorted(advertised_peer_urls))
        raise BootstrapError(
            f"--initial-advertise-peer-urls has {','.join(extra)} but missing from"
            f" --initial-cluster={','.join(f'{name}={url}' for url in own)}"
            f" (type {entry} in --initial-cluster on every member)"
        )


def new_cluster(initial_cluster: Mapping[str, Sequence[str]], name: str, cluster_token: str) -> FirstState:
    """Returns the beginning that all members of a new cluster share, seen by member `name`.

    Raises BootstrapError when `name` is not among them.
    """
    if name not in initial_cluster:
        raise BootstrapError(f'couldn\'t find local name "{name}" in the initial cluster configuration')
    members = tuple(
        sorted(
            MemberInfo(bootstrap_member_id(urls, cluster_token), member_name, tuple(urls), (), False)
            for member_name, urls in initial_cluster.items()
        )
    )
    own = next(member for member in members if member.name == name)
    return FirstState(
        cluster_id(member.id for member in members),
        own.id,
        members,
        SnapshotMetadata(FIRST_INDEX, FIRST_TERM, config_of(members)),
    )


def seed_store(store: Store, first: FirstState) -> None:
    """Writes a new cluster's beginning into an empty store; doing it again changes nothing."""
    for member in first.members:
        write_member(store, member)
    store_config(store, first.snapshot.config)
    store_position(store, first.snapshot.index, first.snapshot.term)


def find_own_member(
    members: Iterable[MemberInfo], name: str, advertised_peer_urls: Sequence[str]
) -> MemberInfo:
    """Returns this member's entry in the list of a running cluster (--initial-cluster-state=existing).

    Raises BootstrapError when nobody there has these peer URLs, or somebody is running with them.
    """
    wanted = set(advertised_peer_urls)
    listed = sorted(members)
    for member in listed:
        if set(member.peer_urls) != wanted:
            continue
        if member.name:
            raise BootstrapError(
                f"member {format_id(member.id)} ({member.name}) with these peer URLs has run before and its"
                f" data is not here: remove it with `etcdctl member remove {format_id(member.id)}`,"
                f" add it again with `etcdctl member add {name} --peer-urls={','.join(sorted(wanted))}`,"
                " then start it with an empty data directory"
            )
        return member
    known = "; ".join(f"{format_id(m.id)} {','.join(m.peer_urls)}" for m in listed) or "no member at all"
    raise BootstrapError(
        f"the running cluster has no member with peer URLs {','.join(sorted(wanted))} (it has {known});"
        f" add it first with `etcdctl member add {name} --peer-urls={','.join(sorted(wanted))}`,"
        " or correct --initial-advertise-peer-urls"
    )


def _check_distinct(urls_by_name: Mapping[str, Iterable[str]]) -> None:
    owners: dict[str, str] = {}
    for name, urls in urls_by_name.items():
        for url in urls:
            owner = owners.setdefault(url, name)
            if owner != name:
                raise BootstrapError(
                    f"--initial-cluster gives {url} to both {owner} and {name}; give each its own"
                )


def _checked_url(url: str, flag: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise BootstrapError(f"{flag} has {url!r}: URL scheme must be http, https, unix, or unixs")
    if parts.scheme.startswith("unix"):
        if not parts.netloc and not parts.path:
            raise BootstrapError(f"{flag} has {url!r}: a socket's path is missing behind unix://")
        return url
    try:
        port = parts.port
    except ValueError as error:
        raise BootstrapError(f"{flag} has {url!r}: {error}") from error
    if not parts.hostname or port is None:
        raise BootstrapError(f'{flag} has {url!r}: URL address does not have the form "host:port"')
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BootstrapError(f"{flag} has {url!r}: URL must not contain a path")
    return url.rstrip("/")
