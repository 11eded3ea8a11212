"""What the server answers, read from the gateway's JSON into typed messages.

A class names its fields in FIELDS as etcd's protocol does (name, order and kind). The gateway
leaves zero values out, writes 64-bit numbers as strings, bytes as base64 and enums by name;
reading undoes all of that, and writing in Go's form (`go_json`) puts numbers back as numbers.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, ClassVar, NamedTuple, Self

from etcdctl_py.failure import CommandError

JsonObject = dict[str, Any]


def _read_bytes(value: Any) -> bytes:
    return b64decode(value)


def _read_bool(value: Any) -> bool:
    return bool(value)


class EnumReader:
    """Reads an enum written by name or by number, and knows the names for printing."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, value: Any) -> int:
        """Returns the enum's number; raises ValueError for a name that is not one of its own."""
        if isinstance(value, str) and not value.isdigit():
            return self.names.index(value)
        return int(value)

    def name(self, number: int) -> str:
        """Returns the name, or the number as text when it has none."""
        return self.names[number] if 0 <= number < len(self.names) else str(number)


ALARM_TYPE = EnumReader("NONE", "NOSPACE", "CORRUPT")
EVENT_TYPE = EnumReader("PUT", "DELETE")
PERMISSION_TYPE = EnumReader("READ", "WRITE", "READWRITE")


class Field(NamedTuple):
    """One field: its name in JSON, how a value is read, what it is when absent."""

    name: str
    read: Any
    zero: Any
    repeated: bool = False
    attribute: str = ""

    @property
    def target(self) -> str:
        """The attribute that holds the value."""
        return self.attribute or self.name


def number(name: str, attribute: str = "") -> Field:
    """A whole number of any width."""
    return Field(name, int, 0, attribute=attribute)


def text(name: str) -> Field:
    """A string."""
    return Field(name, str, "")


def data(name: str) -> Field:
    """Bytes, base64 in JSON."""
    return Field(name, _read_bytes, b"")


def switch(name: str, attribute: str = "") -> Field:
    """True or false."""
    return Field(name, _read_bool, False, attribute=attribute)


def enum(name: str, reader: EnumReader) -> Field:
    """An enum, a number in Go's JSON."""
    return Field(name, reader, 0)


def part(name: str, kind: type[Message]) -> Field:
    """A message, None when absent."""
    return Field(name, kind, None)


def many(field: Field) -> Field:
    """The same field as a list."""
    return field._replace(zero=(), repeated=True)


class Message:
    """A message read from the gateway's JSON; absent fields are zero."""

    FIELDS: ClassVar[tuple[Field, ...]] = ()

    def __init__(self, source: JsonObject | None = None) -> None:
        present = source or {}
        for field in self.FIELDS:
            value = present.get(field.name)
            if value is None:
                value = field.zero
            elif field.repeated:
                value = [field.read(item) for item in value]
            else:
                value = field.read(value)
            setattr(self, field.target, value)

    def go_json(self) -> JsonObject:
        """Returns what Go's encoder would write: in field order, zero values left out."""
        written: JsonObject = {}
        for field in self.FIELDS:
            value = getattr(self, field.target)
            if isinstance(value, Message):
                written[field.name] = value.go_json()
            elif field.repeated and value:
                written[field.name] = [_go_json_item(item) for item in value]
            elif value:
                written[field.name] = value
        return written


def _go_json_item(item: Any) -> Any:
    return item.go_json() if isinstance(item, Message) else item


class ResponseHeader(Message):
    """Who answered, and at which revision."""

    cluster_id: int
    member_id: int
    revision: int
    raft_term: int
    FIELDS = (number("cluster_id"), number("member_id"), number("revision"), number("raft_term"))


class Response(Message):
    """A response that carries a header."""

    header: ResponseHeader | None
    FIELDS: ClassVar[tuple[Field, ...]] = (part("header", ResponseHeader),)

    @property
    def head(self) -> ResponseHeader:
        """The header, with zeros in it when the server sent none."""
        return self.header or ResponseHeader()

    @classmethod
    def read(cls, source: JsonObject) -> Self:
        """Reads a gateway response; kept as `raw` for the protobuf printer.

        Raises CommandError for an answer that is no such response.
        """
        try:
            response = cls(source)
        except (AttributeError, TypeError, ValueError) as error:
            raise CommandError(
                f"the answer is no {cls.__name__}: {error}",
                notes=("Is another server, or a proxy, listening there? Check --endpoints.",),
            ) from None
        response.raw = source
        return response

    raw: JsonObject


class KeyValue(Message):
    """A key with its value and history."""

    key: bytes
    create_revision: int
    mod_revision: int
    version: int
    value: bytes
    lease: int
    FIELDS = (
        data("key"),
        number("create_revision"),
        number("mod_revision"),
        number("version"),
        data("value"),
        number("lease"),
    )


