"""A row of figures in the forms of --write-out. As etcdutl 3.5 draws them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Figure(NamedTuple):
    """One figure, with its name in each form."""

    heading: str
    field: str
    json_name: str
    value: int | str
    text: str = ""  # for simple and table, when it is not the value


def show(form: str, figures: Sequence[Figure]) -> None:
    """Prints the figures on stdout."""
    sys.stdout.write("".join(f"{line}\n" for line in _lines(form, figures)))


def _lines(form: str, figures: Sequence[Figure]) -> list[str]:
    texts = [figure.text or str(figure.value) for figure in figures]
    if form == "json":
        values = {figure.json_name: figure.value for figure in figures}
        return [json.dumps(values, separators=(",", ":"))]
    if form == "fields":
        return [f'"{figure.field}" : {figure.value}' for figure in figures]
    if form == "table":
        return _table([figure.heading.upper() for figure in figures], texts)
    return [", ".join(texts)]


def _table(headings: list[str], texts: list[str]) -> list[str]:
    widths = [max(len(heading), len(text)) for heading, text in zip(headings, texts, strict=True)]
    border = f"+{'+'.join('-' * (width + 2) for width in widths)}+"
    return [
        border,
        _row([_centred(heading, width) for heading, width in zip(headings, widths, strict=True)]),
        border,
        _row([text.rjust(width) for text, width in zip(texts, widths, strict=True)]),
        border,
    ]


def _centred(text: str, width: int) -> str:
    missing = width - len(text)
    return " " * (missing // 2) + text + " " * (missing - missing // 2)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
