"""The life of a member as a process: start in order, serve, hand over, stop.

Order of the start: data folder, client and peer ports, peer API (which answers Describe while
the member still finds its cluster, so that members that start together find each other), log
and keyspace, member, streams to the peers, clients once the member is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from miniraft.api.metrics import KeyspaceFigures, Metrics
from miniraft.errors import EtcdError
from miniraft.pb import peer_pb2
from miniraft.peer.dialing import Dialer
from miniraft.peer.handshake import LocalMember
from miniraft.peer.link import LinkContext
from miniraft.peer.server import PeerListenError, PeerServer
from miniraft.peer.settings import PeerSettings
from miniraft.peer.transport import GrpcPeerTransport
from miniraft.raft.invariant import InvariantViolation
from miniraft.runtime import assembly, log, systemd
from miniraft.runtime.bootstrap import begin
from miniraft.runtime.client_side import ClientSide
from miniraft.runtime.compaction_check import CompactionCheck
from miniraft.runtime.corruption_check import CorruptDataError, check_before_serving, check_periodically
from miniraft.runtime.data_dir import DataFolder, DataFolderError
from miniraft.runtime.listener import ListenError
from miniraft.runtime.lmdb_store import StoreRefused
from miniraft.runtime.node import Node
from miniraft.runtime.ports import PortError, check_can_listen
from miniraft.runtime.readiness import hasten_first_election, verify_peers, wait_until_ready
from miniraft.runtime.self_signed import SelfSignedError, with_self_signed
from miniraft.runtime.tls import exposed_keys, peer_tls
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.member_figures import MemberFigures
from miniraft.server.restore import RestoreError, restore_member
from miniraft.version import SERVER_VERSION
from miniraft.wal.interface import WalError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from miniraft.peer.security import PeerTls
    from miniraft.runtime.bootstrap import Beginning
    from miniraft.runtime.config import ServerConfig
    from miniraft.server.member import Member

_POLL_SECONDS = 0.05
_GC_THRESHOLDS = (50_000, 20, 100)
_START_ERRORS = (
    BootstrapError,
    DataFolderError,
    InvariantViolation,
    ListenError,
    OSError,
    PeerListenError,
    PortError,
    RestoreError,
    SelfSignedError,
    StoreRefused,
    ValueError,
    WalError,
)


class StartError(Exception):
    """A member cannot start. The message says why, and what to do."""


class _Parts(NamedTuple):
    """What a running member consists of."""

    node: Node
    transport: GrpcPeerTransport
    clients: ClientSide
    metrics: Metrics


class RunningServer:
    """One member, serving. Made by `start_server`, or piece by piece by `run_server`."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._tls: PeerTls = peer_tls(config)  # until `prepare` has made what the flags ask for
        self._resources = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: _Parts | None = None
        self._peer_urls: tuple[str, ...] = ()

    # What it is ----------------------------------------------------------------------------
    @property
    def node(self) -> Node:
        """The member's driver."""
        return self._running().node

    @property
    def transport(self) -> GrpcPeerTransport:
        """The connections to the other members."""
        return self._running().transport

    @property
    def client_urls(self) -> list[str]:
        """The URLs clients reach, with the ports really taken."""
        return self._running().clients.urls

    @property
    def peer_urls(self) -> tuple[str, ...]:
        """The URLs the peer API is served on, with the ports really taken."""
        return self._peer_urls

    # Start ---------------------------------------------------------------------------------
    async def prepare(self) -> None:
        """Starts everything but the client API. Raises StartError; then nothing is left running."""
        try:
            await self._prepare()
        except _START_ERRORS as error:
            await self._resources.aclose()
            raise StartError(str(error)) from error
        except BaseException:
            await self._resources.aclose()
            raise

    async def serve(self) -> bool:
        """Waits until the member is ready and serves clients; False when it stopped before."""
        parts = self._running()
        if not await wait_until_ready(parts.node, parts.transport, self._config):
            return False
        if self._config.feature("InitialCorruptCheck"):
            try:
                await check_before_serving(parts.node, parts.transport)
            except (CorruptDataError, EtcdError) as error:
                parts.node.fail(str(error))
                return False
        log.event("info", "ready to serve client requests")
        await parts.clients.start(parts.node, parts.metrics)
        return True

    async def _prepare(self) -> None:
        config = self._config
        wal_folder = Path(config.wal_dir) if config.wal_dir else None
        folder = DataFolder(Path(config.data_folder), wal_folder)
        self._resources.callback(folder.release)
        config = with_self_signed(config, folder.root)
        self._tls = peer_tls(config)
        for warning in exposed_keys(config):
            log.event("warn", warning)
        clients = ClientSide(config)
        clients.bind()
        self._resources.push_async_callback(clients.stop)
        peer_server = await self._listen_to_peers(config)
        config = self._config = _with_real_ports(config, self._peer_urls, clients.urls)
        beginning = await begin(config, folder, self._tls)
        metrics = Metrics(extensive=config.metrics == "extensive")
        metrics.member = MemberFigures(time.perf_counter, config.warning_apply_duration_seconds)
        member = self._restore(config, beginning, metrics.member)
        node = Node(
            member,
            beginning.wal,
            folder,
            assembly.limits(config),
            assembly.node_settings(config),
            metrics.storage,
        )
        self._resources.push_async_callback(node.stop)
        transport = self._connect(node, peer_server, folder)
        metrics.keyspace = lambda: _keyspace_figures(node)
        metrics.leases = node.member.lease_counters
        metrics.peers = transport.statistics
        self._parts = _Parts(node, transport, clients, metrics)
        node.start(transport, frozenset(beginning.unverified_peers))
        self._run_beside(verify_peers(node, beginning, self._tls))
        if config.corrupt_check_time_seconds:
            self._run_beside(check_periodically(node, transport, config.corrupt_check_time_seconds))
        if config.feature("CompactHashCheck"):
            check = CompactionCheck(node, transport)
            self._run_beside(check.run(config.compact_hash_check_time_seconds))
        if config.initial_election_tick_advance:
            self._run_beside(hasten_first_election(node, transport, config.election_ticks))
        await clients.start_monitoring(node, metrics)

    async def _listen_to_peers(self, config: ServerConfig) -> PeerServer:
        for url in config.listen_peer_urls:
            check_can_listen(url, "--listen-peer-urls")
        server = PeerServer(self._describe, self._tls, PeerSettings(), _peer_log)
        self._resources.push_async_callback(server.close)
        self._peer_urls = await server.listen(config.listen_peer_urls)
        for url in self._peer_urls:
            log.event("info", "serving peer traffic", address=url)
        return server

    def _describe(self) -> peer_pb2.DescribeReply:
        if self._parts is None:
            return peer_pb2.DescribeReply(member_name=self._config.name, server_version=SERVER_VERSION)
        return self._parts.node.describe()

    def _restore(self, config: ServerConfig, beginning: Beginning, figures: MemberFigures) -> Member:
        try:
            member = restore_member(
                assembly.member_config(config, beginning.cluster_id, beginning.member_id, beginning.life),
                beginning.recovered,
                beginning.store,
                SystemRandom(),
                assembly.first_request_id(beginning.member_id),
                int(time.monotonic() * 1000),
                figures,
            )
            if beginning.assumed_members:
                member.cluster.assume(beginning.assumed_members)
        except BaseException:
            beginning.wal.close()
            beginning.store.close()
            raise
        return member

    def _connect(self, node: Node, server: PeerServer, folder: DataFolder) -> GrpcPeerTransport:
        settings = PeerSettings()
        context = LinkContext(
            LocalMember(
                node.cluster_id,
                node.member_id,
                self._config.name,
                is_removed=node.member.cluster.is_removed,
                peer_urls=tuple(self._config.initial_advertise_peer_urls),
            ),
            node,
            Dialer(self._tls, settings),
            settings,
            _peer_log,
            on_refused=node.on_refused,
        )
        return GrpcPeerTransport(context, server, folder.snapshots)

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Stop ----------------------------------------------------------------------------------
    async def stop(self, *, hand_over: bool = True) -> None:
        """Hands leadership over if this member leads others, ends all connections, closes the files."""
        for task in list(self._tasks):
            task.cancel()
        if hand_over and self._parts is not None:
            await self._hand_over(self._parts)
        await self._resources.aclose()

    async def _hand_over(self, parts: _Parts) -> None:
        node = parts.node
        raft = node.member.raft
        if node.stopped.done() or node.leader != node.member_id:
            return
        candidates = [
            view
            for view in raft.progress()
            if view.member_id != node.member_id
            and not view.is_learner
            and parts.transport.connected_since_ms(view.member_id) is not None
        ]
        if not candidates:
            return
        target = max(candidates, key=lambda view: view.match).member_id
        log.event("info", "handing leadership over before stopping", target=node.name_of(target))
        transfer = node.transfer_leadership(target)
        # No longer than Raft itself tries, and not to one that is going away too.
        until = time.monotonic() + self._config.election_timeout_ms / 1000
        while time.monotonic() < until and parts.transport.connected_since_ms(target) is not None:
            if (await asyncio.wait([transfer], timeout=_POLL_SECONDS))[0]:
                break
        error = transfer.exception() if transfer.done() else "not taken in time"
        if error is not None:
            log.event("warn", "leadership was not handed over", error=str(error))

    def _running(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("the server has not been started")
        return self._parts


async def start_server(config: ServerConfig) -> RunningServer:
    """Starts a member in this event loop and returns it when it serves clients.

    Port 0 takes any free port. Raises StartError.
    """
    server = RunningServer(config)
    await server.prepare()
    try:
        serving = await server.serve()
    except BaseException:
        await server.stop(hand_over=False)
        raise
    if not serving:
        reason = server.node.stopped.result()
        await server.stop(hand_over=False)
        raise StartError(reason)
    return server


async def run_server(config: ServerConfig) -> int:
    """Runs a member until it is told to stop; returns the process's exit code."""
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, told_to_stop)
    log.event("info", "starting", version=SERVER_VERSION, name=config.name, data_dir=config.data_folder)
    server = RunningServer(config)
    prepared = loop.create_task(server.prepare())
    if not await _first(prepared, told_to_stop):
        prepared.cancel()
        await asyncio.wait([prepared])
        return 0
    try:
        prepared.result()
    except StartError as error:
        log.event("fatal", "cannot start", error=str(error))
        return 1
    return await _serve_until_told(server, told_to_stop)


