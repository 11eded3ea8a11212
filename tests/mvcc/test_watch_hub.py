"""What watchers are told: new changes, history, and the end."""

import pytest

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.watch import stream as stream_module
from miniraft.mvcc.watch.message import EventsMessage, Notice
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue
from tests.mvcc.helpers import compact, delete, delete_operation, put, put_operation
from tests.mvcc.watching import NODELETE, NOPUT, Client, catch_up, new_hub

COMPACTED = "etcdserver: mvcc: required revision has been compacted"


@pytest.fixture
def small_streams(monkeypatch):
    """Streams that are full after four messages."""
    monkeypatch.setattr(stream_module, "MOST_MESSAGES", 4)


def txn(keyspace, *operations):
    return keyspace.txn(rpc.TxnRequest(success=operations))


# New changes ----------------------------------------------------------------------------------


def test_a_watcher_is_told_of_its_key_from_the_next_revision_on():
    keyspace, hub = new_hub()
    put(keyspace, b"a", b"before")
    client = Client(hub)
    client.watch(b"a")
    put(keyspace, b"a", b"1")
    put(keyspace, b"b", b"another key")
    delete(keyspace, b"a")
    created, first, second = client.read()
    assert created == Notice(0, 2, created=True)
    assert (first.revision, second.revision) == (3, 5)
    assert client.seen() == [("put", b"a", b"1", 3), ("delete", b"a", b"", 5)]


@pytest.mark.parametrize(
    ("key", "end", "told"),
    [
        (b"b", b"d", [b"b", b"c"]),
        (b"b", b"\0", [b"b", b"c", b"d"]),
        (b"", b"\0", [b"a", b"b", b"c", b"d"]),
        (b"b", b"", [b"b"]),
    ],
)
def test_ranges(key, end, told):
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(key, end)
    for name in (b"a", b"b", b"c", b"d"):
        put(keyspace, name)
    client.read()
    assert [name for _, name, _, _ in client.seen()] == told


def test_an_empty_key_stands_for_the_first_one():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"")
    put(keyspace, b"\0", b"1")
    put(keyspace, b"a")
    client.read()
    assert client.seen() == [("put", b"\0", b"1", 2)]


def test_all_changes_of_one_revision_come_in_one_message():
    keyspace, hub = new_hub()
    put(keyspace, b"x1")
    client = Client(hub)
    client.watch(b"a", b"z")
    txn(keyspace, put_operation(b"b", b"1"), delete_operation(b"x", b"y"), put_operation(b"a", b"2"))
    _, message = client.read()
    assert client.seen() == [("put", b"b", b"1", 3), ("delete", b"x1", b"", 3), ("put", b"a", b"2", 3)]
    assert message.revision == 3


def test_a_write_that_changes_nothing_tells_nothing():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", b"z")
    delete(keyspace, b"a", b"z")
    assert client.read() == [Notice(0, 1, created=True)]


def test_watches_of_the_same_key_are_told_apart_and_share_the_event():
    keyspace, hub = new_hub()
    client, other = Client(hub), Client(hub)
    client.watch(b"a")
    client.watch(b"a", b"b")
    other.watch(b"a")
    put(keyspace, b"a")
    client.read()
    other.read()
    (event,), (same,), (also,) = client.events[0], client.events[1], other.events[0]
    assert event is same is also


@pytest.mark.parametrize(
    ("filters", "kinds"),
    [
        ([NOPUT], ["delete"]),
        ([NODELETE], ["put", "put"]),
        ([NOPUT, NODELETE], []),
        ([NOPUT, NOPUT], ["delete"]),
    ],
)
@pytest.mark.parametrize("start_revision", [0, 1])
def test_filters(filters, kinds, start_revision):
    keyspace, hub = new_hub()
    client = Client(hub)
    if not start_revision:
        client.watch(b"a", filters=filters)
    put(keyspace, b"a")
    delete(keyspace, b"a")
    txn(keyspace, put_operation(b"a"), put_operation(b"b"))
    if start_revision:
        client.watch(b"a", filters=filters, start_revision=start_revision)
    catch_up(hub, client)
    assert [kind for kind, _, _, _ in client.seen()] == kinds


