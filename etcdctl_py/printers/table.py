"""Tables with `+---+` borders: headings centred, cells to the right."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from etcdctl_py.printers import columns
from etcdctl_py.printers.base import EndpointHash, EndpointHealth, EndpointStatus, Printer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etcdctl_py.messages import MemberListResponse


class TablePrinter(Printer):
    """`-w table`, for members and endpoints."""

    name = "table"

    def member_list(self, response: MemberListResponse) -> None:
        """Shows the members."""
        self._table(columns.MEMBER_COLUMNS, map(columns.member_row, response.members))

    def endpoint_health(self, healths: list[EndpointHealth]) -> None:
        """Shows the health of endpoints."""
        self._table(columns.HEALTH_COLUMNS, map(columns.health_row, healths))

    def endpoint_status(self, statuses: list[EndpointStatus]) -> None:
        """Shows the state of endpoints."""
        self._table(columns.STATUS_COLUMNS, map(columns.status_row, statuses))

    def endpoint_hash(self, hashes: list[EndpointHash]) -> None:
        """Shows the hashes of endpoints."""
        self._table(columns.HASH_COLUMNS, map(columns.hash_row, hashes))

    def _table(self, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        body = list(rows)
        titles = [title.upper() for title in heading]
        widths = [max(map(_width, column)) for column in zip(titles, *body, strict=True)]
        border = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
        self.console.line(border)
        self._row(map(_centre, titles, widths))
        self.console.line(border)
        for row in body:
            self._row(map(_right, row, widths))
        if body:
            self.console.line(border)

    def _row(self, cells: Iterable[str]) -> None:
        self.console.line("| " + " | ".join(cells) + " |")


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _centre(text: str, width: int) -> str:
    missing = width - _width(text)
    left = missing // 2
    return " " * left + text + " " * (missing - left)


def _right(text: str, width: int) -> str:
    return " " * (width - _width(text)) + text
