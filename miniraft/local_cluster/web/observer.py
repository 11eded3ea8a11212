"""Notices what is new in a cluster: from one view of the supervisor's to the next, and its story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.local_cluster.elections import RaftState
from miniraft.local_cluster.web.records import (
    answer_record,
    happening_record,
    milliseconds,
    process_record,
    raft_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.local_cluster.view import Answer, ClusterView, Happening, MemberView
    from miniraft.local_cluster.web.records import Record


class _Seen:
    """What was last told of a member."""

    def __init__(self) -> None:
        self.process: tuple[str, int | None] | None = None
        self.process_ms = 0.0
        self.asked_at = 0.0
        # Of the process that was started at this time, in seconds:
        self.started_at = 0.0
        self.answer: tuple[Answer | None, str] | None = None
        self.raft = RaftState()


class Observer:
    """Makes records of what changed. The same views and happenings make the same records."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def observe(self, view: ClusterView, happenings: Sequence[Happening], now_ms: float) -> list[Record]:
        """Returns the records of what is new, `happenings` being what the story gained."""
        records: list[Record] = []
        for member in view.members:
            self._forget_an_earlier_process(member)
            own = [happening for happening in happenings if happening.member == member.name]
            records += self._processes(member, own, now_ms)
            records += self._elections(member, own)
            records += self._answers(member, now_ms)
        records += [happening_record(happening) for happening in happenings]
        return records

    def _forget_an_earlier_process(self, member: MemberView) -> None:
        seen = self._of(member)
        if seen.started_at != member.started_at:
            seen.started_at, seen.answer, seen.raft = member.started_at, None, RaftState()

    def _processes(self, member: MemberView, own: Sequence[Happening], now_ms: float) -> list[Record]:
        seen = self._of(member)
        if (member.state, member.pid) == seen.process:
            return []
        by_hand = [milliseconds(happening.time) for happening in own if happening.kind == "action"]
        seen.process = (member.state, member.pid)
        # It changed when it was told to, not when that was noticed; but never before its last change.
        seen.process_ms = max(seen.process_ms, *by_hand) if by_hand else max(seen.process_ms, now_ms)
        return [process_record(member, seen.process_ms)]

    def _elections(self, member: MemberView, own: Sequence[Happening]) -> list[Record]:
        seen = self._of(member)
        records = []
        for happening in own:
            time_ms = milliseconds(happening.time)
            if happening.step is None or time_ms < member.started_at * 1000:
                continue  # of a process that is no more
            seen.raft = seen.raft.after(happening.step, member.name)
            records.append(raft_record(member.name, time_ms, seen.raft))
        return records

    def _answers(self, member: MemberView, now_ms: float) -> list[Record]:
        seen = self._of(member)
        said = (member.answer, member.leader)
        asked_anew = member.state == "running" and member.asked_at > max(seen.asked_at, member.started_at)
        if not asked_anew or said == seen.answer:
            return []
        seen.answer, seen.asked_at = said, member.asked_at
        return [answer_record(member, now_ms)]

    def _of(self, member: MemberView) -> _Seen:
        return self._seen.setdefault(member.name, _Seen())
