"""Whole numbers and switches as Go's strconv reads them, with its error texts."""

from __future__ import annotations

import re

_DIGITS = {
    2: re.compile(r"[01]+"),
    8: re.compile(r"[0-7]+"),
    10: re.compile(r"[0-9]+"),
    16: re.compile(r"[0-9a-fA-F]+"),
}
_PREFIXES = {"0b": 2, "0o": 8, "0x": 16}
_SEPARATED_DIGITS = re.compile(r"_?[0-9a-zA-Z]+(_[0-9a-zA-Z]+)*")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class NumberError(ValueError):
    """Text that is no such value; its message is Go's."""

    def __init__(self, function: str, text: str, problem: str) -> None:
        from etcdctl_py.golang.quoting import quote_text

        super().__init__(f"strconv.{function}: parsing {quote_text(text)}: {problem}")


def parse_bool(text: str) -> bool:
    """Reads `true`, `1`, `t` and their opposites; raises NumberError for anything else."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise NumberError("ParseBool", text, "invalid syntax")


def parse_int(text: str, base: int = 10) -> int:
    """Reads a signed 64-bit number; base 0 takes the base from a prefix such as `0x`.

    Raises NumberError.
    """
    negative = text.startswith("-")
    digits = text[1:] if text[:1] in {"-", "+"} else text
    number = _magnitude("ParseInt", text, digits, base)
    if number > (2**63 if negative else 2**63 - 1):
        raise NumberError("ParseInt", text, "value out of range")
    return -number if negative else number


def parse_uint(text: str, base: int = 10) -> int:
    """Reads an unsigned 64-bit number without a sign. Raises NumberError."""
    number = _magnitude("ParseUint", text, text, base)
    if number > 2**64 - 1:
        raise NumberError("ParseUint", text, "value out of range")
    return number


def _magnitude(function: str, text: str, digits: str, base: int) -> int:
    if base == 0:
        base, digits = _base_from_prefix(digits)
    if not _DIGITS[base].fullmatch(digits):
        raise NumberError(function, text, "invalid syntax")
    if len(digits) > 4096:
        raise NumberError(function, text, "value out of range")
    return int(digits, base)


def _base_from_prefix(digits: str) -> tuple[int, str]:
    """Go's base 0: a prefix names the base, a leading zero means octal, `_` may part digits."""
    base = _PREFIXES.get(digits[:2].lower(), 0)
    rest = digits[2:] if base else digits
    if not base:
        base = 8 if len(digits) > 1 and digits.startswith("0") else 10
    if "_" in rest and _SEPARATED_DIGITS.fullmatch(rest) and not (base == 10 and rest.startswith("_")):
        rest = rest.replace("_", "")
    return base, rest
