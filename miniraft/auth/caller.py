"""Who makes a request."""

from __future__ import annotations

from typing import NamedTuple


class Caller(NamedTuple):
    """A user by name, and the auth revision for which that was established.

    Users and roles that have changed since then make the caller's claim stale.
    """

    username: str
    auth_revision: int


ANONYMOUS = Caller("", 0)  # neither a token nor a certificate
