"""Runs the members of a local cluster and knows how each is."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from miniraft.local_cluster.member_process import MemberProcess
from miniraft.local_cluster.narrative import LogTail, Story, now
from miniraft.local_cluster.poll import Poller
from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.view import Answer, ClusterView, Happening, MemberView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.local_cluster.layout import ClusterLayout, MemberLayout

POLL_SECONDS = 0.25
LOG_SECONDS = 0.15
MAX_LOG_BYTES = 16 << 20  # a log larger than this is put aside at the start
PROGRAM = (sys.executable, "-m", "miniraft")

COMMANDS = {
    "kill": "kill -9: no goodbye, nothing flushed",
    "stop": "ask it to end (SIGTERM); a leader hands over first",
    "pause": "freeze it (SIGSTOP): connections stay open, nothing answers",
    "resume": "let a paused member go on (SIGCONT)",
    "restart": "start it again on the same data, stopping it first if it runs",
}


class Supervisor:
    """The members' processes, their last answers and their story.

    `changed` is called whenever there is something new to show. `page_url` is where a browser
    shows it, or empty.
    """

    def __init__(
        self,
        layout: ClusterLayout,
        program: Sequence[str] = PROGRAM,
        changed: Callable[[list[Happening]], None] = lambda _: None,
    ) -> None:
        self.layout = layout
        self.changed = changed
        self.page_url = ""
        self.story = Story()
        self.processes = {
            member.name: MemberProcess(
                member.name, (*program, *layout.member_flags(member)), layout.log_file(member)
            )
            for member in layout.members
        }
        self._answers: dict[str, Answer | None] = {}
        self._asked_at: dict[str, float] = {}
        self._names: dict[int, str] = {}  # member id to name, learnt from answers
        self._tails: list[LogTail] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._locks = {member.name: asyncio.Lock() for member in layout.members}

    async def start(self) -> None:
        """Starts every member and begins to watch them."""
        for member in self.layout.members:
            log_file = self.layout.log_file(member)
            if log_file.exists() and log_file.stat().st_size > MAX_LOG_BYTES:
                log_file.replace(log_file.with_suffix(".log.old"))
            self._tails.append(LogTail(member.name, log_file))
        await asyncio.gather(*(process.start() for process in self.processes.values()))
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read_logs()), loop.create_task(self._poll())]

    async def shut_down(self) -> None:
        """Stops every member (bounded: what does not stop is killed) and the watching.

        The leader comes last: it would hand over to a member that is just stopping, and wait.
        """
        leader = self.view().leader
        await self._stop_watching()
        last = [self.processes[leader.name]] if leader else []
        first = [process for process in self.processes.values() if process not in last]
        for group in (first, last):
            alive = [process for process in group if process.alive]
            await asyncio.gather(*(process.stop() for process in alive), return_exceptions=True)
        self._take(self._new_happenings())

    async def end(self) -> None:
        """Kills every member: for a cluster whose data nobody wants any more."""
        await self._stop_watching()
        await asyncio.gather(*(process.kill() for process in self.processes.values() if process.alive))

    async def _stop_watching(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill_all(self) -> None:
        """Makes the shutting down short: every member that still runs is killed."""
        loop = asyncio.get_running_loop()
        for process in self.processes.values():
            if process.alive:
                self._tasks.append(loop.create_task(process.kill()))

    async def execute(self, command: str, text: str) -> str:
        """Does one of COMMANDS to a member and returns what was done. Raises ClusterError."""
        if command not in COMMANDS:
            raise ClusterError(f"there is no command {command!r}; write one of {', '.join(COMMANDS)}")
        member = self.layout.member(text)
        process = self.processes[member.name]
        async with self._locks[member.name]:
            pid, begun = process.pid, now()
            if command == "kill":
                await process.kill()
            elif command == "stop":
                await process.stop()
            elif command == "pause":
                process.pause()
            elif command == "resume":
                process.resume()
            else:
                await process.restart()
                self._answers[member.name] = None
        done = {
            "kill": f"killed: kill -9 {pid}",
            "stop": f"stopped: kill -TERM {pid}",
            "pause": f"paused: kill -STOP {pid}",
            "resume": f"resumed: kill -CONT {pid}",
            "restart": f"started: pid {process.pid}",
        }[command]
        self._take([Happening(begun, member.name, done, "action")])
        return f"{member.name} {done}"

    def view(self) -> ClusterView:
        """The cluster as it is known now."""
        members = tuple(self._member_view(member) for member in self.layout.members)
        story = self.story.newest_last()
        return ClusterView(str(self.layout.folder), members, story, page_url=self.page_url)

    @property
    def all_gave_up(self) -> bool:
        """Whether every member ended by itself: nothing is left to watch."""
        return all(process.state.startswith("exited") for process in self.processes.values())

    def _member_view(self, member: MemberLayout) -> MemberView:
        process = self.processes[member.name]
        answer = self._answers.get(member.name) if process.state == "running" else None
        return MemberView(
            member.number,
            member.name,
            self.layout.client_url(member),
            process.pid,
            process.state,
            answer,
            self._names.get(answer.leader_id, f"{answer.leader_id:x}") if answer and answer.leader_id else "",
            process.started_at,
            self._asked_at.get(member.name, 0.0),
        )

    async def _poll(self) -> None:
        async with Poller(self.layout) as poller:
            await asyncio.gather(*(self._poll_member(poller, member) for member in self.layout.members))

    async def _poll_member(self, poller: Poller, member: MemberLayout) -> None:
        process = self.processes[member.name]
        while True:
            if process.state == "running":
                pid, asked_at = process.pid, time.time()
                answer = await poller.ask(member)
                if process.pid != pid:
                    continue  # the answer of a process that is no more
                self._asked_at[member.name] = asked_at
                if answer is not None:
                    self._names[answer.member_id] = member.name
                self._answers[member.name] = answer
            else:
                self._answers[member.name] = None
            self.changed([])
            await asyncio.sleep(POLL_SECONDS)

    async def _read_logs(self) -> None:
        while True:
            self._take(self._new_happenings())
            await asyncio.sleep(LOG_SECONDS)

    def _new_happenings(self) -> list[Happening]:
        return [item for tail in self._tails for item in tail.read()]

    def _take(self, happenings: list[Happening]) -> None:
        if happenings:
            self.changed(self.story.add(happenings))
