"""One member alone: events are put in by hand, what comes of it is looked at."""

from __future__ import annotations

import random

from miniraft.raft.config import RaftConfig
from miniraft.raft.interface import RestoredState
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.raft import Raft
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata

PLAIN = {"pre_vote": False, "check_quorum": False}  # the paper's Raft, without the thesis' additions
K = MessageKind


def member(log=(), term=0, vote=0, commit=0, voters=(1, 2, 3), **settings):
    """Member 1 as it starts from a disk with these contents."""
    config = ConfigState(tuple(voters))
    restored = RestoredState(
        HardState(term, vote, commit), SnapshotMetadata(0, 0, config), list(log), 0, config
    )
    return Raft(RaftConfig(1, **(PLAIN | settings)), restored, random.Random(1))


def drain(raft):
    """Everything it has to say, all of it being durable at once."""
    messages = []
    while raft.has_ready():
        ready = raft.ready()
        if ready.persists:
            raft.persisted(ready.sequence)
        if ready.committed:
            raft.advance_applied(ready.committed[-1].index)
        messages += ready.messages + ready.messages_after_persist
    return messages


def step(raft, kind, sender=2, **fields):
    raft.step(Message(kind, sender, 1, **fields))
    return drain(raft)


def lead(raft):
    raft.campaign()
    drain(raft)
    for voter in (2, 3):
        step(raft, K.VOTE_RESPONSE, voter, term=raft.term, context=raft.term)
    assert raft.role == "leader"
    return raft


def ack(raft, sender, index):
    return step(raft, K.APPEND_RESPONSE, sender, term=raft.term, index=index)
