"""JSON as Go's encoding/json writes it: no blanks, `<`, `>` and `&` escaped, bytes in base64."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

_SPECIAL = re.compile('["\\\\\x00-\x1f<>&\u2028\u2029\udc80-\udcff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dump(value: Any) -> str:
    """Writes dicts (in their order), lists, numbers, switches, None, text, and bytes as base64."""
    pieces: list[str] = []
    _write(value, pieces.append)
    return "".join(pieces)


def _write(value: Any, emit: Any) -> None:
    if isinstance(value, dict):
        separator = "{"
        for name, item in value.items():
            emit(f"{separator}{_string(name)}:")
            _write(item, emit)
            separator = ","
        emit("}" if value else "{}")
    elif isinstance(value, list | tuple):
        separator = "["
        for item in value:
            emit(separator)
            _write(item, emit)
            separator = ","
        emit("]" if value else "[]")
    elif isinstance(value, str):
        emit(_string(value))
    elif isinstance(value, bytes):
        emit(f'"{b64encode(value).decode("ascii")}"')
    else:  # None, switches and numbers are written as everywhere
        emit(json.dumps(value))


def _string(text: str) -> str:
    return '"' + _SPECIAL.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
        return "\\ufffd"
    return _SHORT.get(character) or f"\\u{code:04x}"
