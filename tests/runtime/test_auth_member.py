"""One member with authentication on, by gRPC and by JSON: who may call what, and the ways round it."""

import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission
from miniraft.pb.lock_pb2 import LockRequest, LockResponse
from tests.support.auth_client import (
    METHODS,
    PATIENCE_SECONDS,
    Failure,
    GrpcClient,
    JsonClient,
    tls_context,
)
from tests.support.certificates import Authority
from tests.support.etcdctl import run_ours, run_real
from tests.support.server_under_test import MINIRAFT, Tls, running_server

QUICK = ("--bcrypt-cost", "4")
NO_USER = Failure(3, "etcdserver: user name is empty")
DENIED = Failure(7, "etcdserver: permission denied")
BAD_TOKEN = Failure(16, "etcdserver: invalid auth token")
OLD = Failure(3, "etcdserver: revision of auth store is old")
WRONG_PASSWORD = Failure(3, "etcdserver: authentication failed, invalid user ID or password")

ANNS_LEASE, OTHERS_LEASE = 7, 8
UNCHECKED = {"Authenticate", "AuthStatus"}
# What an RPC needs to get past the checks of its form.
FORMS = {
    "Range": rpc.RangeRequest(key=b"x"),
    "RangeStream": rpc.RangeRequest(key=b"x"),
    "Put": rpc.PutRequest(key=b"x"),
    "DeleteRange": rpc.DeleteRangeRequest(key=b"x"),
    "Txn": rpc.TxnRequest(compare=[rpc.Compare(key=b"x")]),
    "LeaseGrant": rpc.LeaseGrantRequest(TTL=60),
    "LeaseRevoke": rpc.LeaseRevokeRequest(ID=OTHERS_LEASE),
    "LeaseTimeToLive": rpc.LeaseTimeToLiveRequest(ID=OTHERS_LEASE, keys=True),
    "LeaseKeepAlive": rpc.LeaseKeepAliveRequest(ID=OTHERS_LEASE),
    "MemberAdd": rpc.MemberAddRequest(peerURLs=["http://127.0.0.1:1"]),
    "Downgrade": rpc.DowngradeRequest(version="3.6"),
    "UserGet": rpc.AuthUserGetRequest(name="root"),
    "UserAdd": rpc.AuthUserAddRequest(name="new", password="p"),
    "RoleGet": rpc.AuthRoleGetRequest(role="other"),
    "Watch": rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"x")),
}


UNARY = [name for name, method in METHODS.items() if method.is_unary and name not in UNCHECKED]
STREAMS = [name for name, method in METHODS.items() if not method.is_unary]
# What a user with rights on [a, b) only may call beside KV, with the requests above.
FOR_ANY_USER = {"MemberList", "Status", "Alarm", "LeaseGrant"}


def request_for(name):
    known = FORMS.get(name)
    if known is not None:
        return known
    return getattr(rpc, METHODS[name].descriptor.input_type.name)()


def set_up(client):
    """Users root and ann (rights on [a, b)), a lease with a key of ann's and one without, auth on."""
    for name, request in (
        ("UserAdd", rpc.AuthUserAddRequest(name="root", password="p")),
        ("UserAdd", rpc.AuthUserAddRequest(name="ann", password="p")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="r")),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="other")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="ann", role="r")),
        (
            "RoleGrantPermission",
            rpc.AuthRoleGrantPermissionRequest(
                name="r", perm=Permission(permType=Permission.READWRITE, key=b"a", range_end=b"b")
            ),
        ),
        ("LeaseGrant", rpc.LeaseGrantRequest(ID=ANNS_LEASE, TTL=3600)),
        ("LeaseGrant", rpc.LeaseGrantRequest(ID=OTHERS_LEASE, TTL=3600)),
        ("Put", rpc.PutRequest(key=b"a", value=b"ann's", lease=ANNS_LEASE)),
        ("Put", rpc.PutRequest(key=b"x", value=b"secret", lease=OTHERS_LEASE)),
        ("AuthEnable", rpc.AuthEnableRequest()),
    ):
        answer = client.call(name, request)
        assert not isinstance(answer, Failure), (name, answer)


class Served(NamedTuple):
    address: str
    root: str  # tokens
    ann: str


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("member"), *QUICK, program=MINIRAFT) as address:
        client = GrpcClient(address)
        set_up(client)
        yield Served(address, client.login("root", "p"), client.login("ann", "p"))
        client.close()


