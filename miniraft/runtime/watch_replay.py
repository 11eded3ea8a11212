"""Gives watchers that are behind their share of the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from miniraft.mvcc.watch.hub import WatchHub


class WatchReplayer:
    """Calls `replay_step` while there is something to replay.

    It pauses for as long as each step took, so that history takes no more than half of the
    loop's time from requests and heartbeats.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, hub: WatchHub) -> None:
        self._loop = loop
        self._hub = hub
        self._is_stopped = False
        self._is_planned = False
        hub.on_replay_due = self._begin

    def stop(self) -> None:
        """No step is made after this."""
        self._is_stopped = True

    def _begin(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        if self._is_stopped:
            return
        began = time.perf_counter()  # a loop's own clock may stand still within one turn
        self._is_planned = self._hub.replay_step()
        if self._is_planned:
            self._loop.call_later(time.perf_counter() - began, self._step)
