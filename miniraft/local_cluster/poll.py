"""Asks every member how it is, over the same JSON API that any client has."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from miniraft.local_cluster.view import Answer

if TYPE_CHECKING:
    from types import TracebackType

    from miniraft.local_cluster.layout import ClusterLayout, MemberLayout

ANSWER_TIMEOUT_SECONDS = 1.0
MAX_ANSWER_BYTES = 1 << 16


class Poller:
    """An HTTP client for the members' status. Use it as an async context manager."""

    def __init__(self, layout: ClusterLayout) -> None:
        self._layout = layout
        self._ssl = client_context(layout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Poller:
        """Opens the client."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, member: MemberLayout) -> Answer | None:
        """A member's status, or None when it does not answer in time."""
        if self._session is None:
            raise RuntimeError("use the poller as a context manager")
        url = f"{self._layout.client_url(member)}/v3/maintenance/status"
        try:
            async with self._session.post(url, json={}, ssl=self._ssl) as response:
                if response.status != 200:
                    return None
                content = await response.content.read(MAX_ANSWER_BYTES)
                return answer_from_json(content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


def answer_from_json(content: bytes) -> Answer:
    """Reads a StatusResponse in JSON; numbers come as strings, zeros not at all. Raises ValueError."""
    try:
        document: dict[str, Any] = json.loads(content)
        header = document.get("header", {})
        return Answer(
            member_id=int(header["member_id"]),
            leader_id=int(document.get("leader", 0)),
            term=int(document.get("raftTerm", 0)),
            revision=int(header.get("revision", 0)),
            applied_index=int(document.get("raftAppliedIndex", 0)),
            database_bytes=int(document.get("dbSize", 0)),
            errors=tuple(document.get("errors", ())),
            commit_index=int(document.get("raftIndex", 0)),
            learner=bool(document.get("isLearner", False)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no status: {error}") from None


def client_context(layout: ClusterLayout) -> ssl.SSLContext | bool:
    """What aiohttp's `ssl` is to be for the members: False where they have no TLS."""
    if not layout.tls:
        return False
    folder = layout.certificates
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(str(folder / "client.crt"), str(folder / "client.key"))
    return context