@pytest.fixture(params=[GrpcClient, JsonClient], ids=["grpc", "json"])
def client(request, member):
    client = request.param(member.address)
    yield client
    client.close()


@pytest.fixture
def by_grpc(member):
    client = GrpcClient(member.address)
    yield client
    client.close()


# Who may call what ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", UNARY)
def test_no_rpc_serves_those_without_a_token(client, name):
    assert client.call(name, request_for(name)) == NO_USER


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("token", ["", "letters.1", "no-token-at-all", "ann"])
def test_no_rpc_serves_those_with_a_wrong_token(by_grpc, name, token):
    assert by_grpc.call(name, request_for(name), token) == BAD_TOKEN


@pytest.mark.parametrize("name", UNARY)
def test_users_are_held_to_their_rights(client, member, name):
    answer = client.call(name, request_for(name), member.ann)
    if name in FOR_ANY_USER:
        assert not isinstance(answer, Failure)
    elif name == "LeaseLeases":
        assert answer == DENIED  # a key on one of the leases is not hers
    else:
        assert answer == DENIED


@pytest.mark.parametrize("name", ["RangeStream", "Snapshot", "LeaseKeepAlive"])
def test_streams_are_held_to_the_same(by_grpc, member, name):
    assert set(STREAMS) == {"RangeStream", "Snapshot", "LeaseKeepAlive", "Watch"}
    assert by_grpc.first_of_stream(name, request_for(name)) == NO_USER
    assert by_grpc.first_of_stream(name, request_for(name), "letters.1") == BAD_TOKEN
    assert by_grpc.first_of_stream(name, request_for(name), member.ann) == DENIED


def test_anybody_is_told_whether_authentication_is_on(client, member):
    for token in (None, member.ann, member.root):
        assert client.call("AuthStatus", rpc.AuthStatusRequest(), token).enabled
    assert client.call("AuthStatus", rpc.AuthStatusRequest(), "letters.1") == BAD_TOKEN


def test_what_users_may_do(client, member):
    ann = member.ann
    assert client.call("Put", rpc.PutRequest(key=b"aa", value=b"1"), ann).HasField("header")
    assert client.call("Range", rpc.RangeRequest(key=b"a", range_end=b"b"), ann).count == 2
    assert client.call("Range", rpc.RangeRequest(key=b"aa", serializable=True), ann).kvs[0].value == b"1"
    assert client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"aa"), ann).deleted == 1
    assert list(client.call("UserGet", rpc.AuthUserGetRequest(name="ann"), ann).roles) == ["r"]
    assert client.call("RoleGet", rpc.AuthRoleGetRequest(role="r"), ann).perm[0].key == b"a"
    keys = client.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=ANNS_LEASE, keys=True), ann).keys
    assert list(keys) == [b"a"]
    without_keys = client.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=OTHERS_LEASE), ann)
    assert (without_keys.grantedTTL, list(without_keys.keys)) == (3600, [])


def test_keeping_a_lease_alive(by_grpc, member):
    request = rpc.LeaseKeepAliveRequest(ID=ANNS_LEASE)
    assert by_grpc.first_of_stream("LeaseKeepAlive", request, member.ann).TTL == 3600


def test_root_may_do_everything(client, member):
    root = member.root
    assert client.call("Range", rpc.RangeRequest(key=b"\0", range_end=b"\0"), root).count >= 2
    assert list(client.call("UserList", rpc.AuthUserListRequest(), root).users) == ["ann", "root"]
    assert not isinstance(client.call("HashKV", rpc.HashKVRequest(), root), Failure)
    assert len(client.call("LeaseLeases", rpc.LeaseLeasesRequest(), root).leases) >= 2


# Ways round it (the advisories of etcd) -------------------------------------------------------
def secret_put(**fields):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=b"x", **fields))