def test_the_keyspace_pays_nothing_while_nobody_watches():
    keyspace, hub = new_hub()
    client = Client(hub)
    assert keyspace.on_changes is None
    client.watch(b"a")
    assert keyspace.on_changes is not None
    client.stream.cancel(0)
    assert keyspace.on_changes is None
    client.watch(b"a")
    client.stream.close()
    assert keyspace.on_changes is None


def test_ready_is_called_once_until_everything_was_taken():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    put(keyspace, b"a")
    put(keyspace, b"a")
    assert client.ready_calls == 1
    client.read()
    put(keyspace, b"a")
    assert client.ready_calls == 2


# Previous pairs -------------------------------------------------------------------------------


def previous_values(client, watch_id=0):
    return [
        None if event.previous is None else KeyValue.FromString(event.previous).value
        for event in client.events[watch_id]
    ]


@pytest.mark.parametrize("start_revision", [0, 2])
def test_previous_pairs_are_those_of_one_revision_earlier(start_revision):
    keyspace, hub = new_hub()
    client = Client(hub)
    if not start_revision:
        client.watch(b"a", prev_kv=True)
    put(keyspace, b"a", b"1")
    put(keyspace, b"a", b"2")
    delete(keyspace, b"a")
    put(keyspace, b"a", b"3")
    if start_revision:
        client.watch(b"a", prev_kv=True, start_revision=start_revision)
    catch_up(hub, client)
    assert previous_values(client) == [None, b"1", b"2", None]


def test_a_previous_pair_that_was_compacted_is_left_out():
    keyspace, hub = new_hub()
    for value in (b"1", b"2", b"3", b"4"):
        put(keyspace, b"a", value)
    compact(keyspace, 4)
    client = Client(hub)
    client.watch(b"a", prev_kv=True, start_revision=4)
    catch_up(hub, client)
    assert [value for _, _, value, _ in client.seen()] == [b"3", b"4"]
    assert previous_values(client) == [None, b"3"]


def test_a_previous_pair_is_found_for_a_change_compacted_before_the_event_is_sent():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", prev_kv=True)
    put(keyspace, b"a", b"1")
    put(keyspace, b"a", b"2")
    compact(keyspace, 3)
    client.read()
    assert previous_values(client) == [None, b"1"]


# Beginning earlier, and later -----------------------------------------------------------------


def test_history_is_replayed_from_the_revision_asked_for():
    keyspace, hub = new_hub()
    for value in (b"1", b"2", b"3"):
        put(keyspace, b"a", value)
    client = Client(hub)
    client.watch(b"a", start_revision=3)
    put(keyspace, b"a", b"4")  # comes before the replay does
    assert client.read() == [Notice(0, 4, created=True)]
    catch_up(hub, client)
    (message,) = client.messages[1:]
    assert message.revision == 5
    assert [value for _, _, value, _ in client.seen()] == [b"2", b"3", b"4"]
    put(keyspace, b"a", b"5")
    (message,) = client.read()
    assert message.revision == 6


def test_a_start_in_the_future_is_waited_for():
    """Regression etcd#20221: a watch from a future revision got earlier events."""
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", start_revision=4)
    for value in (b"2", b"3", b"4", b"5"):
        put(keyspace, b"a", value)
    client.read()
    assert [revision for _, _, _, revision in client.seen()] == [4, 5]


def test_a_start_in_the_future_is_waited_for_also_by_a_slow_watcher_and_on_a_new_keyspace(small_streams):
    """Regression etcd#20221."""
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"b", b"c")
    client.watch(b"a", start_revision=12)
    for _ in range(10):
        put(keyspace, b"b")  # fills the stream
    hub.replace_keyspace(Keyspace(keyspace._store))
    keyspace = hub._keyspace
    for _ in range(4):
        put(keyspace, b"a")
    catch_up(hub, client)
    assert [revision for _, _, _, revision in client.seen(1)] == [12, 13, 14, 15]
    assert [revision for _, _, _, revision in client.seen(0)] == list(range(2, 12))


