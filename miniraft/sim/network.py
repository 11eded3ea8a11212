"""The network between the members: late, lossy, repeating, reordering, and cut now and then.

Only PROPOSE is never repeated: Raft bears any message twice but this one, which would put a
request into the log twice. The transport between real members delivers at most once.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING

from miniraft.raft.message import MessageKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from miniraft.mvcc.memory_store import MemoryStore
    from miniraft.raft.message import Message
    from miniraft.sim.options import Options
    from miniraft.sim.scheduler import Scheduler

    Deliver = Callable[[Message, MemoryStore | None], bool]  # returns whether somebody was there
    Ended = Callable[[bool], None]
    Closed = Callable[[int], None]

_SLOW_FACTOR = 10
_SNAPSHOT_FACTOR = 20
_LOSS_NOTICED_US = 50_000  # a broken stream is noticed about then
_LOSS_NOTICED_SHARE = 0.3  # of single losses; the others pass unnoticed


class Network:
    """Links between members by id. Invariant: what is sent over a cut link never arrives."""

    def __init__(self, scheduler: Scheduler, random: Random, options: Options) -> None:
        self._scheduler = scheduler
        self._random = random
        self._options = options
        self._receivers: dict[int, Deliver] = {}
        self._listeners: dict[int, Closed] = {}
        self._cut: set[tuple[int, int]] = set()  # (sender, receiver)
        self.calm = False  # nothing is lost or repeated any more

    def attach(self, member_id: int, deliver: Deliver, closed: Closed) -> None:
        """Messages to `member_id` go to `deliver`; `closed` hears whose connection to it ended."""
        self._receivers[member_id] = deliver
        self._listeners[member_id] = closed

    def close(self, member_id: int, to: int | None = None) -> None:
        """The connections of `member_id` (to one member) close; over a cut link nobody notices."""
        for other, closed in self._listeners.items():
            if other != member_id and to in (None, other) and (member_id, other) not in self._cut:
                self._scheduler.after(self._delay(), partial(closed, member_id))

    def cut(self, sender: int, receiver: int) -> None:
        """From now on nothing gets from `sender` to `receiver`, what is under way included."""
        self._cut.add((sender, receiver))

    def mend(self, sender: int, receiver: int) -> None:
        """The link works again."""
        self._cut.discard((sender, receiver))

    def heal(self) -> None:
        """All links work, and faultlessly."""
        self._cut.clear()
        self.calm = True

    def send(self, message: Message, lost: Callable[[], None]) -> None:
        """Sends a message; `lost` is called if the sender's transport notices that it is lost."""
        random, options = self._random, self._options
        if not self.calm and random.random() < options.drop_share:
            self._notice(lost)
            return
        self._plan(message, self._delay(), lost)
        repeatable = message.kind != MessageKind.PROPOSE
        if not self.calm and repeatable and random.random() < options.duplicate_share:
            self._plan(message, self._delay(), None)

    def send_snapshot(self, message: Message, data: MemoryStore, ended: Ended) -> None:
        """Sends a SNAPSHOT message with its data; `ended` tells whether it arrived."""
        dropped = not self.calm and self._random.random() < self._options.drop_share

        def arrive() -> None:
            ended(not dropped and self._deliver(message, data))

        self._scheduler.after(self._delay() * _SNAPSHOT_FACTOR, arrive)

    def _plan(self, message: Message, delay_us: int, lost: Callable[[], None] | None) -> None:
        def arrive() -> None:
            if not self._deliver(message, None) and lost is not None:
                self._notice(lost)

        self._scheduler.after(delay_us, arrive)

    def _deliver(self, message: Message, data: MemoryStore | None) -> bool:
        if (message.sender, message.receiver) in self._cut:
            return False
        return self._receivers[message.receiver](copy(message), data)

    def _notice(self, lost: Callable[[], None]) -> None:
        if self._random.random() < _LOSS_NOTICED_SHARE:
            self._scheduler.after(self._random.randrange(1, _LOSS_NOTICED_US), lost)

    def _delay(self) -> int:
        delay_us = self._random.randint(*self._options.delay_us)
        if not self.calm and self._random.random() < self._options.slow_share:
            delay_us *= _SLOW_FACTOR
        return delay_us
