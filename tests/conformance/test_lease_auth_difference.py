"""Leases with authentication on: who may grant, end, renew, look at and list them, as etcd says."""

import contextlib
import queue
import time

import pytest

from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission
from tests.support.auth_client import Failure, GrpcClient
from tests.support.real_etcd import running_etcd
from tests.support.server_under_test import MINIRAFT, running_server

QUICK = ("--bcrypt-cost", "4")
# User: what it may do with the keys in [a, b).
RIGHTS = {"rw": Permission.READWRITE, "ro": Permission.READ, "wo": Permission.WRITE, "none": None}
USERS = ("root", *RIGHTS)
CALLERS = (*USERS, None, "?")  # without a token, and with a bad one
# Lease: the keys on it.
KEYS = {1: [b"a1"], 2: [b"x2"], 3: [], 4: [b"a4", b"x4"], 5: [b"a5", b"a6"]}
UNKNOWN_LEASE = 99
TTL_SECONDS = 1000

NO_USER = Failure(3, "etcdserver: user name is empty")
DENIED = Failure(7, "etcdserver: permission denied")
BAD_TOKEN = Failure(16, "etcdserver: invalid auth token")
RENEWED = {"ID": 1, "TTL": TTL_SECONDS}


class Server:
    """One of the two, with the tokens of its users."""

    def __init__(self, address):
        self.client = GrpcClient(address)
        self.tokens = {None: None, "?": "no.token"}

    def ask(self, name, request, caller):
        """Returns what can be compared of the answer."""
        return shown(self.client.call(name, request, self.tokens[caller]))

    def log_in(self):
        for user in USERS:
            self.tokens[user] = self.client.login(user, "p")
            assert isinstance(self.tokens[user], str), self.tokens[user]

    def as_root(self, name, request):
        answer = self.client.call(name, request, self.tokens.get("root"))
        assert not isinstance(answer, Failure), (name, answer)

    def set_up(self):
        for user in USERS:
            self.as_root("UserAdd", rpc.AuthUserAddRequest(name=user, password="p"))
            self.as_root("RoleAdd", rpc.AuthRoleAddRequest(name=user))
            self.as_root("UserGrantRole", rpc.AuthUserGrantRoleRequest(user=user, role=user))
        for role, kind in RIGHTS.items():
            if kind is not None:
                self.as_root("RoleGrantPermission", grant(role, kind))
        self.as_root("AuthEnable", rpc.AuthEnableRequest())
        self.log_in()

    def make_leases(self):
        """All leases with their keys, as if they had just been granted."""
        self.as_root("DeleteRange", rpc.DeleteRangeRequest(key=b"a", range_end=b"z"))
        for lease, keys in KEYS.items():
            self.client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease), self.tokens["root"])
            self.as_root("LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=TTL_SECONDS))
            for key in keys:
                self.as_root("Put", rpc.PutRequest(key=key, lease=lease))


def grant(role, kind):
    permission = Permission(permType=kind, key=b"a", range_end=b"b")
    return rpc.AuthRoleGrantPermissionRequest(name=role, perm=permission)


def shown(answer):
    if isinstance(answer, Failure):
        return answer
    fields = {field.name: value for field, value in answer.ListFields() if field.name != "header"}
    if "TTL" in fields:  # of a lease that is asked about it is running
        fields["TTL"] = TTL_SECONDS if 0 < TTL_SECONDS - fields["TTL"] < 60 else fields["TTL"]
    if "leases" in fields:
        fields["leases"] = sorted(lease.ID for lease in fields["leases"])
    if "keys" in fields:
        fields["keys"] = sorted(fields["keys"])
    return fields


@contextlib.contextmanager
def two_servers(folder, *flags):
    """The real etcd and ours, with the same users."""
    with contextlib.ExitStack() as resources:
        (folder / "etcd").mkdir()
        real = resources.enter_context(running_etcd(folder / "etcd", *QUICK, *flags))
        ours = resources.enter_context(running_server(folder / "ours", *QUICK, *flags, program=MINIRAFT))
        pair = Server(real), Server(ours)
        for server in pair:
            resources.callback(server.client.close)
            server.set_up()
        yield pair


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with two_servers(tmp_path_factory.mktemp("servers")) as pair:
        yield pair


@pytest.fixture
def pair(servers):
    for server in servers:
        server.make_leases()
    return servers


def same(pair, ask):
    """Returns the answer that both give."""
    real, ours = map(ask, pair)
    assert ours == real
    return ours


class KeepAlive:
    """A stream of renewals, one at a time."""

    def __init__(self, server, caller):
        self._requests = queue.SimpleQueue()
        self._last = None
        requests = iter(self._requests.get, None)
        self._answers = server.client.responses("LeaseKeepAlive", requests, server.tokens[caller])

    def renew(self, lease=1):
        """The answer, or the Failure that ended the stream."""
        self._requests.put(rpc.LeaseKeepAliveRequest(ID=lease))
        self._last = shown(next(self._answers, self._last))
        return self._last

    def end(self):
        """Says that nothing more comes; returns what is still answered."""
        self._requests.put(None)
        return list(map(shown, self._answers))


# Who may do what --------------------------------------------------------------------------------
@pytest.mark.parametrize("caller", CALLERS)
def test_looking_and_renewing(pair, caller):
    """Whose lease is looked at: keys are shown to those who may read them, time to everybody."""
    listed = same(pair, lambda server: server.ask("LeaseLeases", rpc.LeaseLeasesRequest(), caller))
    assert (listed == {"leases": sorted(KEYS)}) is (caller == "root")
    for lease in (*KEYS, UNKNOWN_LEASE):
        for keys in (False, True):
            look = rpc.LeaseTimeToLiveRequest(ID=lease, keys=keys)
            same(pair, lambda server, look=look: server.ask("LeaseTimeToLive", look, caller))
        same(pair, lambda server, lease=lease: KeepAlive(server, caller).renew(lease))


@pytest.mark.parametrize("caller", CALLERS)
def test_hanging_a_key_on_a_lease(pair, caller):
    """Whoever can hang a key there can end the lease's other keys with it."""
    for lease in (*KEYS, UNKNOWN_LEASE):
        for key in (b"a9", b"x9"):
            put = rpc.PutRequest(key=key, lease=lease)
            in_txn = rpc.TxnRequest(success=[rpc.RequestOp(request_put=put)])
            same(pair, lambda server, put=put: server.ask("Put", put, caller))
            same(pair, lambda server, txn=in_txn: server.ask("Txn", txn, caller))
            for server in pair:
                server.as_root("DeleteRange", rpc.DeleteRangeRequest(key=key))


@pytest.mark.parametrize("caller", CALLERS)
def test_granting_and_revoking(pair, caller):
    def revoke(lease):
        request = rpc.LeaseRevokeRequest(ID=lease)
        return same(pair, lambda server: server.ask("LeaseRevoke", request, caller))

    given = same(pair, lambda server: server.ask("LeaseGrant", rpc.LeaseGrantRequest(ID=50, TTL=60), caller))
    outcomes = {lease: revoke(lease) for lease in (50, *KEYS, UNKNOWN_LEASE)}
    if caller in USERS:
        assert given["ID"] == 50
        assert outcomes[50] == outcomes[3] == {}, "a lease without keys is anybody's"
        assert outcomes[4] == ({} if caller == "root" else DENIED), "one key is enough"
        assert outcomes[5] == ({} if caller in ("root", "rw", "wo") else DENIED)
    left = rpc.RangeRequest(key=b"a", range_end=b"z")
    same(
        pair,
        lambda server: [pair.key for pair in server.client.call("Range", left, server.tokens["root"]).kvs],
    )


# In the middle of a stream ----------------------------------------------------------------------
class Change:
    """What root does while somebody renews, and how it is taken back."""

    def __init__(self, name, request, back_name, back_request, expected, caller="rw", lease=1):
        self.change, self.back = (name, request), (back_name, back_request)
        self.expected, self.caller, self.lease = expected, caller, lease


_REVOKE_PERMISSION = rpc.AuthRoleRevokePermissionRequest(role="rw", key=b"a", range_end=b"b")
CHANGES = {
    "a permission goes": Change(
        *("RoleRevokePermission", _REVOKE_PERMISSION),
        *("RoleGrantPermission", grant("rw", Permission.READWRITE)),
        DENIED,
    ),
    "a role goes": Change(
        *("UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="rw", role="rw")),
        *("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="rw", role="rw")),
        DENIED,
    ),
    "a key of others comes": Change(
        *("Put", rpc.PutRequest(key=b"x7", lease=1)),
        *("DeleteRange", rpc.DeleteRangeRequest(key=b"x7")),
        DENIED,
    ),
    "the password changes": Change(
        *("UserChangePassword", rpc.AuthUserChangePasswordRequest(name="rw", password="p")),
        *("UserList", rpc.AuthUserListRequest()),
        BAD_TOKEN,
    ),
    "the user goes": Change(
        *("UserDelete", rpc.AuthUserDeleteRequest(name="none")),
        *("UserAdd", rpc.AuthUserAddRequest(name="none", password="p")),
        *(BAD_TOKEN, "none", 3),
    ),
    "somebody else's rights change": Change(
        *("RoleAdd", rpc.AuthRoleAddRequest(name="new")),
        *("RoleDelete", rpc.AuthRoleDeleteRequest(role="new")),
        RENEWED,
    ),
    "the lease goes": Change(
        *("LeaseRevoke", rpc.LeaseRevokeRequest(ID=1)),
        *("UserList", rpc.AuthUserListRequest()),
        {"ID": 1},
    ),
    "authentication ends": Change(
        *("AuthDisable", rpc.AuthDisableRequest()),
        *("AuthEnable", rpc.AuthEnableRequest()),
        RENEWED,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_while_a_stream_renews(pair, what):
    change = CHANGES[what]

    def outcome(server):
        stream = KeepAlive(server, change.caller)
        seen = [stream.renew(change.lease)]
        server.as_root(*change.change)
        seen.append(stream.renew(change.lease))
        if not isinstance(seen[-1], Failure):
            seen += [stream.renew(3), *stream.end()]
        server.as_root(*change.back)
        server.log_in()
        return seen

    seen = same(pair, outcome)
    assert seen[0]["TTL"] == TTL_SECONDS
    assert seen[1] == change.expected


def test_authentication_begins_while_a_stream_renews(pair):
    def outcome(server):
        server.as_root("AuthDisable", rpc.AuthDisableRequest())
        stream = KeepAlive(server, None)
        seen = [stream.renew()]
        server.as_root("AuthEnable", rpc.AuthEnableRequest())
        seen.append(stream.renew())
        server.log_in()
        return seen

    assert same(pair, outcome) == [RENEWED, NO_USER]


def test_a_token_that_runs_out_ends_the_stream_and_renewing_keeps_it(tmp_path):
    ttl_seconds = 2
    with two_servers(tmp_path, "--auth-token-ttl", str(ttl_seconds)) as pair:
        for server in pair:
            server.make_leases()
        streams = [KeepAlive(server, "rw") for server in pair]
        renewed = began = time.monotonic()
        while time.monotonic() < began + 2 * ttl_seconds:
            seen = [stream.renew() for stream in streams]
            now = time.monotonic()
            assert seen == [RENEWED, RENEWED] or now - renewed > ttl_seconds - 1, "each use lets it live on"
            renewed = now
            time.sleep(ttl_seconds / 10)
        for stream in streams:
            deadline = time.monotonic() + 60
            while (answer := stream.renew()) == RENEWED and time.monotonic() < deadline:
                time.sleep(ttl_seconds + 1.5)  # both look once a second for tokens that have run out
            assert answer == BAD_TOKEN
