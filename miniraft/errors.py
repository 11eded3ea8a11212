"""The errors that clients see: gRPC code and message exactly as etcd's.

Official clients match on the message, so the texts are part of the interface. One instance
for each, raised as it is; a room that needs a further one adds it here.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class EtcdError(Exception):
    """An answer to a client that is an error. Nothing was changed by the request."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __repr__(self) -> str:
        return f"EtcdError({self.code.name}, {self.message!r})"

    def fresh(self) -> EtcdError:
        """Returns a copy without traceback, for raising: the constants below are shared."""
        return EtcdError(self.code, self.message)


# Requests
EMPTY_KEY = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: key is not provided")
KEY_NOT_FOUND = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: key not found")
VALUE_PROVIDED = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: value is provided")
LEASE_PROVIDED = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: lease is provided")
TOO_MANY_OPERATIONS = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request")
DUPLICATE_KEY = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")
INVALID_SORT_OPTION = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: invalid sort option")
INVALID_CLIENT_API_VERSION = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: invalid client api version")
REQUEST_TOO_LARGE = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: request is too large")

# Keyspace
COMPACTED = EtcdError(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")
FUTURE_REVISION = EtcdError(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")
NO_SPACE = EtcdError(Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")

# Leases
LEASE_NOT_FOUND = EtcdError(Code.NOT_FOUND, "etcdserver: requested lease not found")
LEASE_EXISTS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: lease already exists")
LEASE_TTL_TOO_LARGE = EtcdError(Code.OUT_OF_RANGE, "etcdserver: too large lease TTL")
NOT_PRIMARY_LESSOR = EtcdError(Code.UNKNOWN, "not a primary lessor")

# Locks and elections
LOCK_SESSION_EXPIRED = EtcdError(Code.UNKNOWN, "mutex: session is expired")
ELECTION_NOT_LEADER = EtcdError(Code.UNKNOWN, "election: not leader")
ELECTION_NO_LEADER = EtcdError(Code.UNKNOWN, "election: no leader")
LEADER_KEY_MISSING = EtcdError(Code.UNKNOWN, '"leader" field must be provided')

# Members
MEMBER_NOT_FOUND = EtcdError(Code.NOT_FOUND, "etcdserver: member not found")
MEMBER_ID_EXISTS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: member ID already exist")
PEER_URLS_EXIST = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")
LEARNERS_ONLY_PROMOTED = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: can only promote a learner member")
TOO_MANY_LEARNERS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")
NOT_LEADER = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: not leader")
MEMBER_URLS_INVALID = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")
LEARNER_NOT_READY = EtcdError(
    Code.FAILED_PRECONDITION, "etcdserver: can only promote a learner member which is in sync with leader"
)
NOT_ENOUGH_STARTED = EtcdError(  # not FAILED_PRECONDITION: etcd forgot to map it
    Code.UNKNOWN, "etcdserver: re-configuration failed due to not enough started members"
)
UNHEALTHY_CLUSTER = EtcdError(Code.UNAVAILABLE, "etcdserver: unhealthy cluster")
BAD_LEADER_TRANSFEREE = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: bad leader transferee")
NOT_CAPABLE = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: not capable")
LEARNER_UNSUPPORTED = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner")

# Availability
NO_LEADER = EtcdError(Code.UNAVAILABLE, "etcdserver: no leader")
LEADER_CHANGED = EtcdError(Code.UNAVAILABLE, "etcdserver: leader changed")
SERVER_STOPPED = EtcdError(Code.UNAVAILABLE, "etcdserver: server stopped")
TIMED_OUT = EtcdError(Code.UNAVAILABLE, "etcdserver: request timed out")
TIMED_OUT_LEADER_FAILURE = EtcdError(
    Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"
)
TIMED_OUT_CONNECTION_LOST = EtcdError(
    Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost"
)
TRANSFER_TIMED_OUT = EtcdError(Code.UNKNOWN, "etcdserver: request timed out, leader transfer took too long")
TOO_MANY_REQUESTS = EtcdError(Code.UNKNOWN, "etcdserver: too many requests")
CORRUPT_CLUSTER = EtcdError(Code.DATA_LOSS, "etcdserver: corrupt cluster")
DEADLINE_EXCEEDED = EtcdError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")

# Downgrade
DOWNGRADE_VERSION_FORMAT = EtcdError(
    Code.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format"
)
DOWNGRADE_VERSION_INVALID = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")
CLUSTER_VERSION_UNKNOWN = EtcdError(
    Code.FAILED_PRECONDITION, "etcdserver: cluster version not found during downgrade"
)
NO_OLDER_VERSION = EtcdError(  # our own: where etcd would begin to downgrade
    Code.FAILED_PRECONDITION,
    "etcdserver: this server has no older version to go back to: save a snapshot and restore it with "
    "the etcdutl of the etcd you want",
)
UNKNOWN_METHOD = EtcdError(Code.UNKNOWN, "etcdserver: unknown method")

# Authentication
USER_NAME_EMPTY = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: user name is empty")
ROLE_NAME_EMPTY = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: role name is empty")
AUTH_FAILED = EtcdError(
    Code.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password"
)
PERMISSION_NOT_GIVEN = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: permission not given")
INVALID_AUTH_MANAGEMENT = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: invalid auth management")
AUTH_REVISION_OLD = EtcdError(Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")
PERMISSION_DENIED = EtcdError(Code.PERMISSION_DENIED, "etcdserver: permission denied")
ROOT_USER_MISSING = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: root user does not exist")
ROOT_ROLE_NOT_GRANTED = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: root user does not have root role")
USER_EXISTS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: user name already exists")
USER_NOT_FOUND = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: user name not found")
ROLE_EXISTS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: role name already exists")
ROLE_NOT_FOUND = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: role name not found")
ROLE_NOT_GRANTED = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: role is not granted to the user")
PERMISSION_NOT_GRANTED = EtcdError(
    Code.FAILED_PRECONDITION, "etcdserver: permission is not granted to the role"
)
AUTH_NOT_ENABLED = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled")
INVALID_AUTH_TOKEN = EtcdError(Code.UNAUTHENTICATED, "etcdserver: invalid auth token")
NO_PASSWORD_USER = EtcdError(
    Code.UNKNOWN, "auth: authentication failed, password was given for no password user"
)
VERIFY_ONLY_KEY = EtcdError(Code.UNKNOWN, "auth: token signing attempted with verify-only key")
PASSWORD_TOO_LONG = EtcdError(Code.UNKNOWN, "bcrypt: password length exceeds 72 bytes")
