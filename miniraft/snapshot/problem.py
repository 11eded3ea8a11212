"""How work on a snapshot fails."""

from __future__ import annotations


class SnapshotError(Exception):
    """The message says what is wrong; `remedy`, if there is one, what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