def test_the_next_revision_needs_no_replay():
    keyspace, hub = new_hub()
    put(keyspace, b"a")
    client = Client(hub)
    client.watch(b"a", start_revision=3)
    assert not hub.is_replay_due
    put(keyspace, b"a")
    client.read()
    assert [revision for _, _, _, revision in client.seen()] == [3]


@pytest.mark.parametrize(("start_revision", "is_told"), [(5, True), (4, False), (1, False)])
def test_a_compacted_start_ends_the_watch_and_says_where_the_history_begins(start_revision, is_told):
    keyspace, hub = new_hub()
    for _ in range(9):
        put(keyspace, b"a")
    compact(keyspace, 5)
    client = Client(hub)
    client.watch(b"a", start_revision=start_revision)
    catch_up(hub, client)
    if is_told:
        assert [revision for _, _, _, revision in client.seen()] == [5, 6, 7, 8, 9, 10]
        return
    assert client.messages == [
        Notice(0, 10, created=True),
        Notice(0, 0, canceled=True, compact_revision=5),
    ]
    assert hub.watcher_count == 0
    client.watch(b"a", watch_id=0)
    assert client.read() == [Notice(1, 10, created=True)]  # the stream goes on


def test_a_compaction_overtakes_a_replay():
    keyspace, hub = new_hub()
    for _ in range(2500):
        put(keyspace, b"a")
    client = Client(hub)
    client.watch(b"a", start_revision=1)
    hub.replay_step()
    compact(keyspace, 2000)
    catch_up(hub, client)
    assert [revision for _, _, _, revision in client.seen()] == list(range(2, 1001))
    assert client.messages[-1].compact_revision == 2000


def test_a_delete_at_the_compacted_revision_is_told():
    """Regressions etcd#18089, etcd#19179: the tombstone was gone, and with it the event."""
    keyspace, hub = new_hub()
    put(keyspace, b"a")
    delete(keyspace, b"a")  # revision 3
    put(keyspace, b"b")
    compact(keyspace, 3)
    client = Client(hub)
    client.watch(b"a", b"z", start_revision=3)
    catch_up(hub, client)
    assert client.seen() == [("delete", b"a", b"", 3), ("put", b"b", b"", 4)]


@pytest.mark.parametrize("keeps_its_place", [2, 3])
def test_a_slow_watcher_misses_no_delete_over_a_compaction(small_streams, keeps_its_place):
    """Regressions etcd#18089, etcd#19179."""
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", b"z")
    put(keyspace, b"a")  # revision 2
    delete(keyspace, b"a")
    for _ in range(10):
        put(keyspace, b"b")
    compact(keyspace, keeps_its_place)
    catch_up(hub, client)
    assert client.seen()[:2] == [("put", b"a", b"", 2), ("delete", b"a", b"", 3)]
    assert len(client.seen()) == 12


# Refusals, identifiers, cancelling ------------------------------------------------------------


def refusal(reason, revision=1):
    return Notice(-1, revision, created=True, canceled=True, cancel_reason=reason)


def test_a_negative_start_is_refused_before_anything_else_is_looked_at():
    _, hub = new_hub()
    client = Client(hub)
    assert client.watch(b"b", b"a", start_revision=-1) is None
    assert client.read() == [refusal(COMPACTED)]


@pytest.mark.parametrize(("key", "end"), [(b"b", b"a"), (b"a", b"a"), (b"aa", b"a")])
def test_an_empty_range_is_refused(key, end):
    _, hub = new_hub()
    client = Client(hub)
    client.watch(key, end)
    assert client.read() == [refusal("mvcc: watcher range is empty")]
    assert hub.watcher_count == 0


def test_an_id_in_use_is_refused_and_may_be_used_again_later():
    _, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", watch_id=5)
    client.watch(b"a", watch_id=5)
    client.stream.cancel(5)
    client.watch(b"a", watch_id=5)
    assert client.read() == [
        Notice(5, 1, created=True),
        refusal("mvcc: duplicate watch ID provided on the WatchStream"),
        Notice(5, 1, canceled=True),
        Notice(5, 1, created=True),
    ]


def test_ids_count_up_past_those_in_use_and_never_come_back():
    _, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", watch_id=1)
    for _ in range(3):
        client.watch(b"a")
    client.stream.cancel(0)
    client.watch(b"a")
    created = [message.watch_id for message in client.read() if message.created]
    assert created == [1, 0, 2, 3, 4]


