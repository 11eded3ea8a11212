"""What the page is told: one record for each thing that happened or changed.

A record is a dict ready for JSON. `kind` says what else is in it; `time` is when it was so, in
milliseconds since the epoch; `member` is a name.

process    state, pid, started (ms)           the member's process, whenever it changes
answer     answer, or null for silence; asked what the member says of itself; `asked` is in ms, too
raft       role, term, leader, cast, received what its log tells of its part in elections
happening  text, category, action             one line of the story
request    what the page asked a member       see `request_record`
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miniraft.local_cluster.elections import RaftState, Round
    from miniraft.local_cluster.view import Happening, MemberView
    from miniraft.local_cluster.web.requests import KeyAnswer, KeyRequest

Record = dict[str, Any]
MAX_SHOWN = 200  # characters of a value in a record


def milliseconds(time: str) -> float:
    """An ISO 8601 moment in milliseconds since the epoch, to the microsecond."""
    return round(datetime.fromisoformat(time).timestamp() * 1000, 3)


def process_record(member: MemberView, now_ms: float) -> Record:
    """A member's process as it is now."""
    return {
        "kind": "process",
        "time": now_ms,
        "member": member.name,
        "state": member.state,
        "pid": member.pid,
        "started": round(member.started_at * 1000, 3),
    }


def answer_record(member: MemberView, now_ms: float) -> Record:
    """A member's last answer, which came just now."""
    answer = member.answer
    said = answer and {
        "term": answer.term,
        "leader": member.leader,
        "leads": answer.leader_id == answer.member_id,
        "revision": answer.revision,
        "applied": answer.applied_index,
        "committed": answer.commit_index,
        "bytes": answer.database_bytes,
        "learner": answer.learner,
        "errors": list(answer.errors),
    }
    return {
        "kind": "answer",
        "time": now_ms,
        "member": member.name,
        "asked": round(member.asked_at * 1000, 3),
        "answer": said,
    }


def raft_record(member: str, time_ms: float, state: RaftState) -> Record:
    """A member's part in elections after a line of its log."""
    return {
        "kind": "raft",
        "time": time_ms,
        "member": member,
        "role": state.role,
        "term": state.term,
        "leader": state.leader,
        "cast": _round(state.cast),
        "received": _round(state.received),
    }


def _round(votes: Round) -> Record:
    return {
        "term": votes.term,
        "preVote": votes.pre_vote,
        "needed": votes.needed,
        "votes": [vote._asdict() for vote in votes.votes],
    }


def happening_record(happening: Happening) -> Record:
    """A line of the story. `action` is killed, stopped, paused, resumed, started, or empty."""
    return {
        "kind": "happening",
        "time": milliseconds(happening.time),
        "member": happening.member,
        "text": happening.text,
        "category": happening.kind,
        "action": happening.text.partition(":")[0] if happening.kind == "action" else "",
        "step": happening.step.what if happening.step else "",
        "term": happening.step.term if happening.step else 0,
    }


def request_record(request: KeyRequest, answer: KeyAnswer, time_ms: float, *, writer: bool) -> Record:
    """A put or get of the page and how it ended; `time` is when it was sent."""
    return {
        "kind": "request",
        "time": time_ms,
        "member": answer.member,
        "operation": request.operation,
        "key": shortened(request.key),
        "value": shortened(request.value),
        "serializable": request.serializable,
        "ok": answer.ok,
        "text": shortened(answer.text),
        "tookMs": answer.took_ms,
        "writer": writer,
    }


def shortened(text: str) -> str:
    """Text that is not longer than a record may show."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"
