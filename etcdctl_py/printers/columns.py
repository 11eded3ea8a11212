"""Rows of members and endpoints, shared by the simple and the table format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.golang.durations import format_duration
from etcdctl_py.golang.sizes import humanize_bytes
from etcdctl_py.identifiers import hex_id

if TYPE_CHECKING:
    from etcdctl_py.messages import Member
    from etcdctl_py.printers.base import EndpointHash, EndpointHealth, EndpointStatus

MEMBER_COLUMNS = ("ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner")
HEALTH_COLUMNS = ("Endpoint", "Health", "Took", "Error")
STATUS_COLUMNS = (
    "Endpoint",
    "ID",
    "Version",
    "DB Size",
    "Is Leader",
    "Is Learner",
    "Raft Term",
    "Raft Index",
    "Raft Applied Index",
    "Errors",
)
HASH_COLUMNS = ("Endpoint", "Hash")


def _switch(value: bool) -> str:
    return "true" if value else "false"


def member_row(member: Member) -> tuple[str, ...]:
    """A member; one that never started has no name."""
    return (
        hex_id(member.member_id),
        "started" if member.name else "unstarted",
        member.name,
        ",".join(member.peer_urls),
        ",".join(member.client_urls),
        _switch(member.is_learner),
    )


def health_row(health: EndpointHealth) -> tuple[str, ...]:
    """An endpoint's health."""
    return (health.endpoint, _switch(health.healthy), format_duration(health.took_ns), health.error)


def status_row(status: EndpointStatus) -> tuple[str, ...]:
    """An endpoint's state."""
    response = status.response
    return (
        status.endpoint,
        hex_id(response.head.member_id),
        response.version,
        humanize_bytes(response.db_size),
        _switch(response.leader == response.head.member_id),
        _switch(response.is_learner),
        str(response.raft_term),
        str(response.raft_index),
        str(response.raft_applied_index),
        ", ".join(response.errors),
    )


def hash_row(entry: EndpointHash) -> tuple[str, ...]:
    """An endpoint's hash."""
    return (entry.endpoint, str(entry.response.hash))
