"""Identifiers of members and leases: hexadecimal on the command line, numbers on the wire."""

from __future__ import annotations

from etcdctl_py.failure import bad_arguments
from etcdctl_py.golang.numbers import NumberError, parse_int, parse_uint


def parse_member_id(text: str) -> int:
    """Reads a member's identifier. Raises CommandError with etcdctl's text."""
    try:
        return parse_uint(text, 16)
    except NumberError as error:
        raise bad_arguments(f"bad member ID arg ({error}), expecting ID in Hex") from None


def parse_lease_argument(text: str) -> int:
    """Reads a lease's identifier given as an argument. Raises CommandError."""
    try:
        return parse_int(text, 16)
    except NumberError as error:
        raise bad_arguments(f"bad lease ID arg ({error}), expecting ID in Hex") from None


def parse_lease_flag(text: str) -> int:
    """Reads a lease's identifier given to --lease. Raises CommandError."""
    try:
        return parse_int(text, 16)
    except NumberError as error:
        raise bad_arguments(f"bad lease ID ({error}), expecting ID in Hex") from None


def hex_id(number: int) -> str:
    """Writes an identifier without leading zeros."""
    return f"{number:x}"


def lease_hex(number: int) -> str:
    """Writes a lease's identifier in sixteen digits."""
    return f"{number:016x}"
