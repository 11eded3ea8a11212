"""A client of the watch hub: it reads its stream when told to, and checks what no client may ever see."""

from miniraft.mvcc.watch.hub import WatchHub
from miniraft.mvcc.watch.message import Notice
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import WatchCreateRequest
from tests.mvcc.helpers import new_keyspace

NOPUT, NODELETE = WatchCreateRequest.NOPUT, WatchCreateRequest.NODELETE


class Client:
    """One stream. What it has read stands in `notices` and, by watch id, in `events`."""

    def __init__(self, hub):
        self.ready_calls = 0
        self.stream = hub.open_stream(self.on_ready)
        self.messages = []
        self.notices = []
        self.events = {}
        self.ended = set()
        self.told = 0  # the newest revision that progress of the whole stream was told up to
        self.complete_to = {}  # watch id -> that revision, for the watches there were

    def on_ready(self):
        self.ready_calls += 1

    def watch(self, key, range_end=b"", **options):
        return self.stream.create(WatchCreateRequest(key=key, range_end=range_end, **options))

    def read(self, limit=None):
        """Takes up to `limit` messages (None: all) and returns them."""
        taken = []
        while limit is None or len(taken) < limit:
            message = self.stream.take()
            if message is None:
                break
            self._note(message)
            taken.append(message)
        self.messages += taken
        return taken

    def _note(self, message):
        if isinstance(message, Notice):
            self.notices.append(message)
            if message.created and not message.canceled:
                self.ended.discard(message.watch_id)
                self.events.setdefault(message.watch_id, [])
            elif message.canceled:
                self.ended.add(message.watch_id)
            elif message.watch_id == -1:
                self.told = message.revision
                self.complete_to = dict.fromkeys(self.events, message.revision)
            return
        watch_id = message.watch_id
        assert watch_id in self.events, "events before the watch was created"
        assert watch_id not in self.ended, "events after the watch had ended"
        assert message.events, "a message without events"
        seen = self.events[watch_id]
        revisions = [event.revision for event in message.events]
        assert revisions == sorted(revisions)
        assert len(set(revisions)) <= 1000
        assert not seen or seen[-1].revision < revisions[0], "out of order, twice, or a revision torn apart"
        assert revisions[0] > self.complete_to.get(watch_id, 0), "progress was ahead of events"
        assert message.revision >= revisions[-1]
        seen += message.events

    def seen(self, watch_id=0):
        """(kind, key, value, revision) of each event."""
        return [shown(event) for event in self.events[watch_id]]


def shown(event):
    pair = KeyValue.FromString(event.pair)
    return ("delete" if event.is_delete else "put", pair.key, pair.value, event.revision)


def new_hub():
    keyspace = new_keyspace()
    return keyspace, WatchHub(keyspace)


def catch_up(hub, *clients):
    """Replays until nobody is behind; the clients read all the while."""
    while True:
        more = hub.replay_step()
        taken = [client.read() for client in clients]
        if not more and not hub.is_replay_due and not any(taken):
            return
