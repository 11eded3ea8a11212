"""Where the keyspace stands in the log: applied index, its term and the membership then.

Kept in the store under etcd's names and written in the same commit as the changes it stands
for, so that after a crash the log replays exactly what is missing.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from miniraft.mvcc.store import Bucket
from miniraft.raft.state import ConfigState, SnapshotMetadata

if TYPE_CHECKING:
    from miniraft.mvcc.store import Store

_APPLIED_INDEX_KEY = b"consistent_index"
_TERM_KEY = b"term"
_CONFIG_KEY = b"confState"
_NUMBER = struct.Struct(">Q")


def store_position(store: Store, index: int, term: int) -> None:
    """Notes that the store holds everything up to the entry at `index`, of `term`."""
    store.put(Bucket.META, _APPLIED_INDEX_KEY, _NUMBER.pack(index))
    store.put(Bucket.META, _TERM_KEY, _NUMBER.pack(term))


def store_config(store: Store, config: ConfigState) -> None:
    """Notes who belongs to the cluster as of the applied index."""
    state: dict[str, object] = {"voters": list(config.voters)}
    if config.learners:
        state["learners"] = list(config.learners)
    state["auto_leave"] = False
    store.put(Bucket.META, _CONFIG_KEY, json.dumps(state, separators=(",", ":")).encode())


def load_position(store: Store) -> SnapshotMetadata:
    """Returns what the store stands for: index 0 and no members when nothing was ever written.

    Raises ValueError when what is there cannot be read.
    """
    return SnapshotMetadata(
        _load_number(store, _APPLIED_INDEX_KEY), _load_number(store, _TERM_KEY), _load_config(store)
    )


def _load_number(store: Store, key: bytes) -> int:
    value = store.get(Bucket.META, key)
    if value is None:
        return 0
    if len(value) != _NUMBER.size:
        raise ValueError(f"meta/{key.decode()} holds {len(value)} bytes, not {_NUMBER.size}: {value[:32]!r}")
    number: int = _NUMBER.unpack(value)[0]
    return number


def _load_config(store: Store) -> ConfigState:
    value = store.get(Bucket.META, _CONFIG_KEY)
    if value is None:
        return ConfigState((), ())
    try:
        state = json.loads(value)
        voters = tuple(sorted(int(member_id) for member_id in state.get("voters") or ()))
        learners = tuple(sorted(int(member_id) for member_id in state.get("learners") or ()))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"meta/{_CONFIG_KEY.decode()} cannot be read ({error}): {value[:200]!r}") from error
    return ConfigState(voters, learners)
