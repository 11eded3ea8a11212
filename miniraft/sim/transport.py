"""A member's connections to the others: to whom it speaks, whom it hears, and since when.

Like the real transport: it calls the URLs of the member list, and those that a caller says it has,
whom it may not know yet; who was removed is not heard, and told so when it calls.
`Network.knows_members` switches the last off, so that Raft itself can be seen to bear those who do
not belong there any more.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from miniraft.raft.message import MessageKind
from miniraft.server.metastate import load_position
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from miniraft.raft.message import Message
    from miniraft.server.member import Member
    from miniraft.server.membership import Cluster
    from miniraft.sim.server import SimServer
    from miniraft.sim.world import World

_CALL_INTERVAL_US = (200_000, 500_000)  # between two looks at who can be reached


class Greeting(Enum):
    """What a member answers to one that opens a connection."""

    WELCOME = "welcome"
    SILENCE = "silence"  # it is paused
    REMOVED = "removed"


class Transport:
    """The connections of one life of a server."""

    def __init__(self, server: SimServer, member: Member, world: World) -> None:
        self._server = server
        self._member = member
        self._world = world
        self._urls: dict[int, tuple[str, ...]] = {}  # of the peers in the member list, by id
        self._told: dict[int, str] = {}  # the URLs that callers have told
        self._connected_at_us: dict[int, int] = {}
        self.set_members(member.cluster)

    def start(self) -> None:
        """Begins to call the peers."""
        delay_us = self._server.random.randint(*_CALL_INTERVAL_US)
        self._server.later(delay_us, self._call_peers)

    def set_members(self, cluster: Cluster) -> None:
        """Brings the connections in line with the membership."""
        own_id = self._member.member_id
        self._urls = {peer.id: peer.peer_urls for peer in cluster.members() if peer.id != own_id}

    @property
    def peers(self) -> dict[int, tuple[str, ...]]:
        """The URLs in the member list, by member id."""
        return self._urls

    @property
    def connected(self) -> Collection[int]:
        """The peers that are connected, as far as this member knows."""
        return self._connected_at_us.keys()

    def connected_since_ms(self, member_id: int) -> int | None:
        """For how long a peer has been connected, None if it is not."""
        connected_at_us = self._connected_at_us.get(member_id)
        return None if connected_at_us is None else (self._world.scheduler.now_us - connected_at_us) // 1000

    # Calling and being called -----------------------------------------------------------------
    def greet(self, caller: int, url: str) -> Greeting:
        """Another member, which listens at `url`, opens its connection to this one."""
        if self._server.paused:
            return Greeting.SILENCE
        if self._member.cluster.is_removed(caller):
            return Greeting.REMOVED
        self._told[caller] = url
        return Greeting.WELCOME

    def hears(self, sender: int) -> bool:
        """Whether messages of this member get through to Raft."""
        return not (self._world.network.knows_members and self._member.cluster.is_removed(sender))

    def _urls_of(self, member_id: int) -> tuple[str, ...]:
        told = self._told.get(member_id)
        return self._urls.get(member_id, ()) + (() if told is None else (told,))

    def _call_peers(self) -> None:
        connected_at_us = self._connected_at_us
        for member_id in [known for known in connected_at_us if known not in self._urls]:
            del connected_at_us[member_id]
        for member_id in self._urls:
            answer = self._call(member_id)
            if answer is Greeting.WELCOME:
                connected_at_us.setdefault(member_id, self._world.scheduler.now_us)
            elif answer is not Greeting.SILENCE:
                connected_at_us.pop(member_id, None)
            is_told = answer is Greeting.REMOVED and self._world.network.knows_members
            if is_told and not self._member.is_leaving:
                self._server.dismiss(f"{self._world.names[member_id]} says it has been removed")
                return
        self._server.later(self._server.random.randint(*_CALL_INTERVAL_US), self._call_peers)

    def _call(self, member_id: int) -> Greeting | None:
        own_id = self._member.member_id
        if not self._world.network.can_connect(own_id, member_id, self._urls_of(member_id)):
            return None
        return self._world.machines[member_id].greet(own_id, self._server.url)

    # Messages ---------------------------------------------------------------------------------
    def send(self, messages: list[Message]) -> None:
        """Sends messages; those to members without a connection are lost."""
        for message in messages:
            urls = self._urls_of(message.receiver)
            if message.kind == MessageKind.SNAPSHOT:
                self._send_snapshot(message, urls)
            else:
                lost = partial(self._member.report_unreachable, message.receiver)
                self._world.network.send(message, urls, self._report(lost))

    def _send_snapshot(self, message: Message, urls: tuple[str, ...]) -> None:
        """Sends the last commit of the store, and says where that stands: at or past the promise."""
        name = self._server.name
        data = self._server.store_copy()
        position = load_position(data)
        promised = message.snapshot
        if promised is None or position.index < promised.index:
            raise Violation(f"{name} promises a snapshot at {promised}, its store is at {position}")
        message.snapshot = position
        receiver = self._world.names[message.receiver]
        self._world.trace.tell(name, f"sends {receiver} a snapshot at entry {position.index}")

        def ended(arrived: bool) -> None:
            self._report(partial(self._member.report_snapshot_sent, message.receiver, arrived))()

        self._world.network.send_snapshot(message, urls, data, ended)

    def _report(self, event: Callable[[], None]) -> Callable[[], None]:
        """Returns what has the member told, unless its life is over by then."""
        return self._server.in_this_life(event)
