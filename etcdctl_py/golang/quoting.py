"""Quoted strings as Go's `%q` prints them and as its scanner reads them.

Text inside this program is `str` decoded from UTF-8 with `surrogateescape`, so that bytes which
are no UTF-8 survive; `quote` therefore takes the bytes themselves.
"""

from __future__ import annotations

import re

_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_PLAIN = re.compile(rb"[ !#-\[\]-~]*")
_ESCAPE = re.compile(
    r"\\(?:(?P<short>[abfnrtv\\\"])|x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})|(?P<bad>.?))",
    re.DOTALL,
)
_SHORT_READ = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def quote(value: bytes) -> str:
    """Quotes bytes as `%q` does: printable text as it is, bytes that are no UTF-8 as `\\xff`."""
    if _PLAIN.fullmatch(value):
        return f'"{value.decode("ascii")}"'
    text = value.decode("utf-8", "surrogateescape")
    return '"' + "".join(map(_quote_character, text)) + '"'


def quote_text(text: str) -> str:
    """Quotes text as `%q` does."""
    return quote(text.encode("utf-8", "surrogateescape"))


def _quote_character(character: str) -> str:
    short = _SHORT.get(character)
    if short:
        return short
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # one byte that was no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if character.isprintable():
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unquote(literal: str) -> str:
    """Reads a double-quoted literal with Go's escapes; `\\xff` becomes that one byte.

    Raises ValueError("invalid syntax") for an unknown escape or a lone surrogate.
    """
    return _ESCAPE.sub(_read_escape, literal[1:-1])


def _read_escape(match: re.Match[str]) -> str:
    kind = match.lastgroup
    digits = match[kind] if kind else ""
    if kind == "short":
        return _SHORT_READ.get(digits, digits)
    if kind in {"hex", "octal"}:
        byte = int(digits, 16 if kind == "hex" else 8)
        return bytes([byte]).decode("utf-8", "surrogateescape")
    code = int(digits, 16) if kind in {"u4", "u8"} else -1
    if code < 0 or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
        raise ValueError("invalid syntax")
    return chr(code)