async def _serve_until_told(server: RunningServer, told_to_stop: asyncio.Event) -> int:
    serving = asyncio.get_running_loop().create_task(server.serve())
    failed = server.node.stopped
    if await _first(serving, told_to_stop):
        try:
            if serving.result():
                _tune_garbage_collection()
                systemd.notify("READY=1")
        except (ListenError, OSError) as error:
            log.event("fatal", "cannot serve clients", error=str(error))
            await server.stop()
            return 1
        await _first(failed, told_to_stop)
    else:
        serving.cancel()
        await asyncio.wait([serving])
    systemd.notify("STOPPING=1")
    reason = failed.result() if failed.done() else ""
    await server.stop(hand_over=not reason)
    if reason:
        log.event("fatal", "stopped", error=reason)
        return 1
    log.event("info", "stopped")
    return 0


async def _first(work: asyncio.Future[Any], told_to_stop: asyncio.Event) -> bool:
    """Waits for either; returns whether it was the work."""
    stop = asyncio.get_running_loop().create_task(told_to_stop.wait())
    await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    return work.done()


def _on_signal(number: signal.Signals, told_to_stop: asyncio.Event) -> None:
    if not told_to_stop.is_set():
        log.event("info", "received signal; shutting down", signal=number.name)
        told_to_stop.set()


def _peer_log(level: str, message: str, /, **fields: Any) -> None:
    log.event(level, message, logger="peer", **fields)


def _with_real_ports(
    config: ServerConfig, peer_urls: tuple[str, ...], client_urls: list[str]
) -> ServerConfig:
    """Puts the ports that were really taken in the place of port 0 in what is advertised."""
    changes: dict[str, Any] = {}
    if any(_is_any_port(url) for url in config.initial_advertise_peer_urls):
        changes["initial_advertise_peer_urls"] = peer_urls
    if any(_is_any_port(url) for url in config.advertise_client_urls):
        changes["advertise_client_urls"] = tuple(client_urls)
    return replace(config, **changes) if changes else config


def _is_any_port(url: str) -> bool:
    return urlsplit(url).port == 0


def _keyspace_figures(node: Node) -> KeyspaceFigures:
    keyspace = node.member.keyspace
    return KeyspaceFigures(keyspace.key_count, keyspace.revision, keyspace.compact_revision)


def _tune_garbage_collection() -> None:
    """What is there after the start stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
