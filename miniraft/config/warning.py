"""Warnings found while reading the configuration, kept until the log knows its format."""

from __future__ import annotations

from typing import Any, NamedTuple


class Warning(NamedTuple):  # noqa: A001 - the word for it
    """One warning, as an event of the log."""

    message: str
    fields: dict[str, Any]


class Warnings:
    """A list of them."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Warning] = []

    def add(self, message: str, **fields: Any) -> None:
        """Keeps one."""
        self.items.append(Warning(message, fields))
