"""The Watch service over gRPC, by the real listener."""

import time

import grpc
import pytest

from miniraft.api.options import ApiOptions
from miniraft.pb import rpc_pb2 as rpc
from miniraft.server.limits import Limits
from tests.mvcc.helpers import compact, delete_operation, put_operation
from tests.support.client_api import served
from tests.support.memory_service import MEMBER_ID, MemoryService
from tests.support.watch_client import PATIENCE_SECONDS, WatchClient


class Api:
    """The served API, its keyspace written to on the loop's own thread."""

    def __init__(self, api):
        self.api = api
        self.service = api.service
        self.channels = []

    def channel(self):
        """A channel with a connection of its own."""
        options = {"grpc.max_receive_message_length": -1, "grpc.use_local_subchannel_pool": 1}
        self.channels.append(self.api.channel(**options))
        return self.channels[-1]

    def watch(self, **options):
        return WatchClient(self.channel(), **options)

    def put(self, key, value=b"", count=1):
        def write():
            for _ in range(count):
                self.service.keyspace.put(rpc.PutRequest(key=key, value=value))

        self.api.thread.call(write)

    def txn(self, *operations):
        self.api.thread.call(self.service.keyspace.txn, rpc.TxnRequest(success=operations))

    def compact(self, revision):
        self.api.thread.call(compact, self.service.keyspace, revision)

    def hub(self, name):
        return self.api.thread.call(lambda: getattr(self.service.watches, name))


@pytest.fixture
def api(request):
    options = getattr(request, "param", {})
    limits, api_options = options.pop("limits", None), ApiOptions(**options)
    with served(MemoryService(limits), api=api_options) as served_api:
        api = Api(served_api)
        yield api
        for channel in api.channels:
            channel.close()
        assert served_api.thread.problems == []


def eventually(condition):
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_created_then_events(api):
    with api.watch() as client:
        created = client.create(b"a")
        assert created == rpc.WatchResponse(
            header=rpc.ResponseHeader(
                cluster_id=api.service.cluster_id, member_id=MEMBER_ID, revision=1, raft_term=3
            ),
            created=True,
        )
        api.put(b"a", b"1")
        response = client.next()
        assert response.header.revision == 2
        (event,) = response.events
        assert (event.type, event.kv.key, event.kv.value) == (event.PUT, b"a", b"1")
        assert (event.kv.create_revision, event.kv.mod_revision, event.kv.version) == (2, 2, 1)
        assert not event.HasField("prev_kv")


def test_a_delete_has_key_and_revision_alone_and_the_previous_pair_when_asked(api):
    with api.watch() as client:
        client.create(b"a", b"c", prev_kv=True)
        client.create(b"a", b"c")
        api.txn(put_operation(b"a", b"1"), put_operation(b"b", b"2"))
        api.txn(delete_operation(b"a"), put_operation(b"b", b"3"))
        first = [client.next(), client.next()]
        assert {response.watch_id for response in first} == {0, 1}
        assert all(len(response.events) == 2 for response in first)
        second = {response.watch_id: response for response in (client.next(), client.next())}
        delete, put = second[0].events
        assert delete.type == delete.DELETE
        assert delete.kv.mod_revision == 3
        assert (delete.kv.key, delete.kv.value, delete.kv.version, delete.kv.create_revision) == (
            b"a",
            b"",
            0,
            0,
        )
        assert (delete.prev_kv.value, put.prev_kv.value) == (b"1", b"2")
        assert not any(event.HasField("prev_kv") for event in second[1].events)


def test_answers_come_in_the_order_of_the_requests(api):
    with api.watch() as client:
        for number in range(300):
            client.ask(b"k%d" % number, b"", watch_id=0 if number % 3 else 1000 + number)
        answers = [client.next() for _ in range(300)]
    automatic = iter(range(300))
    assert [answer.watch_id for answer in answers] == [
        next(automatic) if number % 3 else 1000 + number for number in range(300)
    ]