@pytest.mark.parametrize(
    "operation",
    [
        secret_put(),
        rpc.RequestOp(request_put=rpc.PutRequest(key=b"a", lease=OTHERS_LEASE)),
        rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a", range_end=b"\0")),
        rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=b"a", range_end=b"z", prev_kv=True)),
        rpc.RequestOp(request_txn=rpc.TxnRequest(success=[secret_put(prev_kv=True)])),
        rpc.RequestOp(request_txn=rpc.TxnRequest(failure=[secret_put()])),
        rpc.RequestOp(request_txn=rpc.TxnRequest(compare=[rpc.Compare(key=b"x")])),
    ],
)
def test_a_transaction_hides_nothing(client, member, operation):
    mine = rpc.RequestOp(request_put=rpc.PutRequest(key=b"a"))
    for txn in (
        rpc.TxnRequest(success=[operation]),
        rpc.TxnRequest(failure=[operation]),
        rpc.TxnRequest(success=[rpc.RequestOp(request_txn=rpc.TxnRequest(failure=[operation]))]),
        rpc.TxnRequest(failure=[mine], success=[operation]),
    ):
        assert client.call("Txn", txn, member.ann) == DENIED
    found = client.call("Range", rpc.RangeRequest(key=b"x"), member.root)
    assert (found.kvs[0].value, found.kvs[0].version) == (b"secret", 1)


def test_a_put_may_not_hang_its_key_on_a_lease_with_others_keys(client, member):
    put = rpc.PutRequest(key=b"a", value=b"ann's", lease=OTHERS_LEASE)
    assert client.call("Put", put, member.ann) == DENIED


@pytest.mark.parametrize(
    ("key", "end"), [(b"x", b""), (b"a", b"\0"), (b"a", b"c"), (b"", b""), (b"", b"\0"), (b"b", b"a")]
)
def test_a_watch_is_held_to_the_rights_of_its_user(client, member, key, end):
    """Open-ended watches too (GHSA-xg4h-6gfc-h4m8)."""
    request = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, range_end=end))
    reasons = {
        None: "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
        "letters.1": "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        member.ann: "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    }
    for token, reason in reasons.items():
        answer = client.first_of_stream("Watch", request, token)
        assert (answer.created, answer.canceled, answer.watch_id) == (True, True, -1)
        assert answer.cancel_reason == reason


def test_a_watch_within_the_rights_goes_on(client, member):
    request = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"a", range_end=b"b"))
    answer = client.first_of_stream("Watch", request, member.ann)
    assert (answer.created, answer.canceled) == (True, False)


def test_a_stream_of_watches_lives_on_after_a_refusal(by_grpc, member):
    asked = [rpc.WatchCreateRequest(key=b"x"), rpc.WatchCreateRequest(key=b"a")]
    requests = iter([rpc.WatchRequest(create_request=create) for create in asked])
    stream = by_grpc.channel.stream_stream(
        METHODS["Watch"].path, rpc.WatchRequest.SerializeToString, rpc.WatchResponse.FromString
    )(requests, metadata=[("token", member.ann)], timeout=PATIENCE_SECONDS)
    assert [next(stream).canceled, next(stream).canceled] == [True, False]
    stream.cancel()


def test_locks_are_held_to_the_rights_on_their_keys(by_grpc, member):
    lock = by_grpc.channel.unary_unary(
        "/v3lockpb.Lock/Lock", LockRequest.SerializeToString, LockResponse.FromString
    )

    def outcome(name, token, timeout=PATIENCE_SECONDS):
        metadata = [] if token is None else [("token", token)]
        try:
            return lock(LockRequest(name=name), timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            return Failure(error.code().value[0], error.details())

    def leases():
        return len(by_grpc.call("LeaseLeases", rpc.LeaseLeasesRequest(), member.root).leases)

    before = leases()
    assert outcome(b"a/lock", None).message == NO_USER.message
    assert leases() == before  # nobody is given a lease for nothing
    assert outcome(b"x", member.ann).message == DENIED.message
    held = outcome(b"a/lock", member.ann)
    assert held.key.startswith(b"a/lock/")
    assert outcome(b"a/lock", member.ann, timeout=0.2).code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    # Who gave up waiting has left the queue.
    queue = rpc.RangeRequest(key=b"a/lock/", range_end=b"a/lock0")
    until = time.monotonic() + PATIENCE_SECONDS
    while by_grpc.call("Range", queue, member.ann).count > 1:
        assert time.monotonic() < until
        time.sleep(0.02)
    by_grpc.call("DeleteRange", rpc.DeleteRangeRequest(key=held.key), member.ann)


def test_without_space_rights_are_still_checked(tmp_path):
    """etcd#22386."""
    with running_server(tmp_path, *QUICK, program=MINIRAFT) as address:
        client = GrpcClient(address)
        set_up(client)
        root, ann = client.login("root", "p"), client.login("ann", "p")
        member_id = client.call("MemberList", rpc.MemberListRequest(), root).members[0].ID
        raised = rpc.AlarmRequest(action=rpc.AlarmRequest.ACTIVATE, memberID=member_id, alarm=rpc.NOSPACE)
        assert not isinstance(client.call("Alarm", raised, root), Failure)
        no_space = Failure(8, "etcdserver: mvcc: database space exceeded")
        assert client.call("Put", rpc.PutRequest(key=b"a"), ann) == no_space
        delete = rpc.DeleteRangeRequest(key=b"x")
        assert client.call("DeleteRange", delete, ann) == DENIED
        assert client.call("DeleteRange", delete) == NO_USER
        reading = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"x"))
        deleting = rpc.RequestOp(request_delete_range=delete)
        assert client.call("Txn", rpc.TxnRequest(success=[reading]), ann) == DENIED
        assert client.call("Txn", rpc.TxnRequest(success=[deleting]), ann) == DENIED
        assert client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=OTHERS_LEASE), ann) == DENIED
        assert client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"a"), ann).deleted == 1
        client.close()


