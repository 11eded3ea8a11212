"""Changes of the cluster told so that a person can follow them: notes become log events.

A change of membership says what it does to the quorum, an alarm how to get rid of it, with the
commands to type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miniraft.raft.state import ConfigChangeKind
from miniraft.runtime.narration import Event
from miniraft.server.alarms import CORRUPT, NOSPACE, alarm_name
from miniraft.server.identity import format_id
from miniraft.server.notes import (
    AlarmChanged,
    CompactionDue,
    CompactionFinished,
    MembersChanged,
    Note,
)
from miniraft.server.reconfiguration import quorum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.server.service import MemberInfo


def tell(note: Note, name_of: Callable[[int], str], revision: int) -> Event:
    """Returns what to log. `revision` is the current one, to compact to."""
    if isinstance(note, MembersChanged):
        return _members_changed(note)
    if isinstance(note, AlarmChanged):
        return _alarm_changed(note, name_of(note.alarm.member_id), revision)
    if isinstance(note, CompactionDue):
        message = f"compacting to revision {note.target} (--auto-compaction-retention)"
        return Event("info", message, {"revision": note.target, "current_revision": note.revision})
    if isinstance(note, CompactionFinished):
        fields: dict[str, Any] = {"compact_revision": note.revision}
        if note.taken is not None:
            fields["hash"] = note.taken.hash
        return Event("info", "finished scheduled compaction", fields)
    return Event("info", "set the cluster version", {"cluster_version": note.version})


# Membership ---------------------------------------------------------------------------------
def _members_changed(note: MembersChanged) -> Event:
    member = note.member
    name = member.name or ",".join(member.peer_urls)
    fields: dict[str, Any] = {
        "member": member.name,
        "member_id": format_id(member.id),
        "peer_urls": list(member.peer_urls),
    }
    kind = note.kind
    if kind == ConfigChangeKind.UPDATE:
        return Event("info", f"updated the peer URLs of {name}: {','.join(member.peer_urls)}", fields)
    before, after = _voters(note.before), _voters(note.after)
    if len(before) == len(after):
        done = "added learner" if kind == ConfigChangeKind.ADD_LEARNER else "removed learner"
        return Event("info", f"{done} {name}: quorum stays {quorum_of(len(after))}", fields)
    done = {
        ConfigChangeKind.ADD_VOTER: "added",
        ConfigChangeKind.REMOVE: "removed",
        ConfigChangeKind.PROMOTE: "promoted to voter",
    }[kind]
    fields |= {"quorum_before": quorum_of(len(before)), "quorum": quorum_of(len(after)), "voters": len(after)}
    spare = len(after) - quorum_of(len(after))
    spare_now = spare - sum(not voter.name for voter in after)
    level = "warn" if spare_now < 0 or spare_now == 0 < spare else "info"
    return Event(level, f"{done} {name}: {_arithmetic(before, after)}", fields)


def _arithmetic(before: Sequence[MemberInfo], after: Sequence[MemberInfo]) -> str:
    quorum = quorum_of(len(after))
    spare = len(after) - quorum
    waiting = [",".join(voter.peer_urls) for voter in after if not voter.name]
    text = f"quorum {quorum_of(len(before))}→{quorum} of {len(after)} voters"
    if not waiting:
        return f"{text}, tolerates {_failures(spare)}"
    spare_now = spare - len(waiting)
    until = f"until {' and '.join(waiting)} {'has' if len(waiting) == 1 else 'have'} started"
    if spare_now < 0:
        return f"{text}: no majority {until}"
    return f"{text}, tolerates {_failures(spare_now)} {until}, {_failures(spare)} then"


def _failures(count: int) -> str:
    return "1 failure" if count == 1 else f"{count} failures"


def _voters(members: Sequence[MemberInfo]) -> Sequence[MemberInfo]:
    return [member for member in members if not member.is_learner]


# Alarms -------------------------------------------------------------------------------------
def _alarm_changed(note: AlarmChanged, member: str, revision: int) -> Event:
    name = alarm_name(note.alarm.type)
    fields = {"alarm": name, "member": member, "member_id": format_id(note.alarm.member_id)}
    if not note.is_raised:
        return Event("info", f"alarm {name} of {member} disarmed", fields)
    message = f"alarm {name} raised for {member}"
    if note.alarm.type == NOSPACE:
        message = (
            f"alarm NOSPACE: the keyspace of {member} has reached its quota, so no member takes puts and "
            f"leases any more. Three steps out: 1. etcdctl compact {revision} (drops old revisions)  "
            f"2. etcdctl defrag --cluster (gives their space back)  3. etcdctl alarm disarm. If that is not "
            f"enough, delete keys before, or restart the members with a larger --quota-backend-bytes"
        )
    elif note.alarm.type == CORRUPT:
        message = (
            f"alarm CORRUPT: the data of {member} differs from the other members', so nothing is written "
            f"any more. Take a snapshot of a healthy member (etcdctl snapshot save), replace {member}: "
            f"etcdctl member remove {format_id(note.alarm.member_id)}, etcdctl member add, start it with an "
            f"empty data directory and --initial-cluster-state=existing; then etcdctl alarm disarm"
        )
    return Event("error", message, fields)