def test_negative_ids_are_ids_like_others(api):
    with api.watch() as client:
        assert client.create(b"a", watch_id=-5).watch_id == -5
        api.put(b"a")
        assert client.next().watch_id == -5


def test_refusals_leave_the_stream_usable(api):
    with api.watch() as client:
        for options, reason in (
            ({"start_revision": -1}, "etcdserver: mvcc: required revision has been compacted"),
            ({"range_end": b"a"}, "mvcc: watcher range is empty"),
        ):
            answer = client.create(b"b", **options)
            assert (answer.created, answer.canceled, answer.watch_id) == (True, True, -1)
            assert answer.cancel_reason == reason
            assert answer.compact_revision == 0
        client.send(rpc.WatchRequest())  # nothing is asked, nothing answered
        assert client.create(b"b").watch_id == 0


def test_a_compacted_watch_is_created_and_then_cancelled(api):
    api.put(b"a", count=5)
    api.compact(4)
    with api.watch() as client:
        assert client.create(b"a", start_revision=2).created
        end = client.next()
        assert (end.canceled, end.compact_revision, end.header.revision) == (True, 4, 0)
        assert end.header.member_id == MEMBER_ID
        assert end.cancel_reason == ""


def test_cancel_and_progress(api):
    with api.watch() as client:
        client.create(b"a")
        client.create(b"b")
        client.request_progress()
        assert (client.next().watch_id, client.is_silent()) == (-1, True)
        client.cancel(1)
        answer = client.next()
        assert (answer.watch_id, answer.canceled, answer.cancel_reason) == (1, True, "")
        client.cancel(1)
        api.put(b"b")
        api.put(b"a")
        assert client.next().watch_id == 0


def test_the_end_of_the_requests_is_not_the_end_of_the_stream(api):
    with api.watch() as client:
        client.create(b"a")
        client.end_requests()
        api.put(b"a")
        assert len(client.next().events) == 1


@pytest.mark.parametrize("api", [{"watch_progress_interval_seconds": 0.1}], indirect=True)
def test_progress_is_notified_in_intervals_to_those_who_asked(api):
    with api.watch() as client:
        client.create(b"a")
        client.create(b"b", progress_notify=True)
        for _ in range(2):
            notice = client.next()
            assert (notice.watch_id, notice.header.revision, list(notice.events)) == (1, 1, [])
        api.put(b"x")
        eventually(lambda: client.next().header.revision == 2)


@pytest.mark.parametrize("api", [{"limits": Limits(max_request_bytes=1)}], indirect=True)
def test_large_responses_are_split_where_the_client_allows_it(api):
    value = b"x" * 200_000
    with api.watch() as client:
        client.create(b"a", b"z", fragment=True)
        client.create(b"a", b"z")
        operations = [put_operation(b"k%d" % number, value) for number in range(5)]
        api.txn(*operations)
        api.txn(put_operation(b"k", value * 5))
        responses = [client.next() for _ in range(6)]
    whole = [(len(r.events), r.fragment) for r in responses if r.watch_id == 1]
    parts = [(len(r.events), r.fragment, r.header.revision) for r in responses if r.watch_id == 0]
    assert whole == [(5, False), (1, False)]
    assert parts == [(2, True, 2), (2, True, 2), (1, False, 2), (1, False, 3)]


def test_no_leader_at_the_start(api):
    api.service.leader = 0
    client = api.watch(metadata=(("hasleader", "true"),))
    error = client.next()
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
    with api.watch() as other:
        assert other.create(b"a").created  # it did not ask for a leader


def test_no_leader_later_ends_the_streams_that_asked_for_one(api):
    client = api.watch(metadata=(("hasleader", "true"),))
    with api.watch() as other:
        client.create(b"a")
        other.create(b"a")
        api.api.thread.call(api.service.lose_leader)
        error = client.next()
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
        api.put(b"a")
        assert len(other.next().events) == 1
        eventually(lambda: api.hub("watcher_count") == 1)


