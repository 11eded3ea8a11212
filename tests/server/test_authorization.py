"""Who may do what: every check, for every kind of caller, and what reaches apply."""

import base64

import pytest

from miniraft import errors
from miniraft.auth.caller import ANONYMOUS, Caller
from miniraft.errors import EtcdError
from miniraft.mvcc.lessor import Lessor
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission
from miniraft.pb.log_pb2 import AssignToken, ProposalHeader
from miniraft.server.authorization import Authorization
from miniraft.server.proposal import RequestKind
from tests.support.dict_store import DictStore

LEASE, FOREIGN_LEASE = 7, 8


@pytest.fixture
def store():
    return DictStore()


@pytest.fixture
def authorization(store):
    """Authentication is on. `ann` may read [a, c) and write [b, d); a lease hangs on b, one on x."""
    authorization = Authorization(store, token_ttl_ms=1000)
    authorization.leases = Lessor(store)
    for lease_id, key in ((LEASE, b"b"), (FOREIGN_LEASE, b"x")):
        authorization.leases.grant(lease_id, 60)
        authorization.leases.attach(lease_id, key)
    users = authorization.users
    for name in ("root", "ann"):
        users.add_user(name, b"hash", no_password=False)
    users.grant_role("root", "root")
    users.add_role("r")
    users.grant_role("ann", "r")
    for key, end, kind in ((b"a", b"c", Permission.READ), (b"b", b"d", Permission.WRITE)):
        users.grant_permission("r", Permission(permType=kind, key=key, range_end=end))
    authorization.handlers[RequestKind.AUTH_ENABLE](b"")
    return authorization


def callers(authorization):
    revision = authorization.users.revision
    return {
        "ann": Caller("ann", revision),
        "root": Caller("root", revision),
        "anonymous": ANONYMOUS,
        "stale": Caller("ann", revision - 1),
        "gone": Caller("nobody", revision),
    }


def outcome(check, *arguments):
    try:
        check(*arguments)
    except EtcdError as error:
        return error.message
    return None


DENIED = errors.PERMISSION_DENIED.message


def put(key, **fields):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, **fields))


def read(key, end=b""):
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key, range_end=end))


def delete(key, end=b"", **fields):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=end, **fields))


def nested(*operations, **fields):
    return rpc.RequestOp(request_txn=rpc.TxnRequest(success=operations, **fields))


@pytest.mark.parametrize(
    ("operation", "is_allowed"),
    [
        (read(b"a"), True),
        (read(b"a", b"c"), True),
        (read(b"a", b"d"), False),
        (read(b"a", b"\0"), False),
        (read(b"\0", b"\0"), False),
        (read(b"c"), False),
        (put(b"b"), True),
        (put(b"a"), False),
        (put(b"b", prev_kv=True), True),
        (put(b"c"), True),
        (put(b"c", prev_kv=True), False),  # c may be written, but not read
        (put(b"b", lease=LEASE), True),
        (put(b"b", lease=FOREIGN_LEASE), False),  # its end would delete x
        (put(b"b", lease=99), True),  # there is none: the keyspace says so
        (delete(b"b", b"d"), True),
        (delete(b"b", b"\0"), False),
        (delete(b"b", b"c", prev_kv=True), True),
        (delete(b"b", b"d", prev_kv=True), False),
        (nested(put(b"b")), True),
        (nested(put(b"a")), False),
        (nested(nested(read(b"x"))), False),
        (nested(put(b"b", lease=FOREIGN_LEASE)), False),
        (nested(delete(b"b", b"d", prev_kv=True)), False),
        (nested(compare=[rpc.Compare(key=b"x")]), False),
        (nested(compare=[rpc.Compare(key=b"a")]), True),
        (nested(failure=[put(b"x")]), False),
    ],
)
def test_every_operation_of_a_txn_wherever_it_stands(authorization, operation, is_allowed):
    ann = callers(authorization)["ann"]
    expected = None if is_allowed else DENIED
    for txn in (
        rpc.TxnRequest(success=[operation]),
        rpc.TxnRequest(failure=[operation]),
        rpc.TxnRequest(success=[read(b"a"), operation]),
        rpc.TxnRequest(success=[nested(operation)]),
    ):
        assert outcome(authorization.check_txn, ann, txn) == expected
        assert outcome(authorization.check_txn, callers(authorization)["root"], txn) is None
    kind = operation.WhichOneof("request")
    if kind == "request_put":
        assert outcome(authorization.check_put, ann, operation.request_put) == expected
    elif kind == "request_delete_range":
        assert outcome(authorization.check_delete_range, ann, operation.request_delete_range) == expected


