"""What can go wrong with a server made for tests."""

from __future__ import annotations


class EtcdError(Exception):
    """A server could not start or was asked for what it cannot do. The message says why."""
