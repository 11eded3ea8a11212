"""Unary calls that may wait for as long as others please, such as for a lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from miniraft.errors import DEADLINE_EXCEEDED, SERVER_STOPPED

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from miniraft.api.call import Call

Result = TypeVar("Result")


class LongWaits:
    """Ends waits whose client is gone, whose deadline has passed, or whose server stops."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends all waits with SERVER_STOPPED, and every further one."""
        self._stopping.set()

    async def run(self, call: Call, work: Coroutine[Any, Any, Result]) -> Result:
        """Returns what `work` does, unless the call ends before; then `work` is cancelled.

        Raises ClientGone, DEADLINE_EXCEEDED, SERVER_STOPPED.
        """
        loop = asyncio.get_running_loop()
        working = loop.create_task(work)
        gone = loop.create_task(call.gone())
        stopping = loop.create_task(self._stopping.wait())
        tasks = (working, gone, stopping)
        try:
            await asyncio.wait(tasks, timeout=call.timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if stopping.done():
                raise SERVER_STOPPED.fresh()
            if gone.done():
                gone.result()
            raise DEADLINE_EXCEEDED.fresh()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
