"""Holds back, for a moment, messages that only tell followers how far is committed.

After each commit a leader tells its followers. When clients keep writing, the next entries
leave within a millisecond anyway and carry the commit index too, so a message of its own is
work for nothing on both sides. It is only worth it when somebody waits for it there: a
follower that passed a client's write or read on answers it when it has applied the entry.

Losing or replacing such a message is safe: heartbeats tell the commit index as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.message import MessageKind
from miniraft.raft.replication import NO_ANSWER_NEEDED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from miniraft.raft.message import Message

_HOLD_SECONDS = 0.001
_ATTENTIVE_SECONDS = 1.0
_FORWARDED = (MessageKind.PROPOSE, MessageKind.READ_INDEX)


class CommitNotices:
    """Between a member and its transport.

    Invariant: at most one notice is held for each follower, and no older one goes out after a
    newer APPEND.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[Sequence[Message]], None]) -> None:
        self._loop = loop
        self._send = send
        self._held: dict[int, Message] = {}  # by receiver
        self._timer: asyncio.TimerHandle | None = None
        self._attentive_until = 0.0

    def received(self, messages: Iterable[Message]) -> None:
        """Messages came in: do followers pass on what clients ask of them?"""
        for message in messages:
            if message.kind in _FORWARDED:
                self._attentive_until = self._loop.time() + _ATTENTIVE_SECONDS
                return

    def send(self, messages: list[Message]) -> None:
        """Sends messages; notices may follow a moment later."""
        if self._loop.time() >= self._attentive_until:
            for message in messages:
                if message.context == NO_ANSWER_NEEDED and _is_notice(message):
                    self._hold([m for m in messages if _is_notice(m)])
                    messages = [m for m in messages if not _is_notice(m)]
                    break
        if self._held:
            self._drop_superseded(messages)
        if messages:
            self._send(messages)

    def stop(self) -> None:
        """Nothing that is held goes out any more."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hold(self, notices: list[Message]) -> None:
        for notice in notices:
            self._held[notice.receiver] = notice
        if self._timer is None:
            self._timer = self._loop.call_later(_HOLD_SECONDS, self._release)

    def _release(self) -> None:
        self._timer = None
        held, self._held = list(self._held.values()), {}
        if held:
            self._send(held)

    def _drop_superseded(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.kind == MessageKind.APPEND:
                self._held.pop(message.receiver, None)
        if not self._held and self._timer is not None:
            self._timer.cancel()  # waking up for nothing would cost more
            self._timer = None


def _is_notice(message: Message) -> bool:
    return message.kind == MessageKind.APPEND and message.context == NO_ANSWER_NEEDED and not message.entries
