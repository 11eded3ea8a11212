"""Version numbers: what members agree on, and what a cluster may be downgraded to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from miniraft.errors import (
    CLUSTER_VERSION_UNKNOWN,
    DOWNGRADE_VERSION_FORMAT,
    DOWNGRADE_VERSION_INVALID,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8})(?:-[0-9A-Za-z.-]+)?)?")


class Version(NamedTuple):
    """The part of a version that matters to a cluster."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.0"


def parse_version(text: str) -> Version:
    """Reads `X.Y` or `X.Y.Z`. Raises ValueError."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no version: X.Y.Z is")
    return Version(int(match[1]), int(match[2]))


def lowest_version(versions: Iterable[str]) -> str:
    """Returns the version that all of these understand, `X.Y.0`. Raises ValueError."""
    return str(min(parse_version(version) for version in versions))


def check_downgrade(target: str, cluster_version: str) -> None:
    """Checks that a target is exactly one minor version below the cluster's.

    Raises DOWNGRADE_VERSION_FORMAT, CLUSTER_VERSION_UNKNOWN, DOWNGRADE_VERSION_INVALID: in
    etcd's order.
    """
    try:
        wanted = parse_version(target)
    except ValueError:
        raise DOWNGRADE_VERSION_FORMAT.fresh() from None
    if not cluster_version:
        raise CLUSTER_VERSION_UNKNOWN.fresh()
    current = parse_version(cluster_version)
    if wanted != Version(current.major, current.minor - 1):
        raise DOWNGRADE_VERSION_INVALID.fresh()
