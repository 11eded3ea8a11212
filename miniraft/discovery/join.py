"""Registers a member with the discovery service and waits until all the others have come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from miniraft.discovery.client import connect_to_service
from miniraft.discovery.problem import DiscoveryError
from miniraft.discovery.registry import Registry, member_key, members_prefix, read_size, size_key
from miniraft.errors import Code
from miniraft.peer.http2.status import RpcError

if TYPE_CHECKING:
    from miniraft.discovery.client import ServiceClient, ServiceSettings

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# What no further attempt will change.
_FINAL = frozenset({Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED})


class LogEvent(Protocol):
    """Where it tells what happens: `runtime.log.event`."""

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        """Writes one event."""


async def join_cluster(
    settings: ServiceSettings, token: str, member_id: int, own_entry: str, log: LogEvent
) -> str:
    """Returns the members of the new cluster as --initial-cluster would name them.

    `own_entry` is this member's, as `name=url,name=url`. Tries on, at one endpoint after another,
    while the service is not there, for as long as it takes. Raises DiscoveryError for what will
    never come right.
    """
    pause_seconds, attempt = _FIRST_PAUSE_SECONDS, 0
    while True:
        endpoint = settings.endpoints[attempt % len(settings.endpoints)]
        attempt += 1
        try:
            client = await connect_to_service(settings, endpoint)
            try:
                joining = Joining(client, token, member_key(token, member_id), log)
                return await joining.join(own_entry)
            finally:
                await client.close()
        except RpcError as error:
            if error.code in _FINAL:
                raise DiscoveryError(f"discovery: {endpoint} says: {error.details}") from error
            reason = error.details or error.code.name
        except OSError as error:
            reason = str(error) or "no answer in time"
        log(
            "warn",
            "retry connecting to discovery service",
            endpoint=endpoint,
            reason=reason,
            backoff=f"{pause_seconds:g}s",
        )
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


class Joining:
    """One attempt, over one connection. Registering again changes nothing but the value."""

    def __init__(self, client: ServiceClient, token: str, own_key: str, log: LogEvent) -> None:
        self._client = client
        self._token = token
        self._own_key = own_key
        self._log = log

    async def join(self, own_entry: str) -> str:
        """Raises DiscoveryError, RpcError, OSError."""
        await self._client.log_in()
        registry, _ = await self._read()
        registry.check_place(self._own_key)
        await self._client.put(self._own_key, own_entry)
        self._log(
            "info", "register member itself successfully", memberKey=self._own_key, memberInfo=own_entry
        )
        registry, revision = await self._read()
        if not registry.is_complete:
            await self._wait_for_others(registry, revision)
        registry.check_place(self._own_key)  # others may have been quicker
        return registry.initial_cluster()

    async def _read(self) -> tuple[Registry, int]:
        found = await self._client.get(size_key(self._token))
        registry = Registry(read_size(self._token, found.kvs[0].value if found.kvs else None))
        members = await self._client.get(members_prefix(self._token), is_prefix=True)
        for pair in members.kvs:
            self._add(registry, pair.key, pair.value, pair.create_revision)
        return registry, members.header.revision

    async def _wait_for_others(self, registry: Registry, revision: int) -> None:
        self._log(
            "info",
            "waiting for peers from discovery service",
            clusterSize=registry.size,
            found_peers=registry.found,
        )
        async for response in self._client.watch(members_prefix(self._token), revision + 1):
            for event in response.events:
                if event.type == event.PUT:
                    self._add(registry, event.kv.key, event.kv.value, event.kv.create_revision)
            if registry.is_complete:
                self._log("info", "found all needed peers from discovery service", clusterSize=registry.size)
                return
        raise ConnectionResetError("the service ended the watch")

    def _add(self, registry: Registry, key: bytes, value: bytes, create_revision: int) -> None:
        name, entry = key.decode(errors="replace").strip(), value.decode(errors="replace").strip()
        problem = registry.add(name, entry, create_revision)
        self._log(
            "warn" if problem else "info",
            problem or "found peer from discovery service",
            memberKey=name,
            memberInfo=entry,
        )
