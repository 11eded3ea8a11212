"""Writes once a second while it is switched on, so that an outage can be counted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from miniraft.local_cluster.web.requests import KeyRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from miniraft.local_cluster.web.members import Members
    from miniraft.local_cluster.web.requests import KeyAnswer, WriterSwitch

KEY = "counter"
PERIOD_SECONDS = 1.0
# A write that gets no answer ends after five seconds; meanwhile the next ones are sent.
MAX_WAITING = 8


class Writer:
    """Puts 1, 2, 3, ... to one key. `told` gets every request with its answer and its time in ms."""

    def __init__(self, members: Members, told: Callable[[KeyRequest, KeyAnswer, float], None]) -> None:
        self._members = members
        self._told = told
        self._member = ""
        self._count = self._acknowledged = self._refused = 0
        self._task: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "on": self._task is not None,
            "member": self._member,
            "acknowledged": self._acknowledged,
            "refused": self._refused,
        }

    def switch(self, switch: WriterSwitch) -> None:
        """Starts counting from 0, changes whom to ask, or stops."""
        self._member = switch.member
        if switch.on and self._task is None:
            self._count = self._acknowledged = self._refused = 0
            self._task = asyncio.get_running_loop().create_task(self._write())
        elif not switch.on and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Ends it and what it waits for."""
        tasks = [*self._waiting, *([self._task] if self._task else [])]
        self._task = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if len(self._waiting) < MAX_WAITING:
                self._count += 1
                request = KeyRequest("put", KEY, str(self._count), self._member, serializable=False)
                task = loop.create_task(self._put(request))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
            await asyncio.sleep(PERIOD_SECONDS)

    async def _put(self, request: KeyRequest) -> None:
        time_ms = round(time.time() * 1000, 3)
        answer = await self._members.ask(request)
        if answer.ok:
            self._acknowledged += 1
        else:
            self._refused += 1
        self._told(request, answer, time_ms)