def test_nothing_follows_a_cancel_and_an_unknown_id_gets_no_answer():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    put(keyspace, b"a")
    client.stream.cancel(0)
    client.stream.cancel(0)
    client.stream.cancel(7)
    put(keyspace, b"a")
    _, event, canceled = client.read()
    assert isinstance(event, EventsMessage)
    assert canceled == Notice(0, 2, canceled=True)
    assert hub.watcher_count == 0


def test_a_watch_cancelled_in_the_midst_of_its_replay_is_told_nothing_more():
    keyspace, hub = new_hub()
    for _ in range(2500):
        put(keyspace, b"a")
    client = Client(hub)
    client.watch(b"a", start_revision=1)
    hub.replay_step()
    client.stream.cancel(0)
    assert not hub.is_replay_due
    catch_up(hub, client)
    assert len(client.seen()) == 999  # revision 1 has none


def test_a_stream_that_closes_leaves_nothing_behind(small_streams):
    keyspace, hub = new_hub()
    client = Client(hub)
    for _ in range(3):
        client.watch(b"a")
        client.watch(b"a", b"c", start_revision=1)
    for _ in range(50):
        put(keyspace, b"a")
    hub.replay_step()
    assert hub.pending_event_count > 0
    client.stream.close()
    client.stream.close()
    assert (hub.stream_count, hub.watcher_count, hub.slow_watcher_count, hub.pending_event_count) == (
        0,
        0,
        0,
        0,
    )
    assert not hub.is_replay_due
    assert not hub._synced
    put(keyspace, b"a")
    assert client.read() == []


# Slow clients ---------------------------------------------------------------------------------


def test_a_client_that_does_not_read_costs_bounded_memory_and_misses_nothing(small_streams):
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    client.read()
    for number in range(3000):
        put(keyspace, b"a", b"%d" % number)
        hub.replay_step()
    assert hub.pending_event_count <= 5
    assert hub.slow_watcher_count == 1
    catch_up(hub, client)
    assert [int(value) for _, _, value, _ in client.seen()] == list(range(3000))
    assert (hub.slow_watcher_count, hub.pending_event_count, hub.event_count) == (0, 0, 3000)


def test_large_values_fill_a_stream_by_their_bytes(monkeypatch):
    monkeypatch.setattr(stream_module, "MOST_BYTES", 10_000)
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    for number in range(50):
        put(keyspace, b"a", bytes([number]) * 3000)
    assert hub.pending_event_count == 4
    catch_up(hub, client)
    assert [value[0] for _, _, value, _ in client.seen()] == list(range(50))


def test_a_slow_client_holds_up_nobody_else(small_streams):
    keyspace, hub = new_hub()
    slow, fast = Client(hub), Client(hub)
    slow.watch(b"a", start_revision=1)
    fast.watch(b"a")
    for number in range(100):
        put(keyspace, b"a", b"%d" % number)
        fast.read()
        assert len(fast.seen()) == number + 1
        hub.replay_step()
    catch_up(hub, slow)
    assert slow.seen() == fast.seen()


def test_a_slow_client_whose_place_is_compacted_is_told_so_after_what_it_was_sent(small_streams):
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    for _ in range(20):
        put(keyspace, b"a")
    compact(keyspace, 15)
    catch_up(hub, client)
    revisions = [revision for _, _, _, revision in client.seen()]
    assert revisions == list(range(2, 2 + len(revisions)))
    assert len(revisions) < 13
    assert client.notices[-1] == Notice(0, 0, canceled=True, compact_revision=15)


def test_one_change_for_all_watches_of_a_large_stream_finds_room(small_streams):
    keyspace, hub = new_hub()
    client = Client(hub)
    for _ in range(200):
        client.watch(b"a")
    put(keyspace, b"a")
    assert hub.slow_watcher_count == 0
    client.read()
    assert all(len(events) == 1 for events in client.events.values())