# Logging in -----------------------------------------------------------------------------------
def test_passwords(client):
    assert client.login("ann", "q") == WRONG_PASSWORD
    assert client.login("ann", "") == WRONG_PASSWORD
    assert client.login("nobody", "p") == WRONG_PASSWORD
    assert client.login("ann", "p" * 100) == WRONG_PASSWORD


def test_a_password_that_is_too_long_is_refused(client, member):
    too_long = Failure(2, "bcrypt: password length exceeds 72 bytes")
    add = rpc.AuthUserAddRequest(name="long", password="é" * 37)
    assert client.call("UserAdd", add, member.root) == too_long
    change = rpc.AuthUserChangePasswordRequest(name="ann", password="p" * 73)
    assert client.call("UserChangePassword", change, member.root) == too_long


def test_a_user_without_password_cannot_log_in(client, member):
    add = rpc.AuthUserAddRequest(name="silent")
    add.options.no_password = True
    add.hashedPassword = "JDJhJDA0JA=="  # from outside it counts for nothing
    client.call("UserAdd", add, member.root)
    expected = Failure(2, "auth: authentication failed, password was given for no password user")
    assert client.login("silent", "p") == expected
    client.call("UserDelete", rpc.AuthUserDeleteRequest(name="silent"), member.root)


def test_a_new_password_ends_the_users_tokens_and_no_others(client, member):
    root = member.root
    client.call("UserAdd", rpc.AuthUserAddRequest(name="bob", password="p"), root)
    token, other = client.login("bob", "p"), client.login("ann", "p")
    get = rpc.AuthUserGetRequest(name="bob")
    assert not isinstance(client.call("UserGet", get, token), Failure)
    client.call("UserChangePassword", rpc.AuthUserChangePasswordRequest(name="bob", password="q"), root)
    assert client.call("UserGet", get, token) == BAD_TOKEN
    assert not isinstance(client.call("MemberList", rpc.MemberListRequest(), other), Failure)
    assert client.login("bob", "p") == WRONG_PASSWORD
    token = client.login("bob", "q")
    client.call("UserChangePassword", rpc.AuthUserChangePasswordRequest(name="bob"), root)
    assert client.call("UserGet", get, token) == BAD_TOKEN
    assert client.login("bob", "") == WRONG_PASSWORD  # no password is left
    client.call("UserDelete", rpc.AuthUserDeleteRequest(name="bob"), root)


