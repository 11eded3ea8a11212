"""Lock and Election: who has its turn, what is left when somebody goes, and what a lost lease means."""

import base64
import contextlib
import http.client
import json
import queue
import threading
import time

import grpc
import pytest

from miniraft.pb import election_pb2 as election
from miniraft.pb import lock_pb2 as lock
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import PutRequest, RangeRequest
from tests.support.client_api import served
from tests.support.memory_service import MemoryService

PATIENCE_SECONDS = 10


class Api:
    """Both services, by gRPC, and a look behind them."""

    def __init__(self, api):
        self.api = api
        self.service = api.service
        self.channel = api.channel()
        self.next_lease = 0

    def lease(self, ttl=60):
        self.next_lease += 1
        lease_id = 0xA0 + self.next_lease
        self.api.thread.call(self.service.keyspace.leases.grant, lease_id, ttl)
        return lease_id

    def end_lease(self, lease_id):
        def end():
            lease = self.service.keyspace.leases.find(lease_id)
            self.service.keyspace.delete_keys(lease.keys)
            self.service.keyspace.leases.remove(lease)

        self.api.thread.call(end)

    def keys(self, prefix=b""):
        result = self.api.thread.call(
            self.service.keyspace.range, RangeRequest(key=prefix or b"\0", range_end=b"\0")
        )
        return [KeyValue.FromString(pair).key for pair in result.kvs]

    def put(self, key):
        self.api.thread.call(self.service.keyspace.put, PutRequest(key=key))

    def begin(self, path, request, response, **options):
        method = self.channel.unary_unary(path, type(request).SerializeToString, response.FromString)
        options.setdefault("timeout", PATIENCE_SECONDS)
        return method.future(request, **options)

    def lock(self, name, lease=0, **options):
        return self.begin(
            "/v3lockpb.Lock/Lock", lock.LockRequest(name=name, lease=lease), lock.LockResponse, **options
        )

    def unlock(self, key):
        return self.begin("/v3lockpb.Lock/Unlock", lock.UnlockRequest(key=key), lock.UnlockResponse).result()

    def election(self, method, request, **options):
        response = getattr(election, f"{method}Response")
        return self.begin(f"/v3electionpb.Election/{method}", request, response, **options)

    def campaign(self, name, lease, value, **options):
        return self.election(
            "Campaign", election.CampaignRequest(name=name, lease=lease, value=value), **options
        )

    def wait_until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)

    def watch_streams(self):
        return self.api.thread.call(lambda: self.service.watches.stream_count)


@pytest.fixture
def api():
    with served(MemoryService()) as served_api:
        api = Api(served_api)
        yield api
        api.channel.close()
        assert served_api.thread.problems == []


def failure(future):
    with pytest.raises(grpc.RpcError) as raised:
        future.result()
    return raised.value.code().name, raised.value.details()


# Locks -----------------------------------------------------------------------------------------
def test_a_free_lock_is_taken_at_once_and_named_after_the_lease(api):
    lease = api.lease()
    taken = api.lock(b"mine", lease).result()
    assert taken.key == b"mine/a1"
    assert taken.header.revision == 2
    assert api.keys() == [b"mine/a1"]


def test_the_same_lease_gets_the_lock_again_at_once(api):
    lease = api.lease()
    first = api.lock(b"mine", lease).result()
    again = api.lock(b"mine", lease).result()
    assert again.key == first.key
    assert again.header.revision == 2  # nothing was written


def test_without_a_lease_one_of_a_minute_is_made(api):
    taken = api.lock(b"mine").result()
    (lease,) = api.api.thread.call(lambda: list(api.service.keyspace.leases))
    assert taken.key == b"mine/%x" % lease.id
    assert lease.ttl_seconds == 60


def test_an_unknown_lease_is_refused(api):
    assert failure(api.lock(b"mine", 0x77)) == ("UNKNOWN", "etcdserver: requested lease not found")