@pytest.mark.parametrize(("end", "is_allowed"), [(b"", True), (b"c", True), (b"d", False), (b"\0", False)])
def test_a_comparison_reads_its_whole_range(authorization, end, is_allowed):
    txn = rpc.TxnRequest(compare=[rpc.Compare(key=b"a", range_end=end)])
    expected = None if is_allowed else DENIED
    assert outcome(authorization.check_txn, callers(authorization)["ann"], txn) == expected


def test_what_each_kind_of_caller_is_told(authorization):
    empty, old = errors.USER_NAME_EMPTY.message, errors.AUTH_REVISION_OLD.message
    expected = {
        # caller: (key check, root check, user check)
        "ann": (None, DENIED, None),
        "root": (None, None, None),
        "anonymous": (empty, empty, empty),
        "stale": (old, DENIED, None),  # the role is looked at, not the revision
        "gone": (DENIED, errors.USER_NOT_FOUND.message, None),
    }
    for name, caller in callers(authorization).items():
        told = (
            outcome(authorization.check_read, caller, b"a"),
            outcome(authorization.check_root, caller),
            outcome(authorization.check_user, caller),
        )
        assert told == expected[name], name


def test_users_see_themselves_and_their_roles_only(authorization):
    ann = callers(authorization)["ann"]
    assert outcome(authorization.check_user_shown, ann, "ann") is None
    assert outcome(authorization.check_user_shown, ann, "root") == DENIED
    assert outcome(authorization.check_role_shown, ann, "r") is None
    assert outcome(authorization.check_role_shown, ann, "root") == DENIED
    assert outcome(authorization.check_role_shown, ANONYMOUS, "r") == errors.USER_NAME_EMPTY.message


def test_leases_are_judged_by_their_keys(authorization):
    who = callers(authorization)
    assert outcome(authorization.check_lease_write, who["ann"], LEASE) is None
    assert outcome(authorization.check_lease_write, who["ann"], FOREIGN_LEASE) == DENIED
    assert outcome(authorization.check_lease_write, who["root"], FOREIGN_LEASE) is None
    assert outcome(authorization.check_lease_read, who["ann"], LEASE) is None
    assert outcome(authorization.check_lease_read, who["ann"], FOREIGN_LEASE) == DENIED
    assert outcome(authorization.check_lease_write, ANONYMOUS, LEASE) == errors.USER_NAME_EMPTY.message


# At apply -------------------------------------------------------------------------------------
def header(caller, **fields):
    return ProposalHeader(
        username=caller.username, auth_revision=caller.auth_revision, **fields
    ).SerializeToString()


PUT = rpc.PutRequest(key=b"b").SerializeToString()


@pytest.mark.parametrize("kind", RequestKind)
def test_no_kind_of_request_is_forgotten(authorization, kind):
    """An entry of nobody is refused, unless its kind needs no check."""
    unchecked = {
        RequestKind.COMPACT,
        RequestKind.LEASE_GRANT,
        RequestKind.ALARM,
        RequestKind.LEASE_CHECKPOINT,
        RequestKind.AUTHENTICATE,  # has a check of its own
        RequestKind.SET_CLUSTER_VERSION,
        RequestKind.PUBLISH_MEMBER,
    }
    requests = {
        RequestKind.TXN: rpc.TxnRequest(success=[put(b"b")]),
        RequestKind.LEASE_REVOKE: rpc.LeaseRevokeRequest(ID=LEASE),
        RequestKind.DELETE_RANGE: rpc.DeleteRangeRequest(key=b"b"),
    }
    request = requests.get(kind, rpc.PutRequest(key=b"b")).SerializeToString()
    told = outcome(authorization.check_proposal, kind, b"", request)
    assert told == (None if kind in unchecked else errors.USER_NAME_EMPTY.message)


