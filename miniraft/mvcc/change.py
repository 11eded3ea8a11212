"""What a write changed, for those who follow the keyspace (watches)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias


class Change(NamedTuple):
    """One key changed. Its previous pair is what a read one revision earlier finds."""

    key: bytes
    pair: bytes  # serialized KeyValue as stored: of a delete it has the key alone
    is_delete: bool


# Called after each write with its main revision and its changes in order of sub revision.
ChangeListener: TypeAlias = Callable[[int, Sequence[Change]], None]
