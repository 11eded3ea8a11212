"""How long a member that was removed stays: the others may still need it to learn of that.

Its removal is committed, but a follower may not know yet. While it does not, it counts this
member in its quorum, and of two members the one that is left could then never be elected. So
a member stays for some ticks (etcd: a second); one that was the leader until a successor has
been found or it has been told off, within bounds.
"""

from __future__ import annotations

_SHORT_TICKS = 10
_LONGEST_ELECTIONS = 5


class Farewell:
    """Counts down from the removal of this member on."""

    __slots__ = ("_led", "_longest_ticks", "_ticks")

    def __init__(self, led: bool, election_ticks: int) -> None:
        """`led`: this member was the leader."""
        self._led = led
        self._longest_ticks = max(_SHORT_TICKS, _LONGEST_ELECTIONS * election_ticks)
        self._ticks = 0

    def is_over(self, leader: int) -> bool:
        """A tick has passed; returns whether the member may stop. `leader` is the one known now, or 0."""
        self._ticks += 1
        if self._ticks < _SHORT_TICKS:
            return False
        return not self._led or leader != 0 or self._ticks >= self._longest_ticks
