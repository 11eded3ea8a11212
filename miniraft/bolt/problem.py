"""How reading a file fails."""

from __future__ import annotations


class BoltError(Exception):
    """The file is no bbolt file, or damaged. The message names file, page and reason."""

    def __init__(self, file: str, reason: str, page: int | None = None) -> None:
        super().__init__(f"{file}: {reason}" if page is None else f"{file}: page {page}: {reason}")
