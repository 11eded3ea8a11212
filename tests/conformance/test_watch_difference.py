"""The same history watched in the same ways on the real etcd and on ours: the same events."""

import itertools
import queue
import random
import sys
import time

import grpc
import pytest

from miniraft.pb import rpc_pb2 as rpc
from tests.mvcc.helpers import delete_operation, put_operation
from tests.support.real_etcd import running_etcd
from tests.support.server_under_test import running_server
from tests.support.watch_client import WatchClient

KEYS = [b"a", b"b", b"ba", b"c", b"d"]
RANGES = [
    *((key, b"") for key in KEYS),
    (b"a", b"c"),
    (b"b", b"bb"),
    (b"b", b"\0"),
    (b"\0", b"\0"),
    (b"", b""),
]
METHODS = {
    rpc.PutRequest: ("Put", rpc.PutResponse),
    rpc.DeleteRangeRequest: ("DeleteRange", rpc.DeleteRangeResponse),
    rpc.TxnRequest: ("Txn", rpc.TxnResponse),
    rpc.CompactionRequest: ("Compact", rpc.CompactionResponse),
}
END = b"\xffend"  # written last: its event ends each comparison


class Server:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)

    def call(self, request):
        name, response = METHODS[type(request)]
        method = self.channel.unary_unary(
            f"/etcdserverpb.KV/{name}", type(request).SerializeToString, response.FromString
        )
        return method(request, timeout=10)


@pytest.fixture
def servers(tmp_path):
    """A real etcd and a member of ours, both without a history."""
    program = (sys.executable, "-m", "miniraft")
    with running_etcd(tmp_path) as real, running_server(tmp_path / "ours", program=program) as ours:
        pair = Server(real), Server(ours)
        yield pair
        for server in pair:
            server.channel.close()


def outcome(server, request):
    """The code a request ends with."""
    try:
        server.call(request)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def random_write(generator):
    key, value = generator.choice(KEYS), generator.randbytes(generator.randrange(4))
    put = rpc.PutRequest(key=key, value=value)
    delete = rpc.DeleteRangeRequest(key=generator.choice(KEYS), range_end=generator.choice([b"", b"c"]))
    txn = rpc.TxnRequest(
        success=[put_operation(b"a", value), delete_operation(b"b", b"c"), put_operation(b"d", value)]
    )
    return generator.choices([put, delete, txn], [6, 3, 2])[0]


def random_watch(generator, revision):
    key, end = generator.choice(RANGES)
    return rpc.WatchCreateRequest(
        key=key,
        range_end=end,
        start_revision=generator.choice([0, 0, generator.randint(1, revision + 5)]),
        prev_kv=generator.random() < 0.5,
        filters=generator.choice([[], [], [rpc.WatchCreateRequest.NOPUT], [rpc.WatchCreateRequest.NODELETE]]),
        fragment=generator.random() < 0.2,
    )


def comparable(response):
    """A response without what differs from member to member.

    When a compaction ends a watch we say so in words, too; etcd does not.
    """
    header = response.header
    for name in ("cluster_id", "member_id", "raft_term"):
        header.ClearField(name)
    if response.compact_revision:
        response.ClearField("cancel_reason")
    return response


class Watcher:
    """Many watches on one stream; `until_end` sorts what came by watch."""

    def __init__(self, server, requests):
        self.client = WatchClient(server.channel)
        self.created = []
        self.notices = {}
        self.events = {}
        for request in requests:
            self.client.send(rpc.WatchRequest(create_request=request))
        while len(self.created) < len(requests):
            self._take()

    def _take(self):
        self.note(self.client.next())

    def note(self, response):
        comparable(response)
        if response.created:
            self.created.append(response)
        elif response.events:
            # How many revisions come in one response while catching up is the server's choice.
            self.events.setdefault(response.watch_id, []).extend(response.events)
        else:
            self.notices.setdefault(response.watch_id, []).append(response)

    def until_end(self, watch_id):
        while not self.events.get(watch_id) or self.events[watch_id][-1].kv.key != END:
            self._take()


def run_history(pair, generator, watchers, writes):
    revision = 1
    for _ in range(writes):
        write = random_write(generator)
        answers = {server.call(write).header.revision for server in pair}
        (revision,) = answers
        if generator.random() < 0.03:
            requests = [random_watch(generator, revision) for _ in range(generator.randint(1, 4))]
            # The last one sees all there is to come; in the order of a stream it hears of the end last.
            requests.append(rpc.WatchCreateRequest(key=END))
            watchers.append([Watcher(server, requests) for server in pair])
        if generator.random() < 0.01:
            time.sleep(0.25)  # etcd looks after those who are behind every 100 ms; then nobody is
            compaction = rpc.CompactionRequest(revision=generator.randint(max(1, revision - 20), revision))
            assert len({outcome(server, compaction) for server in pair}) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_events(servers, seed):
    generator = random.Random(seed)
    watchers = []
    run_history(servers, generator, watchers, 400)
    for server in servers:
        server.call(rpc.PutRequest(key=END))
    assert len(watchers) > 3
    for watcher in itertools.chain(*watchers):
        watcher.until_end(len(watcher.created) - 1)
    time.sleep(0.3)  # some may still catch up, and be told after the one that ends each stream
    events = 0
    for real, ours in watchers:
        take_rest(real)
        take_rest(ours)
        assert ours.created == real.created
        assert ours.notices == real.notices
        assert ours.events == real.events
        events += sum(map(len, ours.events.values()))
        for watcher in (real, ours):
            watcher.client.close()
    assert events > 500


def take_rest(watcher):
    while True:
        try:
            watcher.note(watcher.client.next(0.01))
        except queue.Empty:
            return


def test_live_responses_are_the_same_one_by_one(servers):
    """Those who are up to date get one response a revision, with the event's revision in the header."""
    requests = [
        rpc.WatchCreateRequest(key=b"\0", range_end=b"\0", prev_kv=True),
        rpc.WatchCreateRequest(key=b"a", range_end=b"b", filters=[rpc.WatchCreateRequest.NODELETE]),
    ]
    clients = [Watcher(server, requests).client for server in servers]
    generator = random.Random(4)
    for _ in range(100):
        write = random_write(generator)
        before = {server.call(rpc.PutRequest(key=b"e")).header.revision for server in servers}
        after = {server.call(write).header.revision for server in servers}
        for client, server in zip(clients, servers, strict=True):
            server.call(rpc.PutRequest(key=END))
            client.responses = []
            while not client.responses or client.responses[-1].events[-1].kv.key != END:
                client.responses.append(comparable(client.next()))
        assert len(before) == len(after) == 1
        real, ours = (sorted(c.responses, key=lambda r: (r.header.revision, r.watch_id)) for c in clients)
        assert ours == real
    for client in clients:
        client.close()
