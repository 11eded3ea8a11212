"""ResponseHeader on every answer: who answered, at which revision, in which term.

Clients find a stale member by a term that goes backwards, so the term is never left out
(only where etcd itself does, see `responses.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.wire import varint
from miniraft.pb.rpc_pb2 import ResponseHeader

if TYPE_CHECKING:
    from miniraft.server.service import Service

_HEADER_FIELD = b"\x0a"  # field 1, length-delimited, of every response message


class HeaderWriter:
    """Writes the header field of one member's responses.

    The header is nearly constant: identity never changes, the term seldom, and reads between
    two writes share the revision. What does not change is kept encoded.

    Invariant: a header is at most 44 bytes, so its length is one byte.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._identity = b"\x08" + varint(service.cluster_id) + b"\x10" + varint(service.member_id)
        self._term = -1
        self._term_field = b""
        self._revision = -1
        self._last = b""

    def field(self, revision: int) -> bytes:
        """Returns field 1 of a response that was produced at `revision`, tag and length included."""
        term = self._service.term
        if term != self._term:
            self._term = term
            self._term_field = b"\x20" + varint(term) if term else b""
        elif revision == self._revision:
            return self._last
        content = self._identity + b"\x18" + varint(revision) + self._term_field
        self._revision = revision
        self._last = _HEADER_FIELD + bytes((len(content),)) + content
        return self._last

    def message(self, *, revision: bool = True) -> ResponseHeader:
        """Returns the header as a message, for responses that are not in a hurry.

        Cluster.* answers carry no revision.
        """
        return ResponseHeader(
            cluster_id=self._service.cluster_id,
            member_id=self._service.member_id,
            revision=self._service.revision if revision else 0,
            raft_term=self._service.term,
        )
