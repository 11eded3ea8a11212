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
LEASE_NOT_FOUND = EtcdError(Code.NOT_FOUND, "etcdserver: requested lease not found")

# Members
MEMBER_NOT_FOUND = EtcdError(Code.NOT_FOUND, "etcdserver: member not found")
MEMBER_ID_EXISTS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: member ID already exist")
PEER_URLS_EXIST = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")
LEARNERS_ONLY_PROMOTED = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: can only promote a learner member")
TOO_MANY_LEARNERS = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")
NOT_LEADER = EtcdError(Code.FAILED_PRECONDITION, "etcdserver: not leader")
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
