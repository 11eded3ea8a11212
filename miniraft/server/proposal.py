"""How a client's request stands in the log: the bytes it came in, behind a short header.

`request_id u64, kind u16, header length u16` (little-endian), the serialized ProposalHeader
(empty while authentication is off), then the serialized request message.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

_PREFIX = struct.Struct("<QHH")
_PREFIX_BYTES = _PREFIX.size


class RequestKind(IntEnum):
    """Which message the request is. Part of the log format: never reuse a number."""

    PUT = 4
    DELETE_RANGE = 5
    TXN = 6
    COMPACT = 7
    LEASE_GRANT = 8
    LEASE_REVOKE = 9
    ALARM = 10
    LEASE_CHECKPOINT = 11
    AUTH_ENABLE = 1000
    AUTH_DISABLE = 1011
    AUTHENTICATE = 1012
    USER_ADD = 1100
    USER_DELETE = 1101
    USER_CHANGE_PASSWORD = 1103
    USER_GRANT_ROLE = 1104
    USER_REVOKE_ROLE = 1105
    ROLE_ADD = 1200
    ROLE_DELETE = 1201
    ROLE_GRANT_PERMISSION = 1203
    ROLE_REVOKE_PERMISSION = 1204
    SET_CLUSTER_VERSION = 1300
    PUBLISH_MEMBER = 1301


class Proposal(NamedTuple):
    """One decoded proposal."""

    request_id: int
    kind: int
    header: bytes
    request: bytes


def encode_proposal(request_id: int, kind: int, request: bytes, header: bytes = b"") -> bytes:
    """Returns the entry data for a request."""
    return _PREFIX.pack(request_id, kind, len(header)) + header + request


def decode_proposal(data: bytes) -> Proposal:
    """Returns the request in an entry's data. Raises ValueError when it is cut off."""
    if len(data) < _PREFIX_BYTES:
        raise ValueError(f"proposal of {len(data)} bytes is shorter than its prefix")
    request_id, kind, header_length = _PREFIX.unpack_from(data)
    start = _PREFIX_BYTES + header_length
    if len(data) < start:
        raise ValueError(f"proposal header of {header_length} bytes cut off")
    return Proposal(request_id, kind, data[_PREFIX_BYTES:start], data[start:])
