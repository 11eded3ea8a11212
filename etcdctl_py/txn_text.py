"""The language of `txn`: lines of comparisons and operations, and how their words are quoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from etcdctl_py.commands.delete import DELETE, delete_request
from etcdctl_py.commands.get import GET, range_request
from etcdctl_py.commands.put import PUT, put_request
from etcdctl_py.console import to_bytes
from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import HELP, FlagError, FlagSet
from etcdctl_py.golang.numbers import NumberError, parse_int
from etcdctl_py.golang.quoting import quote_text, unquote
from etcdctl_py.keyrange import encode

if TYPE_CHECKING:
    from etcdctl_py.command import Command

_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_WORD = re.compile(
    r"""(?P<double>"(?:[^"\\]|\\.)*")|'(?P<single>[^']*)'"""
    r"""|(?P<bare>[^'"\t\n\f\r ][^\t\n\f\r ]*)"""
)
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_BARE = re.compile(r"[^\t\n\v\f\r \x85\xa0]+")
_GAP = re.compile(r"[ \t\r\v\f]*")

_RESULTS = {"=": "EQUAL", "!=": "NOT_EQUAL", ">": "GREATER", "<": "LESS"}
_TARGETS = {
    "ver": ("VERSION", "version"),
    "version": ("VERSION", "version"),
    "c": ("CREATE", "create_revision"),
    "create": ("CREATE", "create_revision"),
    "m": ("MOD", "mod_revision"),
    "mod": ("MOD", "mod_revision"),
    "val": ("VALUE", "value"),
    "value": ("VALUE", "value"),
    "lease": ("LEASE", "lease"),
}


def _invalid(message: str, *notes: str) -> CommandError:
    return CommandError(message, ExitCode.INVALID_INPUT, notes)


def strip(line: str) -> str:
    """Takes the blanks off both ends of a line."""
    return line.strip(_BLANKS)


def split_words(line: str) -> list[str]:
    """Splits a line into words: bare, 'single quoted' or "double quoted" with Go's escapes.

    A quote counts only at a word's beginning; one that is never closed is passed over.
    Raises CommandError (exit 3) for an unknown escape.
    """
    words = []
    for match in _WORD.finditer(line):
        if match["double"] is not None:
            try:
                words.append(unquote(match["double"]))
            except ValueError as error:
                raise _invalid(
                    str(error), f"In {match['double']} a backslash is followed by no known escape."
                ) from None
        else:
            words.append(match["single"] if match["single"] is not None else match["bare"])
    return words


class _Scanner:
    """Reads the right half of a comparison: `"key") OP "value"`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def literal(self) -> str | None:
        """Reads a quoted string; None when there is none or it has a bad escape."""
        self._gap()
        match = _LITERAL.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        if match[0].startswith("`"):
            return match[0][1:-1]
        try:
            return unquote(match[0])
        except ValueError:
            return None

    def bare(self) -> str | None:
        """Reads up to the next blank."""
        self._gap()
        match = _BARE.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[0]

    def parenthesis(self) -> bool:
        """Reads `)` with at least one blank behind it."""
        if not self.text.startswith(")", self.at):
            return False
        self.at += 1
        start = self.at
        self._gap()
        return self.at > start

    def _gap(self) -> None:
        match = _GAP.match(self.text, self.at)
        if match is not None:
            self.at = match.end()


def parse_compare(line: str) -> dict[str, Any]:
    """Reads a comparison such as `mod("key") > "0"`. Raises CommandError (exit 3)."""
    target, parenthesis, rest = line.partition("(")
    if not parenthesis:
        raise _invalid(f"malformed comparison: {line}", _COMPARE_HELP)
    scanner = _Scanner(rest)
    key = scanner.literal()
    operator = scanner.bare() if key is not None and scanner.parenthesis() else None
    value = scanner.literal() if operator is not None else None
    if key is None or operator is None or value is None:
        shown = f"{target}({quote_text(key or '')}) {operator or ''} {quote_text(value or '')}"
        raise _invalid(f"malformed comparison: {line}; got {shown}", _COMPARE_HELP)
    if target not in _TARGETS:
        raise _invalid(
            f"malformed comparison: {line} (unknown target {target})",
            "Targets are: version (ver), create (c), mod (m), value (val) and lease.",
        )
    if operator not in _RESULTS:
        raise _invalid(
            f"malformed comparison: {line} (unknown operator {operator})", "Operators are: = != > <"
        )
    name, field = _TARGETS[target]
    operand = _operand(line, name, value)
    return {"key": encode(to_bytes(key)), "target": name, "result": _RESULTS[operator], field: operand}


_COMPARE_HELP = 'A comparison is written: mod("key") > "0", with one blank before the operator and after it.'


def _operand(line: str, target: str, value: str) -> str:
    """The value to compare with: bytes for VALUE, a hexadecimal lease, else a decimal number."""
    if target == "VALUE":
        return encode(to_bytes(value))
    try:
        return str(parse_int(value, 16 if target == "LEASE" else 10))
    except NumberError:
        raise _invalid(
            f"invalid txn compare request: {line}", f"{quote_text(value)} is no whole number."
        ) from None


def parse_operation(line: str) -> dict[str, Any]:
    """Reads a `get`, `put` or `del` line. Raises CommandError (exit 3, or 128 as the command itself)."""
    words = split_words(line)
    if len(words) < 2:
        raise _invalid(f"invalid txn compare request: {line}", "An operation is: get, put or del, and a key.")
    # As everywhere, a name may be shortened; these three differ in their first letter.
    name = next((name for name in ("get", "put", "del") if words[0] and name.startswith(words[0])), "")
    if name == "get":
        return {"request_range": range_request(*_read_flags(line, GET, words[1:]))}
    if name == "put":
        return {"request_put": put_request(*_read_flags(line, PUT, words[1:]), read_value=bytes)}
    if name == "del":
        return {"request_delete_range": delete_request(*_read_flags(line, DELETE, words[1:]))}
    raise _invalid(f"invalid txn request: {line}", "Operations are: get, put and del.")


def _read_flags(line: str, command: Command, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    flags = FlagSet((*command.flags, HELP))
    try:
        given, arguments = flags.parse(words)
    except FlagError as error:
        raise _invalid(f"invalid txn request: {line}", f"{error}.") from None
    return arguments, flags.defaults() | given