def test_rights_that_are_taken_end_at_once(client, member):
    root = member.root
    client.call("UserAdd", rpc.AuthUserAddRequest(name="eve", password="p"), root)
    client.call("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="eve", role="r"), root)
    token = client.login("eve", "p")
    assert client.call("Range", rpc.RangeRequest(key=b"a"), token).count == 1
    client.call("UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="eve", role="r"), root)
    assert client.call("Range", rpc.RangeRequest(key=b"a"), token) == DENIED
    client.call("UserDelete", rpc.AuthUserDeleteRequest(name="eve"), root)
    assert client.call("Range", rpc.RangeRequest(key=b"a"), token) == BAD_TOKEN


@pytest.mark.parametrize("header", ["Authorization", "authorization", "Grpc-Metadata-Token"])
def test_the_headers_a_token_comes_in(member, header):
    client = JsonClient(member.address)
    for value in (member.ann, f"Bearer {member.ann}") if header != "Grpc-Metadata-Token" else (member.ann,):
        status, _ = client.post("/v3/kv/range", b'{"key":"YQ=="}', {header: value})
        assert status == 200
    status, _ = client.post("/v3/kv/range", b'{"key":"YQ=="}', {header: "wrong"})
    assert status == 401
    client.close()


def test_metadata_by_grpc_may_be_called_authorization(by_grpc, member):
    request = rpc.RangeRequest(key=b"a")
    for value in (member.ann, f"Bearer {member.ann}"):
        assert by_grpc.call("Range", request, metadata=[("authorization", value)]).count == 1


def test_many_log_in_at_once(member):
    clients = [GrpcClient(member.address) for _ in range(8)]
    tokens = {}
    threads = [
        threading.Thread(target=lambda c=c: tokens.setdefault(c, c.login("ann", "p"))) for c in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(set(tokens.values())) == len(clients)
    for client in clients:
        assert client.call("Range", rpc.RangeRequest(key=b"a"), tokens[client]).count == 1
        client.close()


def test_health_is_told_to_anybody(member):
    with urllib.request.urlopen(f"http://{member.address}/health", timeout=PATIENCE_SECONDS) as answer:
        assert b'"health":"true"' in answer.read()


def test_a_token_ends_when_it_is_not_used(tmp_path):
    with running_server(tmp_path, *QUICK, "--auth-token-ttl", "1", program=MINIRAFT) as address:
        client = GrpcClient(address)
        set_up(client)
        token = client.login("ann", "p")
        request = rpc.RangeRequest(key=b"a")
        until = time.monotonic() + 1.5
        while time.monotonic() < until:  # used, it lives on
            assert client.call("Range", request, token).count == 1
            time.sleep(0.1)
        time.sleep(1.3)
        assert client.call("Range", request, token) == BAD_TOKEN
        client.close()


def test_authentication_and_users_are_kept_over_a_restart_and_tokens_are_not(tmp_path):
    token = ""
    for attempt in range(2):
        with running_server(tmp_path, *QUICK, program=MINIRAFT) as address:
            client = GrpcClient(address)
            if attempt == 0:
                set_up(client)
                time.sleep(0.3)  # the store is committed: nothing is replayed
            else:
                assert client.call("Range", rpc.RangeRequest(key=b"a"), token) == BAD_TOKEN
            assert client.call("Range", rpc.RangeRequest(key=b"a")) == NO_USER
            token = client.login("ann", "p")
            assert client.call("Range", rpc.RangeRequest(key=b"a"), token).count == 1
            if attempt == 1:
                client.call("AuthDisable", rpc.AuthDisableRequest(), client.login("root", "p"))
                assert client.call("Range", rpc.RangeRequest(key=b"x")).count == 1
                assert client.login("ann", "p") == Failure(9, "etcdserver: authentication is not enabled")
            client.close()


# Signed tokens --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def key_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(65537, 2048)
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def test_signed_tokens_hold_until_anything_changes(tmp_path, key_files):
    private, public = key_files
    flag = f"jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl=10m"
    with running_server(tmp_path, *QUICK, "--auth-token", flag, program=MINIRAFT) as address:
        client = GrpcClient(address)
        set_up(client)
        root, ann = client.login("root", "p"), client.login("ann", "p")
        assert ann.count(".") == 2
        request = rpc.RangeRequest(key=b"a")
        assert client.call("Range", request, ann).count == 1
        assert client.call("Put", rpc.PutRequest(key=b"x"), ann) == DENIED
        assert client.call("Range", request, ann + "x") == BAD_TOKEN
        client.call("RoleAdd", rpc.AuthRoleAddRequest(name="more"), root)
        assert client.call("Range", request, ann) == OLD
        assert client.call("Put", rpc.PutRequest(key=b"a"), ann) == OLD
        watch = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"a"))
        assert client.first_of_stream("Watch", watch, ann).cancel_reason == (
            "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old"
        )
        # Administration looks at the role alone.
        assert not isinstance(client.call("UserList", rpc.AuthUserListRequest(), root), Failure)
        assert client.call("Range", request, client.login("ann", "p")).count == 1
        client.close()


def test_a_public_key_alone_verifies_only(tmp_path, key_files):
    flag = f"jwt,pub-key={key_files[1]},sign-method=RS256"
    with running_server(tmp_path, *QUICK, "--auth-token", flag, program=MINIRAFT) as address:
        client = GrpcClient(address)
        set_up(client)
        verify_only = Failure(2, "auth: token signing attempted with verify-only key")
        assert client.login("ann", "p") == verify_only
        assert client.login("ann", "q") == WRONG_PASSWORD
        client.close()


# Certificates ---------------------------------------------------------------------------------
def test_the_name_in_a_certificate_is_a_user_by_grpc_only(tmp_path):
    authority = Authority(tmp_path / "ca")
    served = authority.issue("server")
    certificates = {name: authority.issue(name) for name in ("root", "ann", "nobody")}
    tls = Tls(served.cert_file, served.key_file, authority.cert_file)

    with running_server(tmp_path / "m", *QUICK, tls=tls, program=MINIRAFT) as address:
        clients = {
            name: GrpcClient(
                address,
                grpc.ssl_channel_credentials(
                    *(
                        Path(file).read_bytes()
                        for file in (authority.cert_file, issued.key_file, issued.cert_file)
                    )
                ),
            )
            for name, issued in certificates.items()
        }
        json_client = JsonClient(address, tls_context(certificates["ann"], authority.cert_file))
        status, _ = json_client.post("/v3/kv/range", b'{"key":"YQ=="}')
        assert status == 200  # authentication is off
        set_up(clients["root"])
        assert clients["root"].call("Range", rpc.RangeRequest(key=b"x")).count == 1
        assert clients["ann"].call("Range", rpc.RangeRequest(key=b"a")).count == 1
        assert clients["ann"].call("Range", rpc.RangeRequest(key=b"x")) == DENIED
        assert clients["ann"].call("Put", rpc.PutRequest(key=b"x")) == DENIED
        assert clients["nobody"].call("Range", rpc.RangeRequest(key=b"a")) == DENIED
        watch = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"a"))
        assert not clients["ann"].first_of_stream("Watch", watch).canceled
        # A token goes before the certificate.
        token = clients["ann"].login("root", "p")
        assert clients["ann"].call("Range", rpc.RangeRequest(key=b"x"), token).count == 1
        assert clients["root"].call("Range", rpc.RangeRequest(key=b"x"), "letters.1") == BAD_TOKEN
        for path in ("/v3/kv/range", "/v3/nothing"):
            status, body = json_client.post(path, b'{"key":"YQ=="}', {"Authorization": token})
            assert (status, body) == (
                400,
                b"CommonName of client sending a request against gateway will be ignored "
                b"and not used as expected\n",
            )
        json_client.close()
        for client in clients.values():
            client.close()


