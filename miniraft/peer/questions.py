"""Single questions to another member, one call each: what is too rare for a stream of its own.

Each question opens with a Hello, which the other end checks before it looks at the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from miniraft.peer.describe import PeerUnreachableError
from miniraft.peer.diagnosis import explain_failure
from miniraft.peer.handshake import describe_member
from miniraft.peer.http2.status import RpcError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.peer.link import LinkContext

# Gets the serialized question, returns the serialized answer.
QuestionHandler = Callable[[bytes], Awaitable[bytes]]


async def ask_peer(
    context: LinkContext, member_id: int, urls: Sequence[str], method: str, question: bytes, timeout_ms: int
) -> bytes:
    """Returns the answer to a serialized question. Raises PeerUnreachableError."""
    failure = f"{describe_member(member_id, '')} has no peer URL"
    for url in urls:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await _ask(context, url, method, question, timeout_ms)
        except RpcError as error:
            failure = error.details or error.code.name
        except TimeoutError as error:
            failure = str(error) or f"{url} did not answer within {timeout_ms} ms"
        except OSError as error:
            failure = await explain_failure(url, error, context.dialer.tls)
        except ValueError as error:
            failure = f"{url} cannot be asked: {error}"
    raise PeerUnreachableError(failure)


async def _ask(context: LinkContext, url: str, method: str, question: bytes, timeout_ms: int) -> bytes:
    connection = await context.dialer.connect(url)
    try:
        return await connection.call_unary(method, question, timeout_ms)
    finally:
        await connection.close()
