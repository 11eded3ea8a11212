"""What is raised when something happened that Raft rules out."""

from __future__ import annotations


class InvariantViolation(Exception):  # noqa: N818 (it says what happened; callers cannot handle it)
    """Going on could lose or contradict acknowledged data: the member must stop.

    Either a durable log was lost or altered behind Raft's back, or there is a bug. The text
    says which rule broke and with which numbers.
    """
