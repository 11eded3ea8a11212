"""What goes wrong with watches is noticed: planted here, it is found within a few seeds."""

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.watch import hub
from miniraft.mvcc.watch.hub import WatchHub
from miniraft.mvcc.watch.message import Notice
from miniraft.mvcc.watch.stream import WatchStream
from miniraft.mvcc.watch.watcher import Watcher, WatcherState
from miniraft.sim.options import Options
from tests.sim.planted import first_violation

WATCHED = Options(safety_ms=6_000, watch_clients=6, keys=3, snapshot_count=40, catchup_entries=1)


def test_skipping_a_revision_where_a_client_goes_on(monkeypatch):
    add = WatchHub.add

    def late(self, watcher):
        if watcher.start_revision > 1:
            watcher.next_revision += 1
        add(self, watcher)

    monkeypatch.setattr(WatchHub, "add", late)
    first_violation("is told", WATCHED)


def test_telling_again_what_a_client_has_seen(monkeypatch):
    add = WatchHub.add

    def early(self, watcher):
        watcher.next_revision = max(watcher.next_revision - 1, 0)
        add(self, watcher)

    monkeypatch.setattr(WatchHub, "add", early)
    first_violation("is told", WATCHED)


def test_telling_of_revisions_before_the_one_asked_for(monkeypatch):
    """A member that is behind makes changes that the client has seen elsewhere."""

    def tell(self, watcher, revision, events):
        if not watcher.stream.push_events(watcher, revision, events):
            watcher.next_revision = revision
            self._leave_synced(watcher)
            self._join_slow(watcher)

    monkeypatch.setattr(WatchHub, "_tell", tell)
    first_violation("is told", WATCHED)


def test_passing_over_the_history(monkeypatch):
    def begin_at_once(self, watcher):
        self.watcher_count += 1
        self._join_synced(watcher)

    monkeypatch.setattr(WatchHub, "add", begin_at_once)
    first_violation("is told", WATCHED)


def test_losing_what_found_no_room(monkeypatch):
    def tell(self, watcher, revision, events):
        if revision >= watcher.next_revision:
            watcher.stream.push_events(watcher, revision, events)

    monkeypatch.setattr(WatchHub, "_tell", tell)
    first_violation(["is told", "said to be complete"], WATCHED)


def test_passing_over_what_a_snapshot_brought(monkeypatch):
    def replace(self, keyspace):
        self._keyspace.on_changes = None
        self._keyspace = keyspace
        if self._synced_count:
            keyspace.on_changes = self._on_changes

    monkeypatch.setattr(WatchHub, "replace_keyspace", replace)
    first_violation(["is told", "said to be complete"], WATCHED)


def test_a_revision_in_two_messages(monkeypatch):
    push = WatchStream.push_events

    def one_by_one(self, watcher, revision, events):
        return all(push(self, watcher, revision, [event]) for event in events)

    monkeypatch.setattr(WatchStream, "push_events", one_by_one)
    first_violation("is told", WATCHED)


def test_progress_ahead_of_events(monkeypatch):
    monkeypatch.setattr(WatchStream, "_is_complete", lambda self, watcher: True)
    first_violation("said to be complete up to", WATCHED)


def test_progress_between_the_events_of_a_revision(monkeypatch):
    push = WatchStream.push_events

    def halves(self, watcher, revision, events):
        if len(events) == 1:
            return push(self, watcher, revision, events)
        done = push(self, watcher, revision, events[:1])
        self.request_progress()
        return push(self, watcher, revision, events[1:]) and done

    monkeypatch.setattr(WatchStream, "push_events", halves)
    first_violation("is told", WATCHED)


def test_going_on_behind_a_compaction_without_a_word(monkeypatch):
    def skip(self, watcher, compact_revision):
        watcher.next_revision = compact_revision

    monkeypatch.setattr(WatchStream, "end_compacted", skip)
    first_violation("is told", WATCHED)


def test_naming_another_compaction(monkeypatch):
    end = WatchStream.end_compacted
    monkeypatch.setattr(
        WatchStream, "end_compacted", lambda self, watcher, revision: end(self, watcher, revision + 1)
    )
    first_violation("is cancelled for a compaction at", WATCHED)


def test_cancelling_what_is_still_there(monkeypatch):
    next_group = WatchHub._next_group

    def strict(self):
        for watcher in list(self._replaying):
            if watcher.next_revision == self._keyspace.compact_revision:
                watcher.stream.end_compacted(watcher, self._keyspace.compact_revision)
        return next_group(self)

    monkeypatch.setattr(WatchHub, "_next_group", strict)
    first_violation("is cancelled for a compaction at", WATCHED)


def test_previous_pairs_of_another_revision(monkeypatch):
    pair_before = Keyspace.pair_before
    monkeypatch.setattr(
        Keyspace, "pair_before", lambda self, key, revision: pair_before(self, key, revision - 1)
    )
    first_violation(["and that before it was", "without what was there before"], WATCHED)


def test_previous_pairs_left_out(monkeypatch):
    monkeypatch.setattr(Keyspace, "pair_before", lambda self, key, revision: None)
    first_violation("without what was there before", WATCHED)


def test_filters_that_let_all_through(monkeypatch):
    monkeypatch.setattr(Watcher, "keeps", lambda self, *, is_delete: True)
    first_violation("is told", WATCHED)


def test_ranges_that_are_too_wide(monkeypatch):
    bounds = hub.Interests.watching

    def all_of_them(self, key):
        return [*dict.fromkeys([*bounds(self, key), *bounds(self, b"key0")])]

    monkeypatch.setattr(hub.Interests, "watching", all_of_them)
    first_violation("is told", WATCHED)


def test_telling_what_is_not_committed(monkeypatch):
    event_of = WatchHub._event

    def ahead(self, revision, change, watchers):
        event = event_of(self, revision, change, watchers)
        event.revision += 1
        return event

    monkeypatch.setattr(WatchHub, "_event", ahead)
    first_violation("the committed log ends at", WATCHED)


def test_a_watch_that_is_never_caught_up(monkeypatch):
    monkeypatch.setattr(WatchHub, "replay_step", lambda self: False)
    first_violation("has not been told all", WATCHED)


def test_a_watch_that_goes_on_after_its_end(monkeypatch):
    def cancel(self, watch_id):
        watcher = self.watchers.get(watch_id)
        if watcher is not None and watcher.state is not WatcherState.SLOW:
            self._push_notice(Notice(watch_id, self._hub.revision, canceled=True))

    monkeypatch.setattr(WatchStream, "cancel", cancel)
    first_violation("is not there or has ended", WATCHED)
