"""A lease that is kept alive in the background, as locks and elections need one."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from etcdctl_py.commands.lease import renew
from etcdctl_py.failure import CommandError
from etcdctl_py.messages import LeaseGrantResponse

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeVar

    from etcdctl_py.client import Client

    Result = TypeVar("Result")

_DEFAULT_TTL_S = 60


class Session:
    """Grants a lease on entry, renews it three times per TTL, revokes it on exit.

    Revoking deletes every key attached to the lease: the lock, or the candidacy.
    """

    def __init__(self, client: Client, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s if ttl_s > 0 else _DEFAULT_TTL_S
        self._renewing: asyncio.Task[None] | None = None
        self.lease_id = 0
        self.expired = asyncio.Event()

    async def __aenter__(self) -> Session:
        request = {"TTL": str(self._ttl_s), "ID": "0"}
        answer = await self._client.call("/v3/lease/grant", request, limited=False)
        self.lease_id = LeaseGrantResponse.read(answer).lease_id
        self._renewing = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewing:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        with suppress(CommandError):
            await self._client.call("/v3/lease/revoke", {"ID": str(self.lease_id)})

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            try:
                response = await renew(self._client, self.lease_id, limited=True)
            except CommandError:
                continue  # the lease may outlive the failure; its own end is told by the server
            if response.ttl <= 0:
                self.expired.set()
                return


class StopSignal:
    """Turns SIGINT and SIGTERM into an event for as long as it is entered."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def __enter__(self) -> StopSignal:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.came.set)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    async def unless_stopped(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Awaits the work; a signal cancels it. Raises CommandError("context canceled") then."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.came.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            return task.result()
        task.cancel()
        with suppress(asyncio.CancelledError, CommandError):
            await task
        raise CommandError("context canceled")


async def first_of(*events: asyncio.Event) -> None:
    """Waits until one of the events is set."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
