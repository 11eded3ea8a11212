"""The `fields` format: `"Name" : value`, one field a line."""

# ruff: noqa: ARG002 (every format has the same methods; not each needs all it is given)

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.golang.durations import format_duration
from etcdctl_py.golang.quoting import quote, quote_text
from etcdctl_py.messages import (
    ALARM_TYPE,
    EVENT_TYPE,
    PERMISSION_TYPE,
    AlarmResponse,
    AuthRoleGetResponse,
    AuthRoleListResponse,
    DeleteRangeResponse,
    KeyValue,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    MemberListResponse,
    PutResponse,
    RangeResponse,
    Response,
    ResponseHeader,
    TxnResponse,
    WatchResponse,
)
from etcdctl_py.printers.base import EndpointHash, EndpointHealth, EndpointStatus, Printer

if TYPE_CHECKING:
    from typing import Any


class FieldsPrinter(Printer):
    """`-w fields`."""

    name = "fields"

    def _field(self, name: str, value: Any) -> None:
        """A number or switch as Go prints it, text and bytes quoted."""
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, bytes):
            value = quote(value)
        elif isinstance(value, str):
            value = quote_text(value)
        self._plain(name, value)

    def _plain(self, name: str, value: Any) -> None:
        self.console.line(f'"{name}" : {value}')

    def _header(self, header: ResponseHeader) -> None:
        self._field("ClusterID", header.cluster_id)
        self._field("MemberID", header.member_id)
        self._field("Revision", header.revision)
        self._field("RaftTerm", header.raft_term)

    def _pair(self, pair: KeyValue, prefix: str = "") -> None:
        self._field(f"{prefix}Key", pair.key)
        self._field(f"{prefix}CreateRevision", pair.create_revision)
        self._field(f"{prefix}ModRevision", pair.mod_revision)
        self._field(f"{prefix}Version", pair.version)
        self._field(f"{prefix}Value", pair.value)
        self._field(f"{prefix}Lease", pair.lease)

    def put(self, response: PutResponse) -> None:
        """Header and previous pair."""
        self._header(response.head)
        if response.prev_kv:
            self._pair(response.prev_kv, "Prev")

    def get(self, response: RangeResponse) -> None:
        """Header, pairs, more and count."""
        self._header(response.head)
        for pair in response.kvs:
            self._pair(pair)
        self._field("More", response.more)
        self._field("Count", response.count)

    def delete(self, response: DeleteRangeResponse) -> None:
        """Header, number and previous pairs."""
        self._header(response.head)
        self._field("Deleted", response.deleted)
        for pair in response.prev_kvs:
            self._pair(pair, "Prev")

    def txn(self, response: TxnResponse) -> None:
        """Header, branch, and each answer in full."""
        self._header(response.head)
        self._field("Succeeded", response.succeeded)
        for answer in response.responses:
            if answer.response_delete_range:
                self.delete(answer.response_delete_range)
            elif answer.response_put:
                self.put(answer.response_put)
            elif answer.response_range:
                self.get(answer.response_range)
            elif answer.response_txn:
                self.txn(answer.response_txn)

    def watch(self, response: WatchResponse) -> None:
        """Header, then each event."""
        self._header(response.head)
        for event in response.events:
            self._plain("Type", EVENT_TYPE.name(event.type))
            if event.prev_kv:
                self._pair(event.prev_kv, "Prev")
            self._pair(event.kv or KeyValue())

    def grant(self, response: LeaseGrantResponse) -> None:
        """Header, lease and time to live."""
        self._header(response.head)
        self._field("ID", response.lease_id)
        self._field("TTL", response.ttl)

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        """Header."""
        self._header(response.head)

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        """Header, lease and time to live."""
        self._header(response.head)
        self._field("ID", response.lease_id)
        self._field("TTL", response.ttl)

    def time_to_live(self, response: LeaseTimeToLiveResponse, with_keys: bool) -> None:
        """Header, lease, both times, keys."""
        self._header(response.head)
        self._field("ID", response.lease_id)
        self._field("TTL", response.ttl)
        self._field("GrantedTTL", response.granted_ttl)
        for key in response.keys:
            self._field("Key", key)

    def leases(self, response: LeaseLeasesResponse) -> None:
        """Header, identifiers."""
        self._header(response.head)
        for lease in response.leases:
            self._field("ID", lease.lease_id)

    def member_list(self, response: MemberListResponse) -> None:
        """Header, members parted by empty lines."""
        self._header(response.head)
        for member in response.members:
            self._field("ID", member.member_id)
            self._field("Name", member.name)
            for url in member.peer_urls:
                self._field("PeerURL", url)
            for url in member.client_urls:
                self._field("ClientURL", url)
            self._field("IsLearner", member.is_learner)
            self.console.line("")

    def endpoint_health(self, healths: list[EndpointHealth]) -> None:
        """Endpoints parted by empty lines."""
        for health in healths:
            self._field("Endpoint", health.endpoint)
            self._field("Health", health.healthy)
            self._plain("Took", format_duration(health.took_ns))
            self._plain("Error", health.error)
            self.console.line("")

    def endpoint_status(self, statuses: list[EndpointStatus]) -> None:
        """Endpoints parted by empty lines."""
        for endpoint, response in statuses:
            self._header(response.head)
            self._field("Version", response.version)
            self._field("DBSize", response.db_size)
            self._field("Leader", response.leader)
            self._field("IsLearner", response.is_learner)
            self._field("RaftIndex", response.raft_index)
            self._field("RaftTerm", response.raft_term)
            self._field("RaftAppliedIndex", response.raft_applied_index)
            self._plain("Errors", f"[{' '.join(response.errors)}]")
            self._field("Endpoint", endpoint)
            self.console.line("")

    def endpoint_hash(self, hashes: list[EndpointHash]) -> None:
        """Endpoints parted by empty lines."""
        for endpoint, response in hashes:
            self._header(response.head)
            self._field("Endpoint", endpoint)
            self._field("Hash", response.hash)
            self.console.line("")

    def alarm(self, response: AlarmResponse) -> None:
        """Header, alarms parted by empty lines."""
        self._header(response.head)
        for alarm in response.alarms:
            self._field("MemberID", alarm.member_id)
            self._plain("AlarmType", ALARM_TYPE.name(alarm.alarm))
            self.console.line("")

    def done(self, text: str, response: Response) -> None:
        """Header."""
        self._header(response.head)

    def role_get(self, role: str, response: AuthRoleGetResponse) -> None:
        """Header, permissions."""
        self._header(response.head)
        for permission in response.perm:
            self._plain("PermType", f" {PERMISSION_TYPE.name(permission.perm_type)}")
            self._field("Key", permission.key)
            self._field("RangeEnd", permission.range_end)

    def role_list(self, response: AuthRoleListResponse) -> None:
        """Header, all names on one line."""
        self._header(response.head)
        self.console.line('"Roles" :' + "".join(f" {quote_text(role)}" for role in response.roles))