def test_a_stream_ends_with_the_server(api):
    client = api.watch()
    client.create(b"a")
    api.api.thread.call(api.api.application.stop)
    error = client.next()
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "etcdserver: server stopped")


def test_what_is_no_request_ends_the_stream(api):
    raw = api.channel().stream_stream("/etcdserverpb.Watch/Watch")
    with pytest.raises(grpc.RpcError) as raised:
        list(raw(iter([b"\xff\xff"])))
    assert raised.value.code() == grpc.StatusCode.INTERNAL


def test_streams_that_are_cancelled_are_freed(api):
    channels = [api.channel() for _ in range(10)]  # h2corn closes a connection after 200 resets
    clients = [WatchClient(channels[number % 10], reads=False) for number in range(1000)]
    for client in clients:
        client.ask(b"a")
        client.ask(b"a", b"b", progress_notify=True)
    eventually(lambda: api.hub("watcher_count") == 2000)
    assert api.api.request_count() == 1000
    for client in clients[:500]:
        client.close()
    eventually(lambda: api.hub("watcher_count") == 1000)
    eventually(lambda: api.api.request_count() == 500)
    assert api.hub("stream_count") == 500
    for client in clients[500:]:
        client.close()
    eventually(lambda: api.api.request_count() == 0)
    assert (api.hub("stream_count"), api.hub("pending_event_count")) == (0, 0)
    assert not api.hub("_synced")


def test_a_client_that_does_not_read_is_bounded_holds_up_nobody_and_gets_everything(api):
    value = b"x" * 10_000
    slow = api.watch(reads=False)
    with api.watch() as fast:
        slow.ask(b"a")
        fast.create(b"a")
        eventually(lambda: api.hub("watcher_count") == 2)
        for _ in range(40):
            api.put(b"a", value, count=50)
            revisions = [event.kv.mod_revision for event in fast.events(50)]
        assert revisions[-1] == 2001
        assert api.hub("slow_watcher_count") == 1
        pending = api.hub("pending_event_count")
        assert 0 < pending * len(value) < 6 * 1024 * 1024
        slow.start_reading()
        assert slow.next().created
        assert [event.kv.mod_revision for event in slow.events(2000)] == list(range(2, 2002))
        eventually(lambda: api.hub("slow_watcher_count") == 0)
        api.put(b"a")
        assert len(slow.next().events) == 1
    slow.close()


def test_a_client_that_does_not_read_and_goes_away_is_freed(api):
    slow = api.watch(reads=False)
    slow.ask(b"a")
    eventually(lambda: api.hub("watcher_count") == 1)
    api.put(b"a", b"x" * 10_000, count=2000)
    eventually(lambda: api.hub("slow_watcher_count") == 1)
    slow.close()
    eventually(lambda: api.hub("stream_count") == 0)
    eventually(lambda: api.api.request_count() == 0)
    assert api.hub("pending_event_count") == 0


def test_ten_thousand_watches_on_one_member(api):
    """Put latency with and without them is printed; the bound is generous, the machine shared."""
    put = api.channel().unary_unary(
        "/etcdserverpb.KV/Put", rpc.PutRequest.SerializeToString, rpc.PutResponse.FromString
    )

    def milliseconds():
        began = time.perf_counter()
        for number in range(200):
            put(rpc.PutRequest(key=b"k%d" % (number * 50)))
        return (time.perf_counter() - began) * 5

    alone = milliseconds()
    clients = [api.watch() for _ in range(10)]
    for number in range(10_000):
        clients[number % 10].ask(b"k%d" % number)
    for client in clients:
        for _ in range(1000):
            assert client.next().created
    watched = milliseconds()
    print(f"a put took {alone:.2f} ms alone, {watched:.2f} ms with 10,000 watches")
    assert watched < 10 * alone + 5
    assert api.hub("watcher_count") == 10_000
    for client in clients:
        client.close()
    eventually(lambda: api.hub("watcher_count") == 0)
