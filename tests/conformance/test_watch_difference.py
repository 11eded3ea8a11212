"""The same history watched in the same ways on the real etcd and on ours: the same events and answers.

Each example has four streams, by gRPC and by JSON on either server. It goes in phases. Within a
phase a watch may be behind, and when it catches up is a server's own affair; at its end all have
been told everything, and what they were told must be the same.
"""

import contextlib
import queue
import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.examples import examples
from tests.conformance.requests import mixed
from tests.conformance.server import (
    GRPC,
    JSON,
    JSON_OTHERWISE,
    WAYS,
    anonymous,
    both_running,
    same,
    ways,
)
from tests.mvcc.helpers import delete_operation, put_operation
from tests.support.watch_client import PATIENCE_SECONDS

KEYS = [b"a", b"b", b"ba", b"c", b"d"]
RANGES = [
    *((key, b"") for key in KEYS),
    (b"a", b"c"),
    (b"b", b"bb"),
    (b"b", b"\0"),
    (b"\0", b"\0"),
    (b"", b""),
    (b"", b"\0"),
    (b"c", b"b"),
    (b"c", b"c"),
]
OWN_KEY = b"own"  # of a watch that every stream has, or progress would not be answered
_FLAGS = (
    *("--max-request-bytes", "65536"),  # responses may be half a megabyte larger, or come in fragments
    *("--experimental-watch-progress-notify-interval", "100ms"),
)


# What is done ---------------------------------------------------------------------------------
class Create(NamedTuple):
    """A watch that begins at a given revision, or so far from the current one."""

    options: dict
    start: int
    offset: int | None


class Phase(NamedTuple):
    compact_back: int | None  # how many revisions before the current one
    cancelled: list
    changes: list  # of (request, way) and Create


_filters = [rpc.WatchCreateRequest.NOPUT, rpc.WatchCreateRequest.NODELETE]
_options = st.builds(
    lambda keys, **options: dict(zip(("key", "range_end"), keys, strict=True), **options),
    st.sampled_from(RANGES),
    prev_kv=st.booleans(),
    fragment=st.booleans(),
    progress_notify=st.booleans(),
    watch_id=st.sampled_from([0, 0, 0, 1, 2, 7, -3]),
    filters=st.sampled_from([[], [], [], _filters[:1], _filters[1:], _filters]),
)
_creates = mixed(
    (3, st.builds(Create, _options, st.just(0), st.none())),
    (3, st.builds(Create, _options, st.just(0), st.integers(-40, 4))),
    (1, st.builds(Create, _options, st.sampled_from([1, -1, -9]), st.none())),
)
_values = st.binary(max_size=3)
_writes = mixed(
    (6, st.builds(rpc.PutRequest, key=st.sampled_from(KEYS), value=_values)),
    (
        3,
        st.builds(rpc.DeleteRangeRequest, key=st.sampled_from(KEYS), range_end=st.sampled_from([b"", b"c"])),
    ),
    (
        2,
        st.builds(
            lambda value: rpc.TxnRequest(
                success=[put_operation(b"a", value), delete_operation(b"b", b"c"), put_operation(b"d", value)]
            ),
            _values,
        ),
    ),
)
_phases = st.builds(
    Phase,
    compact_back=mixed((2, st.none()), (1, st.integers(-1, 20))),
    cancelled=st.lists(st.sampled_from([1, 2, 3, 4, 7, -3, 99]), max_size=2),
    changes=st.lists(mixed((1, _creates), (3, st.tuples(_writes, ways))), min_size=5, max_size=30),
)


