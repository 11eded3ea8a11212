"""Puts and gets for the page, over the same JSON API that etcdctl-py uses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import aiohttp

from miniraft.local_cluster.poll import client_context
from miniraft.local_cluster.web.requests import (
    ANY,
    KeyAnswer,
    gateway_call,
    read_gateway_answer,
    why_refused,
    why_silent,
)

if TYPE_CHECKING:
    from types import TracebackType

    from miniraft.local_cluster.layout import MemberLayout
    from miniraft.local_cluster.supervisor import Supervisor
    from miniraft.local_cluster.web.requests import KeyRequest

ANSWER_TIMEOUT_SECONDS = 5.0  # as etcdctl's --command-timeout
DIAL_TIMEOUT_SECONDS = 0.5  # while there are others to try
MAX_ANSWER_BYTES = 4 << 20
_NOT_TAKEN = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class Members:
    """A client of all members. Use it as an async context manager."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._layout = supervisor.layout
        self._preferred = 0  # the place in the layout of the member that is asked first
        self._answered_at = 0.0  # when that one answered last, by the monotonic clock
        self._ssl = client_context(self._layout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Members:
        """Opens the client."""
        # A connection for each request: none is found broken because its member was killed meanwhile.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, request: KeyRequest) -> KeyAnswer:
        """Sends a put or get. ANY asks the next member when one takes no connection.

        Raises ClusterError when there is no such member.
        """
        if request.member != ANY:
            return await self._ask(self._layout.member(request.member), request)
        members = self._layout.members
        order = [(self._preferred + step) % len(members) for step in range(len(members))]
        begun = time.monotonic()
        for place in order[:-1]:
            try:
                answer = await self._send(members[place], request, DIAL_TIMEOUT_SECONDS)
            except _NOT_TAKEN:
                continue
            self._learn(place, begun, ok=answer.ok)
            return answer
        return await self._ask(members[order[-1]], request)

    def _learn(self, place: int, begun: float, *, ok: bool) -> None:
        """Prefers whoever answers; leaves a member that has not answered since `begun`."""
        if ok:
            self._preferred, self._answered_at = place, time.monotonic()
        elif self._answered_at < begun:
            self._preferred = place + 1

    async def _ask(self, member: MemberLayout, request: KeyRequest) -> KeyAnswer:
        """Asks one member, the only one or the last."""
        begun = time.monotonic()
        try:
            return await self._send(member, request, None)
        except _NOT_TAKEN:
            text = why_refused(self._supervisor.view(), member.name)
            return KeyAnswer(False, text, member.name, _since(begun))

    async def _send(self, member: MemberLayout, request: KeyRequest, dial_timeout: float | None) -> KeyAnswer:
        """Raises one of _NOT_TAKEN when the member surely never got the request."""
        if self._session is None:
            raise RuntimeError("use the client as a context manager")
        path, body = gateway_call(request)
        url = self._layout.client_url(member) + path
        timeout = aiohttp.ClientTimeout(ANSWER_TIMEOUT_SECONDS, dial_timeout, ceil_threshold=60)
        begun = time.monotonic()
        try:
            async with self._session.post(url, json=body, ssl=self._ssl, timeout=timeout) as response:
                content = await _bounded(response.content)
                return read_gateway_answer(request, member.name, response.status, content, _since(begun))
        except _NOT_TAKEN:
            raise
        except TimeoutError:
            text = why_silent(self._supervisor.view(), request, member.name, ANSWER_TIMEOUT_SECONDS)
        except (aiohttp.ClientError, OSError):
            text = f"the connection broke before {member.name} answered: its process ended, or hangs"
        return KeyAnswer(False, text, member.name, _since(begun))


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """What a member sends, up to MAX_ANSWER_BYTES."""
    content = bytearray()
    async for chunk in stream.iter_chunked(1 << 16):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            break
    return bytes(content)


def _since(begun: float) -> int:
    """Milliseconds since a moment of the monotonic clock."""
    return round((time.monotonic() - begun) * 1000)