def test_the_next_in_line_gets_it_when_it_is_unlocked(api):
    leases = [api.lease() for _ in range(3)]
    first = api.lock(b"l", leases[0]).result()
    second = api.lock(b"l", leases[1])
    api.wait_until(lambda: len(api.keys()) == 2)
    third = api.lock(b"l", leases[2])
    api.wait_until(lambda: api.watch_streams() == 2)
    assert not second.done()
    api.unlock(first.key)
    taken = second.result()
    assert (taken.key, taken.header.revision) == (b"l/a2", 5)
    assert not third.done()
    api.unlock(taken.key)
    assert third.result().key == b"l/a3"
    assert api.watch_streams() == 0


def test_others_keys_and_prefixes_do_not_matter(api):
    api.put(b"l")
    api.put(b"l.more/a")
    api.put(b"l0")
    assert api.lock(b"l", api.lease()).result().key == b"l/a1"


def test_a_lease_that_ends_frees_the_lock(api):
    one, two = api.lease(), api.lease()
    api.lock(b"l", one).result()
    waiting = api.lock(b"l", two)
    api.wait_until(lambda: api.watch_streams() == 1)
    api.end_lease(one)
    assert waiting.result().key == b"l/a2"


def test_a_waiter_whose_own_lease_has_ended_does_not_get_the_lock(api):
    """Jepsen's finding: it must look again, once it is awake, whether its key is still there."""
    one, two = api.lease(), api.lease()
    first = api.lock(b"l", one).result()
    waiting = api.lock(b"l", two)
    api.wait_until(lambda: api.watch_streams() == 1)
    api.end_lease(two)
    assert failure(waiting) == ("UNKNOWN", "mutex: session is expired")
    assert api.keys() == [first.key]


def test_not_even_when_both_end_at_once(api):
    """One transaction takes the lock from its owner and the place from who waits for it."""
    first = api.lock(b"l", api.lease()).result()
    waiting = api.lock(b"l", api.lease())
    api.wait_until(lambda: api.watch_streams() == 1)
    api.api.thread.call(api.service.keyspace.delete_keys, [first.key, b"l/a2"])
    assert failure(waiting) == ("UNKNOWN", "mutex: session is expired")


def test_a_place_that_was_lost_and_taken_again_is_another_place(api):
    one, two = api.lease(), api.lease()
    first = api.lock(b"l", one).result()
    waiting = api.lock(b"l", two)
    api.wait_until(lambda: api.watch_streams() == 1)

    def lose_and_take_again():
        api.service.keyspace.delete_keys([b"l/a2"])
        api.service.keyspace.put(PutRequest(key=b"l/a2"))
        api.service.keyspace.delete_keys([first.key])

    api.api.thread.call(lose_and_take_again)
    assert failure(waiting) == ("UNKNOWN", "mutex: session is expired")


def test_a_waiter_that_goes_leaves_nothing_behind(api):
    one, two = api.lease(), api.lease()
    first = api.lock(b"l", one).result()
    waiting = api.lock(b"l", two)
    api.wait_until(lambda: api.watch_streams() == 1)
    waiting.cancel()
    api.wait_until(lambda: api.keys() == [first.key])
    api.wait_until(lambda: api.watch_streams() == 0)
    api.wait_until(lambda: api.api.request_count() == 0)


def test_a_deadline_ends_the_wait_and_frees_the_place(api):
    api.lock(b"l", api.lease()).result()
    waiting = api.lock(b"l", api.lease(), timeout=0.3)
    assert failure(waiting)[0] == "DEADLINE_EXCEEDED"
    api.wait_until(lambda: api.keys() == [b"l/a1"])
    assert api.watch_streams() == 0


def test_a_stopping_server_ends_the_wait():
    with served(MemoryService()) as served_api:
        api = Api(served_api)
        api.lock(b"l", api.lease()).result()
        waiting = api.lock(b"l", api.lease())
        api.wait_until(lambda: api.watch_streams() == 1)
        served_api.thread.call(served_api.application.stop)
        assert failure(waiting) == ("UNAVAILABLE", "etcdserver: server stopped")
        api.channel.close()


