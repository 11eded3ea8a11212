"""One call of an RPC, whichever protocol it came by.

A handler gets the serialized request and a `Call`, and returns the serialized response. It
knows nothing of gRPC or JSON; `grpc_endpoint.py` and `gateway.py` carry both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from miniraft.api.asgi import ClientGone
from miniraft.errors import DEADLINE_EXCEEDED

if TYPE_CHECKING:
    from asyncio import Future, TimerHandle

    from miniraft.api.asgi import Receive, Scope

Result = TypeVar("Result")

# The service gives up by itself before this; a longer deadline needs no timer of ours.
_LONGEST_DEADLINE_SECONDS = 60.0


class Call:
    """Who calls, with what metadata, and until when.

    `metadata` has the names that matter to the API only, in lower case (see `Metadata`).
    """

    __slots__ = ("_future", "_timer", "metadata", "receive", "scope", "timeout_seconds")

    def __init__(
        self,
        metadata: Mapping[bytes, bytes],
        timeout_seconds: float | None,
        scope: Scope | None = None,
    ) -> None:
        """`scope` is given where the certificate of the connection says who calls: not by JSON."""
        self.metadata = metadata
        self.scope = scope
        self.receive: Receive | None = None  # of what follows the request: see `gone`
        self.timeout_seconds = timeout_seconds  # None: no deadline
        self._timer: TimerHandle | None = None
        self._future: Future[object] | None = None

    @property
    def token(self) -> bytes:
        """The caller's authentication token, or empty: `token`, else `authorization`."""
        token = self.metadata.get(b"token")
        if token is not None:
            return token
        return self.metadata.get(b"authorization", b"").removeprefix(b"Bearer ")

    def wait_on(self, future: Future[Result]) -> Future[Result]:
        """Returns `future`, which fails with DEADLINE_EXCEEDED at the call's deadline.

        The deadline only bounds the wait: what has been proposed may still happen.
        """
        if self.timeout_seconds is not None and not future.done():
            self._future = future  # type: ignore[assignment]  # only ever failed, never resolved
            if self._timer is None and self.timeout_seconds < _LONGEST_DEADLINE_SECONDS:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self.timeout_seconds, self._deadline_passed)
        return future

    async def wait_for(self, work: Awaitable[Result]) -> Result:
        """Returns what `work` does, which is given up at the call's deadline.

        Raises DEADLINE_EXCEEDED then.
        """
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await work
        except TimeoutError:
            raise DEADLINE_EXCEEDED.fresh() from None

    async def gone(self) -> NoReturn:
        """Waits until the client is gone: for calls that may wait for long. Raises ClientGone."""
        if self.receive is None:
            await asyncio.Event().wait()  # nobody will ever tell
        else:
            while (await self.receive())["type"] == "http.request":
                pass
        raise ClientGone

    def finish(self) -> None:
        """Lets go of the timer. Called once, when the call has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deadline_passed(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_exception(DEADLINE_EXCEEDED.fresh())


class StreamCall(Protocol):
    """A call whose requests or responses are a stream.

    Some servers tell that the client has gone only to who is receiving, so a handler that
    sends for long keeps a `receive` or `gone` waiting beside it.
    """

    metadata: Mapping[bytes, bytes]
    scope: Scope | None  # see `Call`

    @property
    def token(self) -> bytes:
        """See `Call.token`."""

    async def receive(self) -> bytes | None:
        """Returns the next serialized request, or None once the client has sent its last.

        Raises EtcdError for what is no request, ClientGone.
        """

    async def gone(self) -> NoReturn:
        """Waits until the client is gone, once it has sent its last request. Raises ClientGone."""

    async def send(self, *responses: bytes) -> None:
        """Sends serialized responses; waits while the client reads too slowly."""


UnaryHandler = Callable[[Call, bytes], Awaitable[bytes]]
StreamHandler = Callable[[StreamCall], Awaitable[None]]
