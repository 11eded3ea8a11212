"""Progress as plain lines, for scripts and pipes. The form of the lines is kept stable.

    member name=n1 pid=4242 client=https://127.0.0.1:2379 peer=https://127.0.0.1:2380
    web url=http://127.0.0.1:2378/
    status alive=3/3 quorum=2 can-lose=1 leader=n1 term=2 members=n1:leader,n2:follower,n3:follower
    ready leader=n1 term=2
    event 07:01:02.123 n2 became leader term=3
    stopped

The web line names the page for the browser, or is `web off: ` and why; it is not there when no page
was wanted. A status line comes whenever one of its values changes; `ready` once, when all members
answer and agree on a leader.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from miniraft.local_cluster.render import story_text

if TYPE_CHECKING:
    from miniraft.local_cluster.layout import ClusterLayout
    from miniraft.local_cluster.supervisor import Supervisor
    from miniraft.local_cluster.view import ClusterView, Happening


def member_lines(layout: ClusterLayout, supervisor: Supervisor) -> list[str]:
    """One line for each member started."""
    return [
        f"member name={member.name} pid={supervisor.processes[member.name].pid} "
        f"client={layout.client_url(member)} peer={layout.peer_url(member)}"
        for member in layout.members
    ]


def status_line(view: ClusterView) -> str:
    """The cluster in one line of key=value."""
    leader = view.leader
    return (
        f"status alive={view.alive}/{len(view.members)} quorum={view.quorum} "
        f"can-lose={max(view.can_lose, 0)} leader={leader.name if leader else '-'} term={view.term} members="
        + ",".join(
            f"{member.name}:{(member.role if member.state == 'running' else member.state).replace(' ', '-')}"
            for member in view.members
        )
    )


def agrees(view: ClusterView) -> bool:
    """Whether all members answer and name the same leader."""
    leaders = {member.leader for member in view.members}
    return view.alive == len(view.members) and len(leaders) == 1 and "" not in leaders


class PlainOutput:
    """Writes the lines as things change."""

    def __init__(self, supervisor: Supervisor, stream: TextIO | None = None) -> None:
        self._supervisor = supervisor
        self._stream = stream or sys.stdout
        self._status = ""
        self._ready = False

    def started(self, no_page: str = "") -> None:
        """Says which processes were started, and where the page is or why there is none."""
        for line in member_lines(self._supervisor.layout, self._supervisor):
            self._line(line)
        if self._supervisor.page_url:
            self._line(f"web url={self._supervisor.page_url}")
        elif no_page:
            self._line(f"web off: {no_page}")

    def changed(self, happenings: list[Happening]) -> None:
        """Says what is new."""
        for happening in happenings:
            self._line(f"event {story_text(happening)}")
        view = self._supervisor.view()
        status = status_line(view)
        if status != self._status:
            self._status = status
            self._line(status)
        if not self._ready and agrees(view):
            self._ready = True
            self._line(f"ready leader={view.members[0].leader} term={view.term}")

    def stopped(self) -> None:
        """Says that nothing runs any more."""
        self._line("stopped")

    def _line(self, text: str) -> None:
        line = "".join(letter if letter.isprintable() else "?" for letter in text)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            pass  # nobody reads any more; the cluster goes on
