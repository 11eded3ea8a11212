"""What can go wrong while members look for each other."""

from __future__ import annotations


class DiscoveryError(Exception):
    """The members were not found. The message says why, and what to do."""
