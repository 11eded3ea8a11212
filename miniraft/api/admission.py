"""What is checked before any handler runs, in etcd's order: learner, client version, leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import INVALID_CLIENT_API_VERSION, LEARNER_UNSUPPORTED, NO_LEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.api.method import Method
    from miniraft.server.service import Service

UNKNOWN_VERSION = "unknown"
_OTHER_VERSION = "other"
_MOST_VERSIONS = 32  # a client could otherwise fill the memory with versions


class Admission:
    """Admits calls, and counts them by the client's version."""

    def __init__(self, service: Service) -> None:
        self._service = service
        # (unary, stream) calls by the version the client stated, as raw metadata
        self._calls: dict[bytes | None, list[int]] = {None: [0, 0]}
        self._other = [0, 0]

    def admit(self, method: Method, metadata: Mapping[bytes, bytes]) -> None:
        """Returns when the call may go on.

        Raises LEARNER_UNSUPPORTED, INVALID_CLIENT_API_VERSION, NO_LEADER.
        """
        service = self._service
        if service.is_learner and not method.serves_on_learner:
            raise LEARNER_UNSUPPORTED.fresh()
        version = metadata.get(b"client-api-version")
        calls = self._calls.get(version)
        if calls is None:
            calls = self._first_of_version(version or b"")
        calls[0 if method.is_unary else 1] += 1
        if b"hasleader" in metadata and metadata[b"hasleader"] == b"true" and not service.leader:
            raise NO_LEADER.fresh()

    def _first_of_version(self, version: bytes) -> list[int]:
        try:
            version.decode()
        except UnicodeDecodeError:
            raise INVALID_CLIENT_API_VERSION.fresh() from None
        if len(self._calls) >= _MOST_VERSIONS:
            return self._other
        return self._calls.setdefault(version, [0, 0])

    def calls_by_version(self) -> dict[str, tuple[int, int]]:
        """Returns (unary, stream) call counts by client API version."""
        counts = {
            UNKNOWN_VERSION if version is None else version.decode(): (unary, stream)
            for version, (unary, stream) in self._calls.items()
        }
        if any(self._other):
            counts[_OTHER_VERSION] = (self._other[0], self._other[1])
        return counts
