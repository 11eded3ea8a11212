"""Changes to one bucket that are not on disk yet."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Overlay:
    """Keys with the values they shall have; None stands for a deleted key.

    Keys are sorted only when their order is asked for. Those of the KEY bucket come in
    ascending order anyway, so that this costs nothing there.
    """

    __slots__ = ("_in_order", "_keys", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self._keys: list[bytes] = []
        self._in_order = True

    def set(self, key: bytes, value: bytes | None) -> None:
        """Sets or, with None, deletes a key."""
        if key not in self.values:
            keys = self._keys
            if keys and key < keys[-1]:
                self._in_order = False
            keys.append(key)
        self.values[key] = value

    def sorted_keys(self) -> Sequence[bytes]:
        """Returns all keys in order."""
        if not self._in_order:
            self._keys.sort()
            self._in_order = True
        return self._keys

    def keys_between(self, start: bytes, end: bytes | None) -> Sequence[bytes]:
        """Returns the keys with start <= key < end (None: to the last) in order."""
        keys = self.sorted_keys()
        first = bisect_left(keys, start)
        return keys[first:] if end is None else keys[first : bisect_left(keys, end, lo=first)]
