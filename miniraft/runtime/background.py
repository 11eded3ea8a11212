"""Work that outlives the call that asked for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from miniraft.errors import SERVER_STOPPED

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")


class Background:
    """Runs coroutines as tasks of their own, each behind a future.

    Whoever waits may give up (and fail the future): the work goes on, for a file that is being
    replaced must not be left half way.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unbreakable: set[asyncio.Task[Any]] = set()

    def run(self, work: Coroutine[Any, Any, Result], *, to_its_end: bool = False) -> asyncio.Future[Result]:
        """Starts the work; the future gets what becomes of it, SERVER_STOPPED when it is given up.

        `to_its_end`: `close` waits for it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        task = loop.create_task(work)
        self._tasks.add(task)
        if to_its_end:
            self._unbreakable.add(task)
        task.add_done_callback(lambda done: self._ended(done, future))
        return future

    async def close(self) -> None:
        """Ends all work."""
        tasks = list(self._tasks)
        for task in tasks:
            if task not in self._unbreakable:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Result], future: asyncio.Future[Result]) -> None:
        self._tasks.discard(task)
        self._unbreakable.discard(task)
        error = SERVER_STOPPED.fresh() if task.cancelled() else task.exception()
        if future.done():
            return  # nobody waits any more
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())