# What comes back ------------------------------------------------------------------------------
class Stream:
    """What one stream was told, sorted by watch."""

    def __init__(self, client):
        self._client = client
        self.created = []
        self.ended = {}
        self.events = {}
        self._open = set()
        self._compacted = set()
        self._progress = 0
        self.create(key=OWN_KEY)

    def create(self, **options):
        """Returns once it is answered."""
        count = len(self.created)
        self._client.ask(**options)
        while len(self.created) == count:
            self._note(self._client.next())

    def cancel(self, watch_id):
        """Returns once it is answered, which it is not unless there is such a watch."""
        self._client.cancel(watch_id)
        while watch_id in self._open:
            self._note(self._client.next())

    def settle(self, revision):
        """Returns once all watches were told everything: only then progress is answered."""
        self._client.send(rpc.WatchRequest())  # asks for nothing, and gets it
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._progress < revision:
            assert time.monotonic() < deadline
            self._client.request_progress()
            with contextlib.suppress(queue.Empty):
                while self._progress < revision:
                    self._note(self._client.next(0.02))
        assert self._progress == revision

    def _note(self, response):
        anonymous(response)
        if response.created:
            self.created.append(response)
            if not response.canceled:
                self._open.add(response.watch_id)
                self._compacted.discard(response.watch_id)
        elif response.canceled:
            self._note_end(response)
        elif response.events:
            # How many revisions come in one response while catching up is the server's choice.
            assert response.header.revision >= response.events[-1].kv.mod_revision
            self.events.setdefault(response.watch_id, []).extend(response.events)
        elif response.watch_id == -1:
            self._progress = response.header.revision

    def _note_end(self, response):
        """After a compaction etcd wants a watch cancelled all the same, or it answers no progress."""
        if response.compact_revision:
            self._client.cancel(response.watch_id)
            self._compacted.add(response.watch_id)
        elif response.watch_id in self._compacted:
            self._compacted.remove(response.watch_id)  # the answer to that, which ours does not give
            return
        self._open.remove(response.watch_id)
        self.ended.setdefault(response.watch_id, []).append(response)


@contextlib.contextmanager
def streams(servers, way):
    """Opens a stream on either server."""
    with contextlib.ExitStack() as stack:
        yield [Stream(stack.enter_context(server.watch(way))) for server in servers]


class Example:
    """Both servers, which stay at the same revision, and their streams."""

    def __init__(self, servers, pairs):
        self._servers = servers
        self._pairs = pairs
        self._furthest_start = 0
        self._revision = self._write(rpc.PutRequest(key=OWN_KEY))
        self._compacted_to = self._revision  # perhaps, by the examples before

    def run(self, phase):
        if phase.compact_back is not None:
            revision = max(1, self._revision - phase.compact_back)
            same(self._servers, rpc.CompactionRequest(revision=revision, physical=True))
            self._compacted_to = max(revision, self._compacted_to)
        for pair in self._pairs:
            for stream in pair:
                for watch_id in phase.cancelled:
                    stream.cancel(watch_id)
        for change in phase.changes:
            if isinstance(change, Create):
                self._create(change)
            else:
                self._revision = self._write(*change)
        self._settle()
        for real, ours in self._pairs:
            assert ours.created == real.created
            assert ours.ended == real.ended
            assert ours.events == real.events

    def _write(self, request, way=GRPC):
        return same(self._servers, request, way).header.revision

    def _create(self, wanted):
        start = wanted.start if wanted.offset is None else max(1, self._revision + wanted.offset)
        self._furthest_start = max(self._furthest_start, start)
        for pair in self._pairs:
            for stream in pair:
                stream.create(**wanted.options, start_revision=start)
        if 0 < start <= self._compacted_to:
            self._settle()  # or its id would be free again on one server earlier than on the other

    def _settle(self):
        """Writes, so that progress is news, and until no watch waits for a revision to come."""
        self._revision = self._write(rpc.PutRequest(key=OWN_KEY))
        while self._revision <= self._furthest_start:
            self._revision = self._write(rpc.PutRequest(key=OWN_KEY))
        for pair in self._pairs:
            for stream in pair:
                stream.settle(self._revision)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with both_running(tmp_path_factory.mktemp("watch"), *_FLAGS) as pair:
        yield pair


@pytest.fixture
def level(servers):
    return at_one_revision(servers)


def at_one_revision(servers):
    """Brings both to one revision, wherever a failed example has left them."""
    put = rpc.PutRequest(key=OWN_KEY)
    revisions = [server.call(put).header.revision for server in servers]
    while revisions[0] != revisions[1]:
        behind = revisions.index(min(revisions))
        revisions[behind] = servers[behind].call(put).header.revision
    return servers


def test_the_same_events(servers):
    @examples(30)
    @given(st.lists(_phases, min_size=2, max_size=6), st.sampled_from([JSON, JSON_OTHERWISE]))
    def run(phases, json):
        at_one_revision(servers)
        with streams(servers, GRPC) as by_grpc, streams(servers, json) as by_json:
            example = Example(servers, [by_grpc, by_json])
            for phase in phases:
                example.run(phase)

    run()


