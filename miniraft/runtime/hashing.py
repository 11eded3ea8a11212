"""HashKV without holding up the event loop: a slice at a time, for clients and other members."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from miniraft.errors import Code, EtcdError
from miniraft.pb import peer_pb2
from miniraft.peer.settings import HASH_KEYSPACE_METHOD

if TYPE_CHECKING:
    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.runtime.node import Node

_SLICE_REVISIONS = 1000  # about a millisecond


class KeyspaceHash(NamedTuple):
    """A member's hash and what it is of."""

    hash: int
    compact_revision: int
    hash_revision: int
    revision: int  # the member's current one


async def hash_keyspace(node: Node, revision: int) -> KeyspaceHash:
    """Hashes the node's own keyspace; 0: at the current revision. Raises EtcdError."""
    began = time.monotonic()
    while True:
        keyspace = node.member.keyspace
        work = keyspace.begin_hash(revision)
        while work.step(_SLICE_REVISIONS):
            await asyncio.sleep(0)
            if node.member.keyspace is not keyspace or keyspace.compact_revision != work.compact_revision:
                break  # another keyspace, or a compaction: what has been hashed so far means nothing
        else:
            node.storage_figures.hash_revision_seconds.observe(time.monotonic() - began)
            return KeyspaceHash(work.checksum, work.compact_revision, work.revision, keyspace.revision)


async def ask_hash(
    transport: GrpcPeerTransport, member_id: int, revision: int, timeout_ms: int
) -> KeyspaceHash:
    """Returns another member's hash. Raises PeerUnreachableError, and EtcdError that it answered."""
    question = peer_pb2.HashQuestion(hello=transport.hello(member_id), revision=revision)
    encoded = await transport.ask(member_id, HASH_KEYSPACE_METHOD, question.SerializeToString(), timeout_ms)
    answer = peer_pb2.HashAnswer.FromString(encoded)
    if answer.error_code:
        raise EtcdError(Code(answer.error_code), answer.error)
    return KeyspaceHash(answer.hash, answer.compact_revision, answer.hash_revision, answer.revision)


def answer_hashes(node: Node, transport: GrpcPeerTransport) -> None:
    """Has the other members' questions for this one's hash answered."""

    async def answer(encoded: bytes) -> bytes:
        question = peer_pb2.HashQuestion.FromString(encoded)
        try:
            hashed = await hash_keyspace(node, question.revision)
        except EtcdError as error:
            return peer_pb2.HashAnswer(error_code=error.code, error=error.message).SerializeToString()
        return peer_pb2.HashAnswer(
            hash=hashed.hash,
            compact_revision=hashed.compact_revision,
            hash_revision=hashed.hash_revision,
            revision=hashed.revision,
        ).SerializeToString()

    transport.answer(HASH_KEYSPACE_METHOD, answer)
