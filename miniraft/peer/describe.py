"""Asks another member who it is and which cluster it belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from miniraft.pb import peer_pb2
from miniraft.peer.diagnosis import explain_failure
from miniraft.peer.dialing import Dialer
from miniraft.peer.http2.status import RpcError
from miniraft.peer.settings import DESCRIBE_METHOD, PeerSettings

if TYPE_CHECKING:
    from miniraft.peer.security import PeerTls


class PeerUnreachableError(Exception):
    """A peer did not answer. The message says why, and what may help."""


async def describe_peer(url: str, tls: PeerTls, timeout_ms: int) -> peer_pb2.DescribeReply:
    """Returns what the member at `url` says of itself. Raises PeerUnreachableError."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            encoded = await _describe(url, tls, timeout_ms)
        return peer_pb2.DescribeReply.FromString(encoded)
    except TimeoutError as error:
        silent = TimeoutError(str(error) or f"no answer within {timeout_ms} ms")
        raise PeerUnreachableError(await explain_failure(url, silent, tls)) from None
    except (RpcError, OSError) as error:
        raise PeerUnreachableError(await explain_failure(url, error, tls)) from None
    except ValueError as error:
        raise PeerUnreachableError(f"{url} cannot be asked: {error}") from error


async def _describe(url: str, tls: PeerTls, timeout_ms: int) -> bytes:
    connection = await Dialer(tls, PeerSettings()).connect(url)
    try:
        return await connection.call_unary(DESCRIBE_METHOD, b"", timeout_ms)
    finally:
        await connection.close()