def test_a_kind_that_nobody_thought_of_is_for_root(authorization):
    who = callers(authorization)
    assert outcome(authorization.check_proposal, 9999, header(who["ann"]), b"") == DENIED
    assert outcome(authorization.check_proposal, 9999, header(who["root"]), b"") is None


def test_an_entry_is_checked_against_the_users_as_they_are_when_it_is_applied(authorization):
    entry = header(callers(authorization)["ann"])
    assert outcome(authorization.check_proposal, RequestKind.PUT, entry, PUT) is None
    authorization.users.add_role("another")
    old = errors.AUTH_REVISION_OLD.message
    assert outcome(authorization.check_proposal, RequestKind.PUT, entry, PUT) == old


def test_what_the_members_decide_themselves_needs_no_user(authorization):
    entry = header(ANONYMOUS, leader_term=3)
    revoke = rpc.LeaseRevokeRequest(ID=FOREIGN_LEASE).SerializeToString()
    assert outcome(authorization.check_proposal, RequestKind.LEASE_REVOKE, entry, revoke) is None


# Tokens ---------------------------------------------------------------------------------------
def token_of(authorization, name="ann"):
    revision = authorization.users.revision
    letters = AssignToken(letters="letters").SerializeToString()
    return authorization.assign_token(5, header(Caller(name, revision)), letters)


def test_a_token_is_not_given_out_for_users_as_they_were(authorization):
    entry = header(callers(authorization)["stale"])
    assert outcome(authorization.assign_token, 5, entry, b"") == errors.AUTH_REVISION_OLD.message
    assert len(authorization.tokens) == 0


def test_a_token_ends_with_the_password_the_user_and_authentication(authorization):
    encoded = base64.b64encode(b"other").decode()
    for change, request in (
        (
            RequestKind.USER_CHANGE_PASSWORD,
            rpc.AuthUserChangePasswordRequest(name="ann", hashedPassword=encoded),
        ),
        (RequestKind.USER_DELETE, rpc.AuthUserDeleteRequest(name="ann")),
        (RequestKind.AUTH_DISABLE, rpc.AuthDisableRequest()),
    ):
        token, roots = token_of(authorization), token_of(authorization, "root")
        token = authorization.tokens.give("a", 1, "ann")
        roots = authorization.tokens.give("b", 1, "root")
        authorization.handlers[change](request.SerializeToString())
        assert authorization.tokens.use(token) is None
        expected = None if change == RequestKind.AUTH_DISABLE else "root"
        assert authorization.tokens.use(roots) == expected
    assert not authorization.enabled
    assert outcome(authorization.assign_token, 5, b"", b"") == errors.AUTH_NOT_ENABLED.message


def test_other_changes_leave_tokens_alone(authorization):
    token = token_of(authorization)
    authorization.users.add_role("another")
    assert authorization.tokens.use(token) == "ann"


def test_a_snapshot_with_other_users_ends_all_tokens(authorization, store):
    token = token_of(authorization)
    authorization.load(store)
    assert authorization.enabled
    assert authorization.tokens.use(token) == "ann"  # nobody has changed
    other = Authorization(store, 1000)
    other.users.add_role("another")
    authorization.load(store)
    assert authorization.tokens.use(token) is None


def test_everything_passes_while_authentication_is_off(store):
    authorization = Authorization(store, 1000)
    assert not authorization.enabled
    for check in (authorization.check_user, authorization.check_root):
        assert outcome(check, ANONYMOUS) is None
    assert outcome(authorization.check_read, ANONYMOUS, b"a") is None
    assert outcome(authorization.check_txn, ANONYMOUS, rpc.TxnRequest(success=[put(b"a")])) is None


def test_a_hash_that_is_none_is_refused(authorization):
    request = rpc.AuthUserAddRequest(name="u", hashedPassword="!").SerializeToString()
    told = outcome(authorization.handlers[RequestKind.USER_ADD], request)
    assert told == errors.NO_PASSWORD_USER.message
    assert authorization.users.user("u") is None
