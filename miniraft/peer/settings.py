"""The transport's figures, and what it is handed by the program around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

MESSAGES_METHOD = "/miniraft.peer.Peer/Messages"
INSTALL_SNAPSHOT_METHOD = "/miniraft.peer.Peer/InstallSnapshot"
DESCRIBE_METHOD = "/miniraft.peer.Peer/Describe"
ASK_LEASES_METHOD = "/miniraft.peer.Peer/AskLeases"
CHECK_LEARNER_METHOD = "/miniraft.peer.Peer/CheckLearner"
HASH_KEYSPACE_METHOD = "/miniraft.peer.Peer/HashKeyspace"


class LogEvent(Protocol):
    """Where the transport tells what happens: `runtime.log.event`."""

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        """Writes one event; `level` is debug, info, warn or error."""


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Times and bounds; the defaults suit members in one region."""

    keepalive_interval_ms: int = 2000  # a ping when nothing else was received for so long
    keepalive_timeout_ms: int = 3000  # and the connection is dead when it stays unanswered
    connect_timeout_ms: int = 2000  # TCP, TLS and Hello together
    backoff_start_ms: int = 50
    backoff_limit_ms: int = 1000
    queue_messages: int = 4096  # waiting for one peer
    queue_bytes: int = 64 * 1024 * 1024
    connecting_queue_messages: int = 64  # kept while the connection is being made
    connecting_queue_bytes: int = 4 * 1024 * 1024
    batch_bytes: int = 2 * 1024 * 1024  # a batch ends with the message that goes beyond
    receive_limit_bytes: int = 512 * 1024 * 1024  # for one batch: a request of any allowed size fits
    echo_interval_ms: int = 1000  # how often the round trip is measured
    idle_echo_interval_ms: int = 5000  # and how often when there is nothing else to say
    lease_answer_timeout_ms: int = 5000  # for an answer about leases
    snapshot_chunk_bytes: int = 128 * 1024
    snapshot_stall_timeout_ms: int = 30_000  # a transfer that does not move for so long has failed