def test_unlocking_what_is_not_locked_is_fine(api):
    assert api.unlock(b"l/77").header.revision == 1
    unlocking = api.begin("/v3lockpb.Lock/Unlock", lock.UnlockRequest(), lock.UnlockResponse)
    assert failure(unlocking) == ("UNKNOWN", "etcdserver: key is not provided")


def test_a_compaction_in_the_meantime_does_no_harm(api):
    first = api.lock(b"l", api.lease()).result()
    waiting = api.lock(b"l", api.lease())
    api.wait_until(lambda: api.watch_streams() == 1)
    from tests.mvcc.helpers import compact

    for _ in range(5):
        api.put(b"other")
    api.api.thread.call(compact, api.service.keyspace, 7)
    assert not waiting.done()
    api.unlock(first.key)
    assert waiting.result().key == b"l/a2"


def test_many_get_it_one_after_the_other(api):
    holders, order = [], []

    def work():
        taken = api.lock(b"l", 0).result()
        holders.append(taken.key)
        assert len(holders) == 1
        order.append(taken.key)
        holders.remove(taken.key)
        api.unlock(taken.key)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(set(order)) == 12
    assert api.keys() == []


# Elections -------------------------------------------------------------------------------------
def test_the_first_candidate_wins_and_is_the_leader(api):
    lease = api.lease()
    won = api.campaign(b"e", lease, b"one").result()
    assert (won.leader.name, won.leader.key, won.leader.rev, won.leader.lease) == (b"e", b"e/a1", 2, lease)
    leader = api.election("Leader", election.LeaderRequest(name=b"e")).result()
    assert (leader.kv.key, leader.kv.value, leader.kv.lease) == (b"e/a1", b"one", lease)


def test_nobody_leads_before_an_election(api):
    asking = api.election("Leader", election.LeaderRequest(name=b"e"))
    assert failure(asking) == ("UNKNOWN", "election: no leader")


def test_a_successor_waits_until_the_leader_resigns(api):
    won = api.campaign(b"e", api.lease(), b"one").result()
    waiting = api.campaign(b"e", api.lease(), b"two")
    api.wait_until(lambda: api.watch_streams() == 1)
    assert not waiting.done()
    api.election("Resign", election.ResignRequest(leader=won.leader)).result()
    successor = waiting.result()
    assert successor.leader.key == b"e/a2"
    assert api.election("Leader", election.LeaderRequest(name=b"e")).result().kv.value == b"two"


def test_who_stands_again_with_another_value_proclaims_it(api):
    lease = api.lease()
    first = api.campaign(b"e", lease, b"one").result()
    again = api.campaign(b"e", lease, b"two").result()
    assert again.leader == first.leader
    pair = api.election("Leader", election.LeaderRequest(name=b"e")).result().kv
    assert (pair.value, pair.version, pair.lease) == (b"two", 2, lease)


def test_only_the_leader_proclaims(api):
    won = api.campaign(b"e", api.lease(), b"one").result()
    api.election("Proclaim", election.ProclaimRequest(leader=won.leader, value=b"more")).result()
    assert api.election("Leader", election.LeaderRequest(name=b"e")).result().kv.value == b"more"
    api.election("Resign", election.ResignRequest(leader=won.leader)).result()
    proclaiming = api.election("Proclaim", election.ProclaimRequest(leader=won.leader, value=b"x"))
    assert failure(proclaiming) == ("UNKNOWN", "election: not leader")
    assert api.keys() == []


def test_resigning_twice_is_fine_and_touches_no_successor(api):
    lease = api.lease()
    won = api.campaign(b"e", lease, b"one").result()
    api.election("Resign", election.ResignRequest(leader=won.leader)).result()
    api.campaign(b"e", lease, b"again").result()
    api.election("Resign", election.ResignRequest(leader=won.leader)).result()
    assert api.keys() == [b"e/a1"]


@pytest.mark.parametrize("method", ["Proclaim", "Resign"])
def test_a_request_without_its_leader_is_refused(api, method):
    request = getattr(election, f"{method}Request")()
    assert failure(api.election(method, request)) == ("UNKNOWN", '"leader" field must be provided')


