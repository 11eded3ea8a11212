"""What can go wrong with a local cluster, in words for whoever types."""

from __future__ import annotations


class ClusterError(Exception):
    """The message says what is wrong and what to type."""