class RangeResponse(Response):
    """Answer to a range request."""

    kvs: list[KeyValue]
    more: bool
    count: int
    FIELDS = (*Response.FIELDS, many(part("kvs", KeyValue)), switch("more"), number("count"))


class PutResponse(Response):
    """Answer to a put."""

    prev_kv: KeyValue | None
    FIELDS = (*Response.FIELDS, part("prev_kv", KeyValue))


class DeleteRangeResponse(Response):
    """Answer to a delete."""

    deleted: int
    prev_kvs: list[KeyValue]
    FIELDS = (*Response.FIELDS, number("deleted"), many(part("prev_kvs", KeyValue)))


class ResponseOp(Message):
    """The answer to one operation of a transaction: one of these is set."""

    response_range: RangeResponse | None
    response_put: PutResponse | None
    response_delete_range: DeleteRangeResponse | None
    response_txn: TxnResponse | None

    def go_json(self) -> JsonObject:
        """Go wraps the chosen member in an object named after the choice."""
        return {"Response": super().go_json()}


class TxnResponse(Response):
    """Answer to a transaction."""

    succeeded: bool
    responses: list[ResponseOp]
    FIELDS = (*Response.FIELDS, switch("succeeded"), many(part("responses", ResponseOp)))


ResponseOp.FIELDS = (
    part("response_range", RangeResponse),
    part("response_put", PutResponse),
    part("response_delete_range", DeleteRangeResponse),
    part("response_txn", TxnResponse),
)


class CompactionResponse(Response):
    """Answer to a compaction."""


class Event(Message):
    """One change seen by a watch."""

    type: int
    kv: KeyValue | None
    prev_kv: KeyValue | None
    FIELDS = (enum("type", EVENT_TYPE), part("kv", KeyValue), part("prev_kv", KeyValue))


class WatchResponse(Response):
    """One message of a watch."""

    watch_id: int
    created: bool
    canceled: bool
    compact_revision: int
    cancel_reason: str
    events: list[Event]
    FIELDS = (
        *Response.FIELDS,
        number("watch_id"),
        switch("created"),
        switch("canceled"),
        number("compact_revision"),
        text("cancel_reason"),
        many(part("events", Event)),
    )


class LeaseGrantResponse(Response):
    """Answer to a lease grant."""

    lease_id: int
    ttl: int
    error: str
    FIELDS = (*Response.FIELDS, number("ID", "lease_id"), number("TTL", "ttl"), text("error"))


class LeaseRevokeResponse(Response):
    """Answer to a lease revocation."""


class LeaseKeepAliveResponse(Response):
    """One renewal of a lease; a TTL of zero means that there is no such lease."""

    lease_id: int
    ttl: int
    FIELDS = (*Response.FIELDS, number("ID", "lease_id"), number("TTL", "ttl"))


class LeaseTimeToLiveResponse(Response):
    """What is left of a lease; a TTL of -1 means that there is no such lease."""

    lease_id: int
    ttl: int
    granted_ttl: int
    keys: list[bytes]
    FIELDS = (
        *Response.FIELDS,
        number("ID", "lease_id"),
        number("TTL", "ttl"),
        number("grantedTTL", "granted_ttl"),
        many(data("keys")),
    )


class LeaseStatus(Message):
    """A lease in the list of leases."""

    lease_id: int
    FIELDS = (number("ID", "lease_id"),)


class LeaseLeasesResponse(Response):
    """All leases."""

    leases: list[LeaseStatus]
    FIELDS = (*Response.FIELDS, many(part("leases", LeaseStatus)))


class Member(Message):
    """A member of the cluster."""

    member_id: int
    name: str
    peer_urls: list[str]
    client_urls: list[str]
    is_learner: bool
    FIELDS = (
        number("ID", "member_id"),
        text("name"),
        many(text("peerURLs"))._replace(attribute="peer_urls"),
        many(text("clientURLs"))._replace(attribute="client_urls"),
        switch("isLearner", "is_learner"),
    )


class MembersResponse(Response):
    """Answer to member list, remove, update and promote."""

    members: list[Member]
    FIELDS: ClassVar[tuple[Field, ...]] = (*Response.FIELDS, many(part("members", Member)))


class MemberListResponse(MembersResponse):
    """Answer to a member list."""


class MemberRemoveResponse(MembersResponse):
    """Answer to a member removal."""


class MemberUpdateResponse(MembersResponse):
    """Answer to a member update."""


class MemberPromoteResponse(MembersResponse):
    """Answer to a learner's promotion."""


class MemberAddResponse(MembersResponse):
    """Answer to a member addition."""

    member: Member | None
    FIELDS = (*Response.FIELDS, part("member", Member), many(part("members", Member)))


class DowngradeInfo(Message):
    """Whether a downgrade is under way."""

    enabled: bool
    target_version: str
    FIELDS = (switch("enabled"), text("targetVersion")._replace(attribute="target_version"))