def test_a_candidate_whose_lease_has_ended_wins_nothing(api):
    one, two = api.lease(), api.lease()
    won = api.campaign(b"e", one, b"one").result()
    waiting = api.campaign(b"e", two, b"two")
    api.wait_until(lambda: api.watch_streams() == 1)
    api.end_lease(two)
    assert failure(waiting) == ("UNKNOWN", "election: not leader")
    assert api.keys() == [won.leader.key]


def test_a_candidate_that_goes_does_not_stand_any_more(api):
    won = api.campaign(b"e", api.lease(), b"one").result()
    waiting = api.campaign(b"e", api.lease(), b"two")
    api.wait_until(lambda: api.watch_streams() == 1)
    waiting.cancel()
    api.wait_until(lambda: api.keys() == [won.leader.key])


class Observer:
    """Reads an Observe stream in a thread."""

    def __init__(self, api, name):
        method = api.channel.unary_stream(
            "/v3electionpb.Election/Observe",
            election.LeaderRequest.SerializeToString,
            election.LeaderResponse.FromString,
        )
        self.call = method(election.LeaderRequest(name=name))
        self._seen = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(grpc.RpcError):
            for response in self.call:
                self._seen.put(response)

    def next(self):
        response = self._seen.get(timeout=PATIENCE_SECONDS)
        return response.kv.value, response.header.revision

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call.cancel()


def test_observers_see_each_leader_and_each_of_its_values(api):
    with Observer(api, b"e") as observer:
        api.wait_until(lambda: api.watch_streams() == 1)  # nobody leads yet
        one, two = api.lease(), api.lease()
        won = api.campaign(b"e", one, b"one").result()
        assert observer.next() == (b"one", 2)
        api.election("Proclaim", election.ProclaimRequest(leader=won.leader, value=b"more")).result()
        assert observer.next() == (b"more", 3)
        successor = api.campaign(b"e", two, b"two")
        api.wait_until(lambda: len(api.keys()) == 2)
        api.end_lease(one)
        assert observer.next() == (b"two", 5)
        with Observer(api, b"e") as late:
            assert late.next() == (b"two", 5)
        api.election("Resign", election.ResignRequest(leader=successor.result().leader)).result()
        api.campaign(b"e", two, b"three").result()
        assert observer.next()[0] == b"three"
    api.wait_until(lambda: api.watch_streams() == 0)
    api.wait_until(lambda: api.api.request_count() == 0)


# By JSON ---------------------------------------------------------------------------------------
def post(api, path, body):
    connection = http.client.HTTPConnection(api.api.address, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def b64(text):
    return base64.b64encode(text).decode()


def test_locks_by_json(api):
    status, taken = post(api, "/v3/lock/lock", {"name": b64(b"l"), "lease": str(api.lease())})
    assert (status, base64.b64decode(taken["key"])) == (200, b"l/a1")
    status, _ = post(api, "/v3/lock/unlock", {"key": taken["key"]})
    assert (status, api.keys()) == (200, [])


def test_elections_by_json(api):
    campaign = {"name": b64(b"e"), "lease": api.lease(), "value": b64(b"v")}
    status, won = post(api, "/v3/election/campaign", campaign)
    assert status == 200
    assert won["leader"] == {"name": b64(b"e"), "key": b64(b"e/a1"), "rev": "2", "lease": "161"}
    proclaim = {"leader": won["leader"], "value": b64(b"w")}
    assert post(api, "/v3/election/proclaim", proclaim)[0] == 200
    status, leader = post(api, "/v3/election/leader", {"name": b64(b"e")})
    assert leader["kv"]["value"] == b64(b"w")
    assert post(api, "/v3/election/resign", {"leader": won["leader"]})[0] == 200
    status, failed = post(api, "/v3/election/leader", {"name": b64(b"e")})
    assert (status, failed["code"], failed["message"]) == (500, 2, "election: no leader")
    assert post(api, "/v3/election/resign", {})[1]["error"] == '"leader" field must be provided'
