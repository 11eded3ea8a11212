"""One member as a child process: start, stop, kill, pause, resume.

On Linux the kernel kills the child when this process dies, so that no member outlives a
`miniraft cluster` that was itself killed. A member must survive being killed anyway.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from miniraft.local_cluster.problem import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STOP_TIMEOUT_SECONDS = 10.0

# Runs in the child before the member: prctl(PR_SET_PDEATHSIG, SIGKILL), then becomes the member.
_TIED_TO_PARENT = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]): sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class MemberProcess:
    """A member's process and what was done to it.

    `state` is running, paused, stopped (never started, or ended as asked), killed, or
    `exited N` when it ended by itself. `started_at` is in seconds since the epoch, 0 before the
    first start.
    """

    def __init__(self, name: str, command: Sequence[str], log_file: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log_file = log_file
        self.state = "stopped"
        self.started_at = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._ended_as: str | None = None  # the state to take when the process ends
        self._waiter: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while there is a process."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """Whether there is a process that runs, paused or not."""
        return self._process is not None

    async def start(self) -> None:
        """Starts the member. Raises ClusterError when it runs already."""
        if self._process is not None:
            raise ClusterError(f"{self.name} is {self.state} already")
        command = self.command
        if sys.platform == "linux":
            command = (sys.executable, "-c", _TIED_TO_PARENT, str(os.getpid()), *command)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
        environment["PYTHONUNBUFFERED"] = "1"
        handle = os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        started_at = time.time()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the cluster, not for each member
            )
        finally:
            os.close(handle)
        self.state, self.started_at, self._ended_as = "running", started_at, None
        self._waiter = asyncio.get_running_loop().create_task(self._wait(self._process))

    async def stop(self) -> None:
        """Asks the member to end (SIGTERM) and kills it when it does not."""
        process = self._running()
        self._ended_as = "stopped"
        if self.state == "paused":
            self._send(process, signal.SIGCONT)
        self._send(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._ended()), STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            self._send(process, signal.SIGKILL)
            await self._ended()

    async def kill(self) -> None:
        """kill -9: no goodbye, nothing flushed."""
        process = self._running()
        self._ended_as = "killed"
        self._send(process, signal.SIGKILL)
        await self._ended()

    def pause(self) -> None:
        """Freezes the member (SIGSTOP): its connections stay open and nothing answers."""
        process = self._running()
        if self.state == "paused":
            raise ClusterError(f"{self.name} is paused already; resume {self.name}")
        self._send(process, signal.SIGSTOP)
        self.state = "paused"

    def resume(self) -> None:
        """Lets a paused member go on (SIGCONT)."""
        process = self._running()
        if self.state != "paused":
            raise ClusterError(f"{self.name} is not paused")
        self._send(process, signal.SIGCONT)
        self.state = "running"

    async def restart(self) -> None:
        """Stops the member if it runs, then starts it on the same data."""
        if self.alive:
            await self.stop()
        await self.start()

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ClusterError(f"{self.name} does not run ({self.state}); restart {self.name}")
        return self._process

    @staticmethod
    def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        if process.returncode is None:
            process.send_signal(number)

    async def _ended(self) -> None:
        if self._waiter is not None:
            await asyncio.shield(self._waiter)

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._process = None
        self.state = self._ended_as or f"exited {code}"