def test_no_revision_is_told_twice_when_a_watcher_falls_behind_in_the_midst_of_one(small_streams):
    """Regression etcd#17247: a slow watcher got an event again from the history."""
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", b"c")
    client.watch(b"b")
    for _ in range(12):
        txn(keyspace, put_operation(b"a"), put_operation(b"b"))
        hub.replay_step()
    catch_up(hub, client)  # Client refuses what comes twice
    assert [len(client.seen(0)), len(client.seen(1))] == [24, 12]


# Replay in steps ------------------------------------------------------------------------------


def test_a_message_holds_no_more_than_a_thousand_revisions_and_a_megabyte():
    keyspace, hub = new_hub()
    for _ in range(2500):
        put(keyspace, b"a")
    for _ in range(10):
        put(keyspace, b"a", b"x" * 300_000)
    client = Client(hub)
    client.watch(b"a", start_revision=2)
    catch_up(hub, client)
    assert [len(message.events) for message in client.messages[1:]] == [1000, 1000, 504, 4, 2]
    assert len(client.seen()) == 2510


def test_a_revision_is_never_torn_apart_however_large():
    keyspace, hub = new_hub()
    for number in range(3000):
        put(keyspace, b"k%d" % number)
    delete(keyspace, b"k", b"l")
    client = Client(hub)
    client.watch(b"k", b"l", start_revision=3002)
    catch_up(hub, client)
    assert [len(message.events) for message in client.messages[1:]] == [3000]


def test_a_long_replay_does_not_hold_up_a_short_one():
    """Regression etcd#17529: watchers starved behind others that had much to read."""
    keyspace, hub = new_hub()
    for _ in range(20_000):
        put(keyspace, b"a")
    behind = [Client(hub) for _ in range(3)]
    for client in behind:
        client.watch(b"a", start_revision=1)
    hub.replay_step()
    near = Client(hub)
    near.watch(b"a", start_revision=19_990)
    for _ in range(3):
        hub.replay_step()
    near.read()
    assert len(near.seen()) == 12
    assert all(client.read() for client in behind)


def test_many_watchers_share_the_reading():
    keyspace, hub = new_hub()
    for number in range(1000):
        put(keyspace, b"k%03d" % number)
    reads = []
    history = keyspace.history
    keyspace.history = lambda first, last: (reads.append(1), history(first, last))[1]
    clients = [Client(hub) for _ in range(5)]
    for number in range(1000):
        clients[number % 5].watch(b"k%03d" % number, start_revision=1)
    catch_up(hub, *clients)
    assert sum(len(events) for client in clients for events in client.events.values()) == 1000
    assert len(reads) < 20


def test_those_who_share_the_reading_each_begin_where_they_asked_to():
    keyspace, hub = new_hub()
    for _ in range(9):
        put(keyspace, b"a")
    client = Client(hub)
    for start_revision in (2, 8, 5):
        client.watch(b"a", start_revision=start_revision)
    assert not hub.replay_step()
    client.read()
    told = [[revision for _, _, _, revision in client.seen(watch_id)] for watch_id in range(3)]
    assert told == [list(range(2, 11)), list(range(8, 11)), list(range(5, 11))]


def test_a_step_hands_on_a_bounded_number_of_events():
    keyspace, hub = new_hub()
    for _ in range(900):
        put(keyspace, b"a")
    client = Client(hub)
    for _ in range(200):
        client.watch(b"a", start_revision=2)
    hub.replay_step()
    assert 0 < hub.pending_event_count <= 2000 + 200
    catch_up(hub, client)
    assert all(len(events) == 900 for events in client.events.values())


def test_a_watcher_whose_stream_is_full_is_left_alone_until_there_is_room(monkeypatch):
    monkeypatch.setattr(stream_module, "MOST_BYTES", 1000)
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    put(keyspace, b"a", b"x" * 2000)
    client.watch(b"a", start_revision=2)
    assert not hub.replay_step()  # nothing more to do now: there was no room
    assert hub.slow_watcher_count == 1
    catch_up(hub, client)
    assert client.seen(1) == client.seen(0)


