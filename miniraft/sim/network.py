"""The network between the members: late, lossy, repeating, reordering, and cut now and then.

Members know each other by URL, and a message arrives where somebody listens who is meant. Only
PROPOSE is never repeated: Raft bears any message twice but this one, which would put a request
into the log twice. The transport between real members delivers at most once.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Protocol

from miniraft.raft.message import MessageKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from miniraft.mvcc.memory_store import MemoryStore
    from miniraft.raft.message import Message
    from miniraft.sim.options import Options
    from miniraft.sim.scheduler import Scheduler

    Ended = Callable[[bool], None]

_SLOW_FACTOR = 10
_SNAPSHOT_FACTOR = 20
_LOSS_NOTICED_US = 50_000  # a broken stream is noticed about then
_LOSS_NOTICED_SHARE = 0.3  # of single losses; the others pass unnoticed


class Receiver(Protocol):
    """A machine, as the network sees it."""

    def arrive(self, message: Message, data: MemoryStore | None) -> bool:
        """Takes a message; returns whether somebody was there."""

    def peer_closed(self, member_id: int) -> None:
        """The connection to this member has ended."""


class Network:
    """Links between members by id. Invariant: what is sent over a cut link never arrives."""

    def __init__(self, scheduler: Scheduler, random: Random, options: Options) -> None:
        self._scheduler = scheduler
        self._random = random
        self._options = options
        self._listening: dict[str, int] = {}  # URL -> member id
        self._receivers: dict[int, Receiver] = {}  # by member id
        self._cut: set[tuple[int, int]] = set()  # (sender, receiver)
        self.calm = False  # nothing is lost or repeated any more
        self.knows_members = not options.open_doors  # who is no member finds no hearing

    # Who is there -----------------------------------------------------------------------------
    def listen(self, url: str, member_id: int, receiver: Receiver) -> bool:
        """A member begins to listen; returns whether the address was free."""
        if self._listening.get(url, member_id) != member_id:
            return False
        self._listening[url] = member_id
        self._receivers[member_id] = receiver
        return True

    def hang_up(self, member_id: int) -> None:
        """A member listens no more."""
        self._listening = {url: owner for url, owner in self._listening.items() if owner != member_id}

    def close(self, member_id: int, to: int | None = None) -> None:
        """The connections of `member_id` (to one member) close; over a cut link nobody notices."""
        for other, receiver in self._receivers.items():
            if other != member_id and to in (None, other) and (member_id, other) not in self._cut:
                self._scheduler.after(self._delay(), partial(receiver.peer_closed, member_id))

    def can_connect(self, sender: int, receiver: int, urls: Iterable[str]) -> bool:
        """Whether `receiver` can be reached at one of the URLs, and can answer."""
        is_cut = (sender, receiver) in self._cut or (receiver, sender) in self._cut
        return not is_cut and self._is_there(receiver, urls)

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

    # Messages ---------------------------------------------------------------------------------
    def send(self, message: Message, urls: Iterable[str], lost: Callable[[], None]) -> None:
        """Sends a message; `lost` is called if the sender's transport notices that it is lost."""
        random, options = self._random, self._options
        if not self.calm and random.random() < options.drop_share:
            self._notice(lost)
            return
        self._plan(message, urls, lost)
        repeatable = message.kind != MessageKind.PROPOSE
        if not self.calm and repeatable and random.random() < options.duplicate_share:
            self._plan(message, urls, None)

    def send_snapshot(self, message: Message, urls: Iterable[str], data: MemoryStore, ended: Ended) -> None:
        """Sends a SNAPSHOT message with its data; `ended` tells whether it arrived."""
        dropped = not self.calm and self._random.random() < self._options.drop_share

        def arrive() -> None:
            ended(not dropped and self._deliver(message, urls, data))

        self._scheduler.after(self._delay() * _SNAPSHOT_FACTOR, arrive)

    def _plan(self, message: Message, urls: Iterable[str], lost: Callable[[], None] | None) -> None:
        def arrive() -> None:
            if not self._deliver(message, urls, None) and lost is not None:
                self._notice(lost)

        self._scheduler.after(self._delay(), arrive)

    def _deliver(self, message: Message, urls: Iterable[str], data: MemoryStore | None) -> bool:
        receiver = message.receiver
        if (message.sender, receiver) in self._cut or not self._is_there(receiver, urls):
            return False
        return self._receivers[receiver].arrive(copy(message), data)

    def _is_there(self, receiver: int, urls: Iterable[str]) -> bool:
        return any(self._listening.get(url) == receiver for url in urls)

    def _notice(self, lost: Callable[[], None]) -> None:
        if self._random.random() < _LOSS_NOTICED_SHARE:
            self._scheduler.after(self._random.randrange(1, _LOSS_NOTICED_US), lost)

    def _delay(self) -> int:
        delay_us = self._random.randint(*self._options.delay_us)
        if not self.calm and self._random.random() < self._options.slow_share:
            delay_us *= _SLOW_FACTOR
        return delay_us
