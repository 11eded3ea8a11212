"""Bytes exchanged with gRPC clients."""

from __future__ import annotations


class Traffic:
    """Counts serialized messages, without framing, as etcd does."""

    __slots__ = ("received_bytes", "sent_bytes")

    def __init__(self) -> None:
        self.received_bytes = 0
        self.sent_bytes = 0