# Responses one by one -------------------------------------------------------------------------
def test_live_responses_are_the_same_one_by_one(level):
    """Those who are up to date get one response a revision, with the event's revision in the header."""

    @contextlib.contextmanager
    def watching(way):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.watch(way)) for server in level]
            for client in clients:
                client.create(b"\0", b"\0", prev_kv=True)
                client.create(b"a", b"b", filters=[rpc.WatchCreateRequest.NODELETE])
            yield clients

    def until_own(client):
        """In the order of revisions: of one revision, the watches are told in any order."""
        responses = []
        while not responses or responses[-1].events[-1].kv.key != OWN_KEY:
            responses.append(anonymous(client.next()))
        return sorted(responses, key=lambda response: (response.header.revision, response.watch_id))

    @examples(100)
    @given(_writes, ways)
    def run(write, way):
        same(level, write, way)
        same(level, rpc.PutRequest(key=OWN_KEY))
        for real, ours in pairs:
            assert until_own(ours) == until_own(real)

    with watching(GRPC) as by_grpc, watching(JSON) as by_json:
        pairs = [by_grpc, by_json]
        run()


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_stream_by_post(level, way):
    """Its requests go out whole; each response is a line."""
    create = rpc.WatchCreateRequest(key=b"post", watch_id=5, prev_kv=True)
    requests = [
        rpc.WatchRequest(create_request=create),
        rpc.WatchRequest(create_request=create),
        rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"b", range_end=b"a")),
        rpc.WatchRequest(),
        rpc.WatchRequest(create_request=rpc.WatchCreateRequest(start_revision=-1)),
        rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"post", range_end=b"\0")),
        rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=99)),
        rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=0)),
    ]
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(contextlib.closing(server.responses(requests, way))) for server in level
        ]

        def next_of_both():
            real, ours = (anonymous(next(stream)) for stream in streams)
            assert ours == real
            return ours

        answers = [next_of_both() for _ in range(6)]
        assert [answer.watch_id for answer in answers] == [5, -1, -1, -1, 0, 0]
        for value in (b"old", b"new"):
            same(level, rpc.PutRequest(key=b"post", value=value), way)
            assert next_of_both().events[0].kv.value == value


@pytest.mark.parametrize("fragment", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_responses_that_are_too_large(level, way, fragment):
    """Several revisions while catching up, or one: they come in fragments if the client allows it."""
    keys = [b"large%x" % number for number in range(12)]
    revisions = [same(level, rpc.PutRequest(key=key, value=b"x" * 60_000)).header.revision for key in keys]
    received = []
    for server in level:
        with server.watch(way) as client:
            large = {"key": b"large", "range_end": b"largf"}
            client.create(**large, start_revision=revisions[0], prev_kv=True, fragment=fragment)
            responses = [client.next() for _ in range(1 + fragment)]
            server.call(rpc.DeleteRangeRequest(**large))
            responses += [client.next() for _ in range(1 + fragment)]
            received.append(anonymous(responses))
    real, ours = received
    assert [response.fragment for response in ours] == 2 * ([True, False] if fragment else [False])
    assert sum(len(response.events) for response in ours) == 2 * len(keys)
    assert ours == real


@pytest.mark.parametrize("way", WAYS)
def test_progress_that_is_asked_for(level, way):
    """It is told of streams with watches, none of which waits for a revision to come."""
    revision = same(level, rpc.PutRequest(key=OWN_KEY)).header.revision
    received = []
    for server in level:
        with server.watch(way) as client:
            client.request_progress()
            responses = [client.create(b"quiet")]
            client.request_progress()
            responses.append(client.next())
            responses.append(client.create(b"quiet", start_revision=revision + 2))
            for _ in range(2):
                client.request_progress()
                responses.append(client.create(b"quiet"))
                server.call(rpc.PutRequest(key=OWN_KEY))
            client.request_progress()
            responses.append(client.next())
            received.append(anonymous(responses))
    real, ours = received
    assert [response.watch_id for response in ours] == [0, -1, 1, 2, 3, -1]
    assert ours == real


@pytest.mark.parametrize("way", WAYS)
def test_progress_of_quiet_watches(level, way):
    """It is told at intervals to those who asked for it."""
    noticed = []
    for server in level:
        with server.watch(way) as client:
            client.create(b"quiet", progress_notify=True, watch_id=3)
            client.create(b"quiet")
            noticed.append([anonymous(client.next()) for _ in range(3)])
    real, ours = noticed
    assert [notice.watch_id for notice in ours] == [3, 3, 3]
    assert ours == real
