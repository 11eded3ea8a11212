"""Random writes, compactions, snapshots, watches and readers: everybody sees exactly the history.

Each watcher's events must equal its own filter of the full list of changes, from where it began
up to where it ended; where it ended by itself, a compaction must have reached its next event.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.watch import hub as hub_module
from miniraft.mvcc.watch import stream as stream_module
from miniraft.mvcc.watch.watcher import WatcherState
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue
from tests.mvcc.helpers import compact, delete_operation, put_operation
from tests.mvcc.watching import NODELETE, NOPUT, Client, catch_up, new_hub

KEYS = [b"a", b"b", b"ba", b"c", b"d"]
keys = st.sampled_from(KEYS)
operations = st.one_of(
    st.builds(put_operation, keys, st.binary(max_size=3)),
    st.builds(put_operation, keys, st.binary(min_size=100, max_size=100)),
    st.builds(delete_operation, keys),
    st.builds(delete_operation, st.just(b"a"), st.just(b"c")),
)
ranges = st.one_of(
    st.tuples(keys, st.just(b"")),
    st.sampled_from([(b"a", b"c"), (b"b", b"\0"), (b"\0", b"\0"), (b"b", b"bb"), (b"c", b"z")]),
)


class Expected:
    """What a watcher is to see."""

    def __init__(self, request, first):
        self.request = request
        self.first = first  # its first revision
        self.end = None  # the revision at its cancellation

    def sees(self, key, kind, revision):
        request = self.request
        if revision < self.first or (self.end is not None and revision > self.end):
            return False
        if (NOPUT if kind == "put" else NODELETE) in request["filters"]:
            return False
        low, high = request["key"], request["range_end"]
        return key == low if not high else low <= key and (high == b"\0" or key < high)


class Watching(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.keyspace, self.hub = new_hub()
        self.history = []  # (kind, key, value, revision)
        self.previous = {}  # (key, revision) -> value one revision earlier
        self.clients = [(Client(self.hub), {}), (Client(self.hub), {})]

    # Bounds small enough to be met.
    @initialize()
    def small(self):
        self.saved = (stream_module.MOST_MESSAGES, stream_module.MOST_BYTES)
        self.saved_steps = (hub_module.MOST_REVISIONS, hub_module._MOST_WATCHERS, hub_module._MOST_EVENTS)
        stream_module.MOST_MESSAGES, stream_module.MOST_BYTES = 3, 500
        hub_module.MOST_REVISIONS, hub_module._MOST_WATCHERS, hub_module._MOST_EVENTS = 5, 2, 6

    def teardown(self):
        if hasattr(self, "saved"):
            stream_module.MOST_MESSAGES, stream_module.MOST_BYTES = self.saved
            hub_module.MOST_REVISIONS, hub_module._MOST_WATCHERS, hub_module._MOST_EVENTS = self.saved_steps
        for client, expected in self.clients:
            catch_up(self.hub, client)
            for watch_id, what in expected.items():
                self.check(client, watch_id, what)
        assert self.hub.pending_event_count == 0

    def check(self, client, watch_id, what):
        wanted = [event for event in self.history if what.sees(event[1], event[0], event[3])]
        seen = client.seen(watch_id)
        compactions = [n for n in client.notices if n.watch_id == watch_id and n.compact_revision]
        if compactions:
            assert seen == wanted[: len(seen)], "something was skipped before the compaction"
            assert len(compactions) == 1
            next_revision = seen[-1][3] + 1 if seen else what.first
            assert next_revision < compactions[0].compact_revision
        elif what.end is None:
            assert seen == wanted
            assert watch_id in client.stream.watchers
        else:
            assert seen == wanted[: len(seen)]  # what was not queued when it was cancelled is not sent
        if what.request["prev_kv"]:
            for event in client.events[watch_id]:
                if event.previous is not None:
                    value = KeyValue.FromString(event.previous).value
                    assert value == self.previous[event.key, event.revision]

    @rule(transactions=st.lists(st.lists(operations, min_size=1, max_size=3), min_size=1, max_size=8))
    def write(self, transactions):
        for transaction in transactions:
            self.write_one(transaction)

    def write_one(self, operation):
        state = {}
        for kind, key, value, _ in self.history:
            state[key] = value if kind == "put" else None
        told = []
        on_changes = self.keyspace.on_changes

        def record(revision, changes):
            for change in changes:
                told.append(shown_change(change, revision))
            if on_changes is not None:
                on_changes(revision, changes)

        self.keyspace.on_changes = record
        try:
            self.keyspace.txn(rpc.TxnRequest(success=unique_puts(operation)))
        finally:
            if self.keyspace.on_changes is record:
                self.keyspace.on_changes = on_changes
        for event in told:
            self.history.append(event)
            self.previous.setdefault((event[1], event[3]), state.get(event[1]))

    @rule(share=st.floats(0, 1))
    def compact(self, share):
        revision = max(int(self.keyspace.revision * share), self.keyspace.compact_revision + 1, 1)
        if revision <= self.keyspace.revision:
            compact(self.keyspace, revision)

    @rule(
        which=st.integers(0, 1),
        bounds=ranges,
        start=st.none() | st.floats(0, 1.2),
        prev_kv=st.booleans(),
        filters=st.lists(st.sampled_from([NOPUT, NODELETE]), max_size=1),
        watch_id=st.sampled_from([0, 0, 0, 3, 4]),
    )
    def watch(self, which, bounds, start, prev_kv, filters, watch_id):
        client, expected = self.clients[which]
        revision = self.keyspace.revision
        start_revision = 0 if start is None else max(1, int(start * revision))
        request = {"key": bounds[0], "range_end": bounds[1], "prev_kv": prev_kv, "filters": filters}
        if watch_id in expected:
            return  # the model keeps one watch for each id
        watcher = client.watch(**request, start_revision=start_revision, watch_id=watch_id)
        assert watcher is not None
        expected[watcher.watch_id] = Expected(request, start_revision or revision + 1)

    @rule(which=st.integers(0, 1), watch_id=st.integers(0, 5))
    def cancel(self, which, watch_id):
        client, expected = self.clients[which]
        if watch_id in client.stream.watchers:
            expected[watch_id].end = self.keyspace.revision
            client.stream.cancel(watch_id)

    @rule(which=st.integers(0, 1), limit=st.integers(1, 5))
    def read(self, which, limit):
        self.clients[which][0].read(limit)

    @rule(which=st.integers(0, 1))
    def ask_progress(self, which):
        self.clients[which][0].stream.request_progress()

    @rule()
    def replay(self):
        self.hub.replay_step()

    @rule()
    def install_snapshot(self):
        """The same keyspace read from its store again, as a snapshot would bring it."""
        self.keyspace = Keyspace(self.keyspace._store)
        self.hub.replace_keyspace(self.keyspace)

    @invariant()
    def counts_agree(self):
        watchers = [w for client, _ in self.clients for w in client.stream.watchers.values()]
        assert self.hub.watcher_count == len(watchers)
        behind = [w for w in watchers if w.state is not WatcherState.SYNCED]
        assert self.hub.slow_watcher_count == len(behind)
        assert bool(self.keyspace.on_changes) is (len(behind) < len(watchers))
        for client, _ in self.clients:
            assert len(client.stream._queue) <= client.stream._notice_count + 3 + 5


def shown_change(change, revision):
    pair = KeyValue.FromString(change.pair)
    return ("delete" if change.is_delete else "put", pair.key, pair.value, revision)


def unique_puts(operations):
    """A transaction may put a key once only, and not where it deletes."""
    keys, deleted, kept = set(), False, []
    for operation in operations:
        if operation.HasField("request_delete_range"):
            if not keys and not deleted:
                deleted = True
                kept.append(operation)
        elif operation.request_put.key not in keys and not deleted:
            keys.add(operation.request_put.key)
            kept.append(operation)
    return kept or operations[:1]


TestWatching = Watching.TestCase
TestWatching.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
