"""What a checker raises."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818 (a finding, not an error of the simulator)
    """The cluster broke a promise. The message says which, where, and with which values."""
