"""The servers compared, each asked in several ways: by gRPC, and by JSON in either spelling."""

import contextlib

from google.protobuf import message_factory
from hypothesis import strategies as st

from miniraft.pb import rpc_pb2 as rpc
from tests.support.auth_client import ALL_METHODS, Failure, GrpcClient, JsonClient
from tests.support.json_messages import spelled, spelled_otherwise
from tests.support.real_etcd import real_binary
from tests.support.server_under_test import MINIRAFT, running_server
from tests.support.watch_client import JsonWatchClient, WatchClient

GRPC = "grpc"
JSON = "json"
JSON_OTHERWISE = "json, spelled otherwise"
WAYS = (GRPC, JSON, JSON_OTHERWISE)
ways = st.sampled_from(WAYS)

_AT_ONCE = ("--heartbeat-interval", "10", "--election-timeout", "50")  # to have a leader

# Two RPCs that share a request are a unary one and a stream; the first is meant.
_NAMES = {
    message_factory.GetMessageClass(method.descriptor.input_type): name
    for name, method in sorted(ALL_METHODS.items(), key=lambda item: item[1].is_unary)
}


class Server:
    """One server. Requests of all services are told apart by their type."""

    def __init__(self, address):
        self.address = address
        self._clients = {
            GRPC: GrpcClient(address, options=[("grpc.use_local_subchannel_pool", 1)]),
            JSON: JsonClient(address),
            JSON_OTHERWISE: JsonClient(address, other_spelling=True),
        }

    def call(self, request, way=GRPC, token=None):
        """Returns the response message, or a Failure.

        The first of them for a watch; for a list of requests to keep leases alive, a list.
        """
        if isinstance(request, list):
            return list(self.responses(request, way, token))
        name = _NAMES[type(request)]
        if ALL_METHODS[name].is_unary:
            return self._clients[way].call(name, request, token)
        return self._clients[way].first_of_stream(name, request, token)

    def responses(self, requests, way=GRPC, token=None):
        """Sends requests of one kind on a stream; yields what comes back, a Failure at last."""
        return self._clients[way].responses(_NAMES[type(requests[0])], requests, token)

    def watch(self, way=GRPC):
        """Returns a stream of watches; it is to be closed."""
        if way == GRPC:
            return WatchClient(self._clients[GRPC].channel)
        return JsonWatchClient(self.address, spelled if way == JSON else spelled_otherwise)

    def hash_kv(self, revision):
        """Returns (hash, compact revision), or a Failure."""
        answer = self.call(rpc.HashKVRequest(revision=revision))
        return answer if isinstance(answer, Failure) else (answer.hash, answer.compact_revision)

    def grant_lease(self, lease):
        """Makes sure the lease exists."""
        answer = self.call(rpc.LeaseGrantRequest(ID=lease, TTL=3600))
        assert not isinstance(answer, Failure) or "lease already exists" in answer.message

    def close(self):
        for client in self._clients.values():
            client.close()


@contextlib.contextmanager
def both_running(folder, *flags):
    """Yields the real etcd and a member of ours, as Servers."""
    etcd = (str(real_binary("etcd")),)
    with (
        running_server(folder / "real", *_AT_ONCE, *flags, program=etcd) as real,
        running_server(folder / "ours", *flags, program=MINIRAFT) as ours,
    ):
        pair = Server(real), Server(ours)
        yield pair
        for server in pair:
            server.close()


def same(servers, request, way=GRPC, token=None, comparable=lambda answer: answer):
    """Asks both; the answers must be equal. Returns the answer, as it was compared."""
    real, ours = (comparable(anonymous(server.call(request, way, token))) for server in servers)
    assert ours == real, f"by {way}: {request}\nreal: {real}\nours: {ours}"
    return ours


def anonymous(answer):
    """Leaves of who gave an answer only that it says so. Changes and returns it."""
    for response in answer if isinstance(answer, list) else [answer]:
        if not isinstance(response, Failure) and response.HasField("header"):
            for name in ("cluster_id", "member_id", "raft_term"):
                setattr(response.header, name, min(getattr(response.header, name), 1))
    return answer
