"""The Hello with which every stream opens, and the reasons to refuse one.

Both ends check: members that were given each other's address by mistake, or that live on from
an earlier cluster, must not exchange a single Raft message, for votes and entries of one
cluster mean nothing in another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from miniraft.pb import peer_pb2
from miniraft.version import SERVER_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.peer.interface import PeerAddress

REFUSAL_KEY = "miniraft-refusal"  # trailing metadata that carries the RefusalKind


class RefusalKind(StrEnum):
    """Why a stream was refused, for programs; the text beside is for people."""

    WRONG_CLUSTER = "wrong-cluster"
    WRONG_RECEIVER = "wrong-receiver"
    UNKNOWN_MEMBER = "unknown-member"
    REMOVED_MEMBER = "removed-member"
    SAME_MEMBER = "same-member"
    CERTIFICATE = "certificate"
    NOT_READY = "not-ready"


class Refusal(NamedTuple):
    """Why a stream is refused."""

    kind: RefusalKind
    text: str


def _nobody(_member_id: int) -> bool:
    return False


@dataclass(slots=True)
class LocalMember:
    """This member, and whom it takes for members; the sets change with the cluster."""

    cluster_id: int
    member_id: int
    name: str
    peers: dict[int, PeerAddress] = field(default_factory=dict)
    is_removed: Callable[[int], bool] = _nobody  # whether an id once was a member's
    peer_urls: tuple[str, ...] = ()  # where it can be reached itself

    def hello(self, receiver_id: int) -> peer_pb2.Hello:
        """Returns what opens a stream to `receiver_id`."""
        return peer_pb2.Hello(
            cluster_id=self.cluster_id,
            member_id=self.member_id,
            receiver_id=receiver_id,
            server_version=SERVER_VERSION,
            member_name=self.name,
            peer_urls=self.peer_urls,
        )


def check_caller(local: LocalMember, hello: peer_pb2.Hello) -> Refusal | None:
    """Returns why the caller's stream is to be refused, or None.

    A member that this one does not know yet is let in if it says where it can be answered: it
    may have been added while this one was away, and be the very leader that can tell of it.
    """
    caller = describe_member(hello.member_id, hello.member_name)
    us = describe_member(local.member_id, local.name)
    if hello.cluster_id != local.cluster_id:
        return Refusal(
            RefusalKind.WRONG_CLUSTER,
            f"cluster ID mismatch: {caller} belongs to cluster {hello.cluster_id:x}, {us} to cluster "
            f"{local.cluster_id:x}. One of them keeps data of an earlier cluster or was started with "
            f"another --initial-cluster or --initial-cluster-token: correct its flags, or stop it and "
            f"remove its data directory if it is the one that should join",
        )
    if hello.member_id == local.member_id:
        return Refusal(
            RefusalKind.SAME_MEMBER,
            f"{us} was called by a member with its own id: a peer URL in the member list leads back to "
            f"it, or a copy of its data directory runs twice; each member needs its own data directory",
        )
    if hello.receiver_id != local.member_id:
        return Refusal(
            RefusalKind.WRONG_RECEIVER,
            f"{caller} looked for member {hello.receiver_id:x} but reached {us}: the peer URLs in the "
            f"member list lead to another member; correct them with 'etcdctl member update "
            f"{hello.receiver_id:x} --peer-urls=...'",
        )
    if local.is_removed(hello.member_id):
        return Refusal(
            RefusalKind.REMOVED_MEMBER,
            f"{caller} has been removed from cluster {local.cluster_id:x}; an id never comes back: stop "
            f"it, remove its data directory, add it anew with 'etcdctl member add' and start it with "
            f"--initial-cluster-state=existing",
        )
    if hello.member_id not in local.peers and not hello.peer_urls:
        return Refusal(
            RefusalKind.UNKNOWN_MEMBER,
            f"{caller} is no member of cluster {local.cluster_id:x} as {us} knows it; if it was just "
            f"added, this passes as soon as {us} has caught up",
        )
    return None


def check_receiver(local: LocalMember, receiver_id: int, hello: peer_pb2.Hello) -> Refusal | None:
    """Returns why the answer to our Hello ends the stream, or None."""
    receiver = describe_member(hello.member_id, hello.member_name)
    if hello.cluster_id != local.cluster_id:
        return Refusal(
            RefusalKind.WRONG_CLUSTER,
            f"cluster ID mismatch: this member belongs to cluster {local.cluster_id:x}, {receiver} to "
            f"cluster {hello.cluster_id:x}; correct the peer URL or remove the data of the wrong one",
        )
    if hello.member_id != receiver_id:
        return Refusal(
            RefusalKind.WRONG_RECEIVER,
            f"looked for member {receiver_id:x} but reached {receiver}: correct its peer URLs with "
            f"'etcdctl member update {receiver_id:x} --peer-urls=...'",
        )
    return None


def describe_member(member_id: int, name: str) -> str:
    """Returns `member name (id)` for a person."""
    return f"member {name} ({member_id:x})" if name else f"member {member_id:x}"
