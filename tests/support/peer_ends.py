"""Real ends of the peer API on loopback, with events that only record."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

from miniraft.pb import peer_pb2
from miniraft.peer.dialing import Dialer
from miniraft.peer.handshake import LocalMember
from miniraft.peer.interface import PeerAddress
from miniraft.peer.link import LinkContext
from miniraft.peer.security import PeerTls
from miniraft.peer.server import PeerServer
from miniraft.peer.settings import PeerSettings
from miniraft.peer.transport import GrpcPeerTransport

CLUSTER_ID = 0xC1


async def eventually(condition, timeout_seconds=10):
    """Waits until `condition()` is true; fails after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: {condition}")
        await asyncio.sleep(0.005)


class End:
    """One member's transport and server; it is its own PeerEvents."""

    def __init__(self, folder: Path, member_id, *, cluster_id=CLUSTER_ID, tls=None, settings=None):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.tls = tls or PeerTls()
        self.settings = settings or PeerSettings()
        self.local = LocalMember(cluster_id, member_id, f"m{member_id}")
        self.messages, self.batches, self.unreachable, self.snapshots, self.sent = [], [], [], [], []
        self.disconnected = []
        self.refusals, self.log_lines = [], []

    async def start(self, url="http://127.0.0.1:0"):
        describe = peer_pb2.DescribeReply(member_name=self.local.name)
        self.server = PeerServer(lambda: describe, self.tls, self.settings, self.log)
        (self.url,) = await self.server.listen([url])
        self.context = LinkContext(
            self.local,
            self,
            Dialer(self.tls, self.settings),
            self.settings,
            self.log,
            on_refused=lambda member_id, refusal: self.refusals.append((member_id, refusal)),
        )
        self.transport = GrpcPeerTransport(self.context, self.server, self.folder)
        return self

    @property
    def address(self):
        return PeerAddress(self.local.member_id, self.local.name, (self.url,))

    def log(self, level, message, /, **fields):
        self.log_lines.append((level, message, fields))

    def logged(self, text):
        """The log lines that hold `text` in message or fields."""
        return [line for line in self.log_lines if text in str(line)]

    async def close(self):
        await self.transport.close()
        await self.server.close()

    # PeerEvents
    def on_messages(self, messages):
        self.batches.append(messages)
        self.messages.extend(messages)

    def on_unreachable(self, member_id):
        self.unreachable.append(member_id)

    def on_disconnected(self, member_id):
        self.disconnected.append(member_id)

    def on_snapshot_received(self, message, path):
        self.snapshots.append((message, path))

    def on_snapshot_sent(self, member_id, succeeded):
        self.sent.append((member_id, succeeded))

    async def __aenter__(self):
        return await self.start()

    async def __aexit__(self, *_):
        await self.close()


def connected(one, other):
    return one.transport.connected_since_ms(other.local.member_id) is not None


@asynccontextmanager
async def pair(folder, **options):
    """Two members, 1 and 2, connected with each other."""
    async with End(folder / "1", 1, **options) as one, End(folder / "2", 2, **options) as two:
        await join(one, two)
        yield one, two


async def join(*ends):
    """Makes the ends each other's peers and waits until all are connected."""
    for end in ends:
        end.transport.set_peers([other.address for other in ends])
    for one in ends:
        for other in ends:
            if one is not other:
                await eventually(lambda one=one, other=other: connected(one, other))
