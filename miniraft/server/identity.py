"""How members and clusters get their ids: etcd's formulae, so that both print the same ids.

A member's id is the first eight bytes of SHA-1 over its peer URLs (sorted, concatenated), the
cluster token and, for a member that is added later, the time in whole unix seconds. The
cluster's id is the same over the ids of its first members.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ID_BYTES = 8


def bootstrap_member_id(peer_urls: Sequence[str], cluster_token: str) -> int:
    """Returns the id of a member of the first configuration (--initial-cluster-token is its salt)."""
    return _first_bytes("".join(sorted(peer_urls)) + cluster_token)


def added_member_id(peer_urls: Sequence[str], unix_seconds: int) -> int:
    """Returns the id of a member that is added to a running cluster at this time."""
    return _first_bytes("".join(sorted(peer_urls)) + str(unix_seconds))


def cluster_id(member_ids: Iterable[int]) -> int:
    """Returns the id of the cluster whose first members have these ids (in any order)."""
    joined = b"".join(member_id.to_bytes(_ID_BYTES, "big") for member_id in sorted(member_ids))
    return int.from_bytes(hashlib.sha1(joined, usedforsecurity=False).digest()[:_ID_BYTES], "big")


def format_id(value: int) -> str:
    """Returns an id as etcd prints it and uses it in keys: hexadecimal, without padding."""
    return f"{value:x}"


def _first_bytes(text: str) -> int:
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:_ID_BYTES], "big")
