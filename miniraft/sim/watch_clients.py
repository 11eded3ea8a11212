"""Clients that watch: each holds one stream with a few watches, somewhere, and reads what comes.

When the server goes, or the client feels like it, it goes on elsewhere from the last revision it
has seen. Some clients stop reading for a while, so that the server has to hold back. Requests and
messages of one connection arrive in order, as over TCP; what was under way when it broke arrives
in part.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from miniraft.mvcc.watch.message import NO_WATCH_ID, EventsMessage
from miniraft.pb.rpc_pb2 import WatchCreateRequest
from miniraft.sim.onlooker import Onlooker
from miniraft.sim.violation import Violation
from miniraft.sim.watch_checker import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random

    from miniraft.mvcc.watch.message import Message, Notice
    from miniraft.mvcc.watch.stream import WatchStream
    from miniraft.server.member import Member
    from miniraft.sim.server import SimServer
    from miniraft.sim.watch_checker import WatchChecker
    from miniraft.sim.world import World

_RETRY_US = 100_000  # after a server that is down
_PAUSE_US = (1_000, 200_000)  # between two connections
_THINK_US = (50_000, 1_500_000)  # between two ideas of one client
_PUSH_US = (0, 2_000)  # until the server sends what waits
_PROGRESS_US = (100_000, 500_000)  # the server's interval
_STALL_SHARE = 0.002  # of messages, after which the client reads nothing for a while
_STALL_US = (100_000, 3_000_000)
_WINDOWS = (1, 8, 64)  # messages that a connection takes without being read
_BOUNDS = (2, 16, None)  # of the messages that the server keeps; None: as many as it likes
_MOST_WATCHES = 4
_RANGES = ((b"key0", b""), (b"key", b"kez"), (b"lease", b"leasf"), (b"key1", b"\0"), (b"\0", b"\0"))


@dataclass(slots=True, eq=False)
class _Connection:
    """One stream of one client at one server."""

    server: SimServer
    life: int  # of the server
    window: int
    stream: WatchStream | None = None  # the server's end, once it is there
    asked: deque[Watch] = field(default_factory=deque)  # to be answered, in order
    watches: dict[int, Watch] = field(default_factory=dict)  # by id
    inbox: deque[Message] = field(default_factory=deque)
    in_flight: int = 0  # sent and not read
    last_arrival_us: int = 0
    stalled: bool = False
    broken: bool = False


@dataclass(slots=True, eq=False)
class _Client:
    watches: list[Watch] = field(default_factory=list)
    connection: _Connection | None = None


class WatchClients(Onlooker):
    """A few clients, each with one connection after the other."""

    def __init__(self, world: World, random: Random, checker: WatchChecker) -> None:
        self.stopped = False  # no new ideas, no more stalls
        self._world = world
        self._random = random
        self._checker = checker
        self._watch_count = 0
        self._newest_revision = 1  # that any of them has seen
        self._clients = [_Client() for _ in range(world.options.watch_clients)]

    def start(self) -> None:
        """All clients begin."""
        for client in self._clients:
            client.watches = [self._new_watch() for _ in range(self._random.randint(1, _MOST_WATCHES))]
            self._connect_later(client)
            self._think_later(client)

    def behind(self, revision: int, members: Collection[SimServer]) -> list[str]:
        """Returns the watches that have not been told of everything up to `revision`, and has them
        ask for it: elsewhere, if they are at a server that is no member any more."""
        missing: list[str] = []
        for client in self._clients:
            late = [watch for watch in client.watches if watch.next_revision <= revision]
            missing += map(str, late)
            if late and client.connection is not None:
                if client.connection.server not in members:
                    self._lose(client, client.connection)
                else:
                    self._drop_complete_watches(client.connection, revision)
                    self._request(client.connection, _request_progress)
        return missing

    # Onlooker ---------------------------------------------------------------------------------
    def crashed(self, server: SimServer) -> None:
        """The connections to this server break: sooner or later for who reads what was under way."""
        for client in self._clients:
            connection = client.connection
            if connection is not None and connection.server is server:
                self._world.scheduler.after(
                    self._random.randint(*_PAUSE_US), partial(self._lose, client, connection)
                )

    # A client's connection --------------------------------------------------------------------
    def _connect_later(self, client: _Client, delay_us: int | None = None) -> None:
        delay_us = self._random.randint(*_PAUSE_US) if delay_us is None else delay_us
        self._world.scheduler.after(delay_us, partial(self._connect, client))

    def _connect(self, client: _Client) -> None:
        running = [server for server in self._world.servers if server.running]
        if client.connection is not None:
            return
        if not running:
            self._connect_later(client, _RETRY_US)
            return
        server = self._random.choice(running)
        connection = client.connection = _Connection(server, server.life, self._random.choice(_WINDOWS))
        server.ask(lambda member, now_ms: self._open(client, connection, member))  # noqa: ARG005
        self._progress_later(connection)

    def _open(self, client: _Client, connection: _Connection, member: Member) -> None:
        """At the server: the stream begins, with all watches."""
        if connection.broken:
            return

        def ready() -> None:
            connection.server.later(self._random.randint(*_PUSH_US), partial(self._push, client, connection))

        connection.stream = member.watches.open_stream(ready, self._random.choice(_BOUNDS))
        for watch in client.watches:
            _create(connection, watch)

    def _lose(self, client: _Client, connection: _Connection) -> None:
        """The connection is over; the client looks for another server."""
        if connection.broken:
            return
        connection.broken = True
        self._request(connection, _close)
        if client.connection is connection:
            client.connection = None
            self._connect_later(client)

    def _request(self, connection: _Connection, action: Callable[[_Connection], None]) -> None:
        """Has the server do something about the connection, if it is still there."""

        def call(_member: Member, _now_ms: int) -> None:
            if connection.server.life == connection.life:
                action(connection)

        connection.server.ask(call)

    def _progress_later(self, connection: _Connection) -> None:
        """The server's timer."""

        def notify() -> None:
            if connection.stream is not None and not connection.broken:
                connection.stream.notify_progress()
                self._progress_later(connection)

        connection.server.later(self._random.randint(*_PROGRESS_US), notify)

    # Messages ---------------------------------------------------------------------------------
    def _push(self, client: _Client, connection: _Connection) -> None:
        """At the server: sends what waits, as long as the client reads."""
        stream, now_us = connection.stream, self._world.scheduler.now_us
        if stream is None or connection.broken or connection.server.life != connection.life:
            return
        while connection.in_flight < connection.window and (message := stream.take()) is not None:
            connection.in_flight += 1
            delay_us = self._random.randint(*self._world.options.delay_us)
            connection.last_arrival_us = max(connection.last_arrival_us, now_us + delay_us)
            arrive = partial(self._arrive, client, connection, message)
            self._world.scheduler.after(connection.last_arrival_us - now_us, arrive)

    def _arrive(self, client: _Client, connection: _Connection, message: Message) -> None:
        connection.inbox.append(message)
        self._read(client, connection)

    def _read(self, client: _Client, connection: _Connection) -> None:
        while connection.inbox and not connection.stalled and not connection.broken:
            self._take(connection, connection.inbox.popleft())
            connection.in_flight -= 1
            if not self.stopped and self._random.random() < _STALL_SHARE:
                self._stall(client, connection)
        if not connection.stalled and not connection.broken:
            connection.server.later(0, partial(self._push, client, connection))

    def _stall(self, client: _Client, connection: _Connection) -> None:
        def go_on() -> None:
            connection.stalled = False
            self._read(client, connection)

        connection.stalled = True
        self._world.scheduler.after(self._random.randint(*_STALL_US), go_on)

    def _take(self, connection: _Connection, message: Message) -> None:
        name = connection.server.name
        if isinstance(message, EventsMessage):
            self._checker.told(_watch_of(connection, message.watch_id), name, message)
            self._newest_revision = max(self._newest_revision, message.events[-1].revision)
        elif message.created:
            watch = connection.asked.popleft()
            connection.watches[message.watch_id] = watch
            self._checker.created(watch, message)
        elif message.canceled:
            self._cancelled(connection, message)
        elif message.watch_id == NO_WATCH_ID:
            for watch in connection.watches.values():
                self._checker.progressed(watch, name, message.revision)
        else:
            self._checker.progressed(_watch_of(connection, message.watch_id), name, message.revision)

    def _cancelled(self, connection: _Connection, notice: Notice) -> None:
        watch = _watch_of(connection, notice.watch_id)
        del connection.watches[notice.watch_id]
        if not notice.compact_revision:
            return  # as the client wished
        self._world.trace.tell(
            connection.server.name, f"cancels {watch}, compacted at {notice.compact_revision}"
        )
        self._checker.compacted(watch, connection.server.name, notice.compact_revision)
        watch.next_revision = notice.compact_revision
        self._request(connection, partial(_create, watch=watch))

    # Ideas ------------------------------------------------------------------------------------
    def _think_later(self, client: _Client) -> None:
        self._world.scheduler.after(self._random.randint(*_THINK_US), partial(self._think, client))

    def _think(self, client: _Client) -> None:
        if self.stopped:
            return
        self._think_later(client)
        connection = client.connection
        if connection is None:
            return
        idea = self._random.random()
        if idea < 0.3:
            self._lose(client, connection)
        elif idea < 0.6:
            self._request(connection, _request_progress)
        else:
            self._begin_another(client, connection)

    def _begin_another(self, client: _Client, connection: _Connection) -> None:
        """Cancels a watch and begins another one instead."""
        wanted = [watch_id for watch_id, watch in connection.watches.items() if watch in client.watches]
        if not wanted:
            return  # none has been answered yet
        watch_id = self._random.choice(wanted)
        client.watches.remove(connection.watches[watch_id])
        watch = self._new_watch()
        client.watches.append(watch)
        self._request(connection, partial(_cancel, watch_id=watch_id))
        self._request(connection, partial(_create, watch=watch))

    def _drop_complete_watches(self, connection: _Connection, revision: int) -> None:
        """One that begins behind `revision` would keep the stream from telling its progress."""
        for watch_id, watch in connection.watches.items():
            if watch.next_revision > revision:
                self._request(connection, partial(_cancel, watch_id=watch_id))

    def _new_watch(self) -> Watch:
        random, newest = self._random, self._newest_revision
        self._watch_count += 1
        key, end = random.choice(_RANGES)
        start = random.choice(
            (0, 0, random.randint(1, newest), max(newest - 20, 1), newest + random.randint(1, 20))
        )
        return Watch(
            self._watch_count,
            key,
            end,
            keeps_puts=random.random() < 0.9,
            keeps_deletes=random.random() < 0.9,
            with_previous=random.random() < 0.5,
            wants_progress=random.random() < 0.5,
            next_revision=start,
        )


def _watch_of(connection: _Connection, watch_id: int) -> Watch:
    watch = connection.watches.get(watch_id)
    if watch is None:
        raise Violation(
            f"{connection.server.name} tells of watch id {watch_id}, which is not there or has ended"
        )
    return watch


def _create(connection: _Connection, watch: Watch) -> None:
    request = WatchCreateRequest(
        key=watch.key,
        range_end=watch.end,
        start_revision=watch.next_revision,
        prev_kv=watch.with_previous,
        progress_notify=watch.wants_progress,
    )
    if not watch.keeps_puts:
        request.filters.append(WatchCreateRequest.NOPUT)
    if not watch.keeps_deletes:
        request.filters.append(WatchCreateRequest.NODELETE)
    if connection.stream is not None and not connection.broken:
        connection.asked.append(watch)
        connection.stream.create(request)


def _cancel(connection: _Connection, watch_id: int) -> None:
    if connection.stream is not None and not connection.broken:
        connection.stream.cancel(watch_id)


def _request_progress(connection: _Connection) -> None:
    if connection.stream is not None and not connection.broken:
        connection.stream.request_progress()


def _close(connection: _Connection) -> None:
    if connection.stream is not None:
        connection.stream.close()