def test_a_slow_watcher_that_is_cancelled_does_not_come_back(monkeypatch):
    monkeypatch.setattr(stream_module, "MOST_BYTES", 1000)
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    put(keyspace, b"a", b"x" * 2000)
    put(keyspace, b"a")
    client.stream.cancel(0)
    catch_up(hub, client)
    assert [revision for _, _, _, revision in client.seen()] == [2]
    assert (hub.watcher_count, hub.slow_watcher_count) == (0, 0)


# Progress -------------------------------------------------------------------------------------


def test_progress_is_told_for_the_stream_only_when_all_watches_are_complete():
    """Regression etcd#15220: progress was ahead of events."""
    keyspace, hub = new_hub()
    put(keyspace, b"a")
    client = Client(hub)
    client.stream.request_progress()  # nothing to tell of
    client.watch(b"a")
    client.watch(b"a", start_revision=2)
    client.stream.request_progress()  # one has not caught up
    client.read()
    assert client.told == 0
    catch_up(hub, client)
    put(keyspace, b"a")
    client.stream.request_progress()
    *_, event, progress = client.read()
    assert event.revision == 3  # what was on its way comes first
    assert progress == Notice(-1, 3)


def test_progress_waits_for_a_start_in_the_future():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", start_revision=2, progress_notify=True)
    client.stream.request_progress()
    client.stream.notify_progress()
    assert client.read() == [Notice(0, 1, created=True)]
    put(keyspace, b"b")
    client.stream.request_progress()
    assert client.read() == [Notice(-1, 2)]


def test_progress_of_a_slow_watcher_is_not_told(small_streams):
    """Regression etcd#15220."""
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", progress_notify=True)
    for _ in range(20):
        put(keyspace, b"a")
        client.stream.request_progress()
    client.stream.notify_progress()
    client.stream.notify_progress()
    catch_up(hub, client)  # Client refuses events at or below progress
    client.stream.request_progress()
    client.read()
    assert client.told == 21


def test_watches_that_asked_are_told_progress_when_they_had_no_events():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a", progress_notify=True)
    client.watch(b"b", progress_notify=True)
    client.watch(b"a")
    client.read()
    put(keyspace, b"a")
    client.read()
    client.stream.notify_progress()
    assert client.read() == [Notice(1, 2)]
    client.stream.notify_progress()
    assert client.read() == [Notice(0, 2), Notice(1, 2)]


# A new keyspace -------------------------------------------------------------------------------


def test_watchers_go_on_from_their_place_on_a_keyspace_that_a_snapshot_brought():
    """Regression etcd#15271: after a snapshot a watcher was sent back in time."""
    keyspace, hub = new_hub()
    put(keyspace, b"a", b"old")
    client = Client(hub)
    client.watch(b"a", prev_kv=True)
    client.watch(b"z", start_revision=9)
    put(keyspace, b"a", b"seen")
    client.read()
    other, _ = new_hub()
    for value in (b"old", b"seen", b"missed", b"missed too"):
        put(other, b"a", value)
    hub.replace_keyspace(other)
    assert keyspace.on_changes is None
    put(other, b"a", b"new")
    catch_up(hub, client)
    assert [value for _, _, value, _ in client.seen()] == [b"seen", b"missed", b"missed too", b"new"]
    assert previous_values(client) == [b"old", b"seen", b"missed", b"missed too"]
    assert hub.slow_watcher_count == 0
    for _ in range(4):
        put(other, b"z")
    client.read()
    assert [revision for _, _, _, revision in client.seen(1)] == [9, 10]


def test_watchers_whose_place_the_snapshot_no_longer_has_are_ended():
    keyspace, hub = new_hub()
    put(keyspace, b"a")
    client = Client(hub)
    client.watch(b"a")
    other, _ = new_hub()
    for _ in range(20):
        put(other, b"a")
    compact(other, 10)
    hub.replace_keyspace(other)
    catch_up(hub, client)
    assert client.notices[-1].compact_revision == 10
    assert client.events[0] == []


def test_the_same_revision_on_the_new_keyspace_needs_no_replay():
    keyspace, hub = new_hub()
    client = Client(hub)
    client.watch(b"a")
    put(keyspace, b"a")
    hub.replace_keyspace(Keyspace(keyspace._store))
    assert not hub.is_replay_due
    put(hub._keyspace, b"a")
    client.read()
    assert len(client.seen()) == 2