class StatusResponse(Response):
    """The state of one member."""

    version: str
    db_size: int
    leader: int
    raft_index: int
    raft_term: int
    raft_applied_index: int
    errors: list[str]
    db_size_in_use: int
    is_learner: bool
    storage_version: str
    db_size_quota: int
    downgrade_info: DowngradeInfo | None
    FIELDS = (
        *Response.FIELDS,
        text("version"),
        number("dbSize", "db_size"),
        number("leader"),
        number("raftIndex", "raft_index"),
        number("raftTerm", "raft_term"),
        number("raftAppliedIndex", "raft_applied_index"),
        many(text("errors")),
        number("dbSizeInUse", "db_size_in_use"),
        switch("isLearner", "is_learner"),
        text("storageVersion")._replace(attribute="storage_version"),
        number("dbSizeQuota", "db_size_quota"),
        part("downgradeInfo", DowngradeInfo)._replace(attribute="downgrade_info"),
    )


class HashKVResponse(Response):
    """A checksum over the history of keys."""

    hash: int
    compact_revision: int
    hash_revision: int
    FIELDS = (*Response.FIELDS, number("hash"), number("compact_revision"), number("hash_revision"))


class MoveLeaderResponse(Response):
    """Answer to a leadership transfer."""


class DefragmentResponse(Response):
    """Answer to a defragmentation."""


class AlarmMember(Message):
    """An alarm that a member raised."""

    member_id: int
    alarm: int
    FIELDS = (number("memberID", "member_id"), enum("alarm", ALARM_TYPE))


class AlarmResponse(Response):
    """Alarms that are up, or that were just disarmed."""

    alarms: list[AlarmMember]
    FIELDS = (*Response.FIELDS, many(part("alarms", AlarmMember)))


class SnapshotResponse(Response):
    """One piece of a snapshot."""

    remaining_bytes: int
    blob: bytes
    version: str
    FIELDS = (*Response.FIELDS, number("remaining_bytes"), data("blob"), text("version"))


class DowngradeResponse(Response):
    """Answer to a downgrade request."""

    version: str
    FIELDS = (*Response.FIELDS, text("version"))


class AuthenticateResponse(Response):
    """A token."""

    token: str
    FIELDS = (*Response.FIELDS, text("token"))


class AuthEnableResponse(Response):
    """Answer to switching authentication on."""


class AuthDisableResponse(Response):
    """Answer to switching authentication off."""


class AuthStatusResponse(Response):
    """Whether authentication is on."""

    enabled: bool
    auth_revision: int
    FIELDS = (*Response.FIELDS, switch("enabled"), number("authRevision", "auth_revision"))


class AuthUserAddResponse(Response):
    """Answer to adding a user."""


class AuthUserGetResponse(Response):
    """The roles of a user."""

    roles: list[str]
    FIELDS = (*Response.FIELDS, many(text("roles")))


class AuthUserListResponse(Response):
    """All users."""

    users: list[str]
    FIELDS = (*Response.FIELDS, many(text("users")))


class AuthUserDeleteResponse(Response):
    """Answer to deleting a user."""


class AuthUserChangePasswordResponse(Response):
    """Answer to a change of password."""


class AuthUserGrantRoleResponse(Response):
    """Answer to granting a role."""


class AuthUserRevokeRoleResponse(Response):
    """Answer to revoking a role."""


class Permission(Message):
    """What a role may do with a range of keys."""

    perm_type: int
    key: bytes
    range_end: bytes
    FIELDS = (
        enum("permType", PERMISSION_TYPE)._replace(attribute="perm_type"),
        data("key"),
        data("range_end"),
    )


class AuthRoleAddResponse(Response):
    """Answer to adding a role."""


class AuthRoleGetResponse(Response):
    """The permissions of a role."""

    perm: list[Permission]
    FIELDS = (*Response.FIELDS, many(part("perm", Permission)))


class AuthRoleListResponse(Response):
    """All roles."""

    roles: list[str]
    FIELDS = (*Response.FIELDS, many(text("roles")))


class AuthRoleDeleteResponse(Response):
    """Answer to deleting a role."""


class AuthRoleGrantPermissionResponse(Response):
    """Answer to granting a permission."""


class AuthRoleRevokePermissionResponse(Response):
    """Answer to revoking a permission."""


class LeaderKey(Message):
    """The key that holds a lock or a leadership."""

    name: bytes
    key: bytes
    rev: int
    lease: int
    FIELDS = (data("name"), data("key"), number("rev"), number("lease"))


class LockResponse(Response):
    """A lock that was acquired."""

    key: bytes
    FIELDS = (*Response.FIELDS, data("key"))


class CampaignResponse(Response):
    """An election that was won."""

    leader: LeaderKey | None
    FIELDS = (*Response.FIELDS, part("leader", LeaderKey))


class LeaderResponse(Response):
    """Who leads now."""

    kv: KeyValue | None
    FIELDS = (*Response.FIELDS, part("kv", KeyValue))