# The tools ------------------------------------------------------------------------------------
@pytest.mark.parametrize("tool", ["etcdctl 3.5", "etcdctl 3.4", "etcdctl-py"])
def test_the_command_line_clients(tmp_path, tool):
    def run(*words, stdin=b""):
        words = ("--endpoints", address, *words)
        if tool == "etcdctl-py":
            return run_ours(*words, stdin=stdin)
        return run_real(*words, stdin=stdin, old=tool == "etcdctl 3.4")

    with running_server(tmp_path, *QUICK, program=MINIRAFT) as address:
        for words in (
            ("user", "add", "root:p"),
            ("user", "add", "ann:p"),
            ("role", "add", "r"),
            ("role", "grant-permission", "r", "readwrite", "a/", "--prefix"),
            ("user", "grant-role", "ann", "r"),
            ("auth", "enable"),  # creates and grants the role root
        ):
            assert run(*words).code == 0, words
        assert run("put", "a/1", "x").code != 0
        assert run("--user", "ann:p", "put", "a/1", "x").out == b"OK\n"
        assert run("--user", "ann:p", "get", "a/", "--prefix", "--keys-only").out.strip() == b"a/1"
        denied = run("--user", "ann:p", "put", "b", "x")
        assert denied.code == 1
        assert b"permission denied" in denied.err
        assert b"authentication failed" in run("--user", "ann:wrong", "get", "a/1").err
        assert run("--user", "root:p", "user", "list").out == b"ann\nroot\n"
        shown = run("--user", "ann:p", "user", "get", "ann", "--detail")
        assert b"[a/, a0) (prefix a/)" in shown.out
        changed = run("--user", "root:p", "user", "passwd", "ann", "--interactive=false", stdin=b"q\n")
        assert changed.code == 0, changed.error_text
        assert run("--user", "ann:q", "get", "a/1").code == 0
        assert run("--user", "root:p", "role", "revoke-permission", "r", "a/", "--prefix").code == 0
        assert run("--user", "ann:q", "get", "a/1").code == 1
        assert run("--user", "root:p", "auth", "disable").out == b"Authentication Disabled\n"
        assert run("get", "a/1").code == 0
