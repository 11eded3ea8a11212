"""Asks another member who it is and which cluster it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc.aio

from miniraft.pb import peer_pb2
from miniraft.peer.diagnosis import explain_failure
from miniraft.peer.dialing import Dialer
from miniraft.peer.settings import DESCRIBE_METHOD, PeerSettings

if TYPE_CHECKING:
    from miniraft.peer.security import PeerTls


class PeerUnreachableError(Exception):
    """A peer did not answer. The message says why, and what may help."""


async def describe_peer(url: str, tls: PeerTls, timeout_ms: int) -> peer_pb2.DescribeReply:
    """Returns what the member at `url` says of itself. Raises PeerUnreachableError."""
    channel: grpc.aio.Channel | None = None
    try:
        channel = Dialer(tls, PeerSettings()).open(url)
        call: Any = channel.unary_unary(DESCRIBE_METHOD)
        encoded: bytes = await call(b"", timeout=timeout_ms / 1000)
        return peer_pb2.DescribeReply.FromString(encoded)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            details = f"no answer within {timeout_ms} ms"
        else:
            details = error.details() or error.code().name
        raise PeerUnreachableError(await explain_failure(url, details, tls)) from None
    except (OSError, ValueError) as error:
        raise PeerUnreachableError(f"{url} cannot be asked: {error}") from error
    finally:
        if channel is not None:
            await channel.close()
