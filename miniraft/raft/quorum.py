"""Counting: what a majority of the voters has reached, and how a vote stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def majority(voter_count: int) -> int:
    """Returns how many of `voter_count` voters make a quorum."""
    return voter_count // 2 + 1


def agreed(values: Iterable[int]) -> int:
    """Returns the largest number that a majority of `values` has reached; 0 without values.

    With match indexes it is the index stored on a majority (figure 2, "Leaders", last rule).
    """
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0


class Tally(NamedTuple):
    """How an election stands. Members that have not answered count for neither side."""

    granted: int
    rejected: int
    quorum: int
    voters: int

    @property
    def won(self) -> bool:
        """Whether a majority granted its vote."""
        return self.granted >= self.quorum

    @property
    def lost(self) -> bool:
        """Whether those that have not refused can no longer make a majority."""
        return self.voters - self.rejected < self.quorum


def tally(votes: Mapping[int, bool], voters: Sequence[int]) -> Tally:
    """Counts the answers of `voters`, each once; anybody else's do not count."""
    answers = [votes[voter] for voter in voters if voter in votes]
    granted = sum(answers)
    return Tally(granted, len(answers) - granted, majority(len(voters)), len(voters))
