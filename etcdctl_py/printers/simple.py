"""The default format: keys and values as they are, one line each."""

# ruff: noqa: ARG002 (every format has the same methods; not each needs all it is given)

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py import keyrange
from etcdctl_py.console import to_text
from etcdctl_py.golang.durations import format_duration
from etcdctl_py.golang.quoting import quote_text
from etcdctl_py.identifiers import hex_id, lease_hex
from etcdctl_py.messages import (
    ALARM_TYPE,
    EVENT_TYPE,
    AlarmResponse,
    AuthRoleGetResponse,
    AuthRoleListResponse,
    AuthStatusResponse,
    AuthUserGetResponse,
    AuthUserListResponse,
    DeleteRangeResponse,
    DowngradeResponse,
    KeyValue,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    MemberAddResponse,
    MemberListResponse,
    MembersResponse,
    MoveLeaderResponse,
    Permission,
    PutResponse,
    RangeResponse,
    Response,
    TxnResponse,
    WatchResponse,
)
from etcdctl_py.printers import columns
from etcdctl_py.printers.base import EndpointHash, EndpointHealth, EndpointStatus, Printer

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ, _WRITE, _READWRITE = 0, 1, 2


class SimplePrinter(Printer):
    """`-w simple`."""

    name = "simple"

    def _pair(self, pair: KeyValue) -> None:
        if not self.values_only:
            self._bytes(pair.key)
        self._bytes(pair.value)

    def _bytes(self, value: bytes) -> None:
        if self.hexadecimal:
            value = b"".join(b"\\x%02x" % byte for byte in value)
        self.console.write(value + b"\n")

    def put(self, response: PutResponse) -> None:
        """`OK`, and the pair that was there before."""
        self.console.line("OK")
        if response.prev_kv:
            self._pair(response.prev_kv)

    def get(self, response: RangeResponse) -> None:
        """Each key and value on a line of its own."""
        for pair in response.kvs:
            self._pair(pair)

    def delete(self, response: DeleteRangeResponse) -> None:
        """The number of deleted keys, and the pairs that were there before."""
        self.console.line(str(response.deleted))
        for pair in response.prev_kvs:
            self._pair(pair)

    def txn(self, response: TxnResponse) -> None:
        """The branch taken, then each answer after an empty line."""
        self.console.line("SUCCESS" if response.succeeded else "FAILURE")
        for answer in response.responses:
            self.console.line("")
            if answer.response_delete_range:
                self.delete(answer.response_delete_range)
            elif answer.response_put:
                self.put(answer.response_put)
            elif answer.response_range:
                self.get(answer.response_range)
            elif answer.response_txn:
                self.txn(answer.response_txn)

    def watch(self, response: WatchResponse) -> None:
        """Each event: its type, the pair before, the pair after."""
        for event in response.events:
            self.console.line(EVENT_TYPE.name(event.type))
            if event.prev_kv:
                self._pair(event.prev_kv)
            self._pair(event.kv or KeyValue())

    def grant(self, response: LeaseGrantResponse) -> None:
        """The lease and its time to live."""
        self.console.line(f"lease {lease_hex(response.lease_id)} granted with TTL({response.ttl}s)")

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        """That the lease was revoked."""
        self.console.line(f"lease {lease_hex(lease_id)} revoked")

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        """A renewal, or the lease's end."""
        name = lease_hex(response.lease_id)
        if response.ttl > 0:
            self.console.line(f"lease {name} keepalived with TTL({response.ttl})")
        else:
            self.console.line(f"lease {name} expired or revoked.")

    def time_to_live(self, response: LeaseTimeToLiveResponse, with_keys: bool) -> None:
        """Granted and remaining seconds, and the keys."""
        name = lease_hex(response.lease_id)
        if response.granted_ttl == 0 and response.ttl == -1:
            self.console.line(f"lease {name} already expired")
            return
        text = f"lease {name} granted with TTL({response.granted_ttl}s), remaining({response.ttl}s)"
        if with_keys:
            text += f", attached keys([{' '.join(map(to_text, response.keys))}])"
        self.console.line(text)

    def leases(self, response: LeaseLeasesResponse) -> None:
        """How many, and each identifier."""
        self.console.line(f"found {len(response.leases)} leases")
        for lease in response.leases:
            self.console.line(lease_hex(lease.lease_id))

    def member_list(self, response: MemberListResponse) -> None:
        """One member a line."""
        for member in response.members:
            self.console.line(", ".join(columns.member_row(member)))

    def member_add(self, name: str, response: MemberAddResponse) -> None:
        """The new member, and the settings to start it with."""
        added_id = response.member.member_id if response.member else 0
        cluster = hex_id(response.head.cluster_id)
        self.console.line(f"Member {added_id:16x} added to cluster {cluster:>16}")
        self.console.line("")
        peers = [
            f"{name if member.member_id == added_id else member.name}={url}"
            for member in response.members
            for url in member.peer_urls
        ]
        own = ",".join(response.member.peer_urls) if response.member else ""
        self.console.line(f"ETCD_NAME={quote_text(name)}")
        self.console.line(f"ETCD_INITIAL_CLUSTER={quote_text(','.join(peers))}")
        self.console.line(f"ETCD_INITIAL_ADVERTISE_PEER_URLS={quote_text(own)}")
        self.console.line('ETCD_INITIAL_CLUSTER_STATE="existing"')

    def member_change(self, member_id: int, done: str, response: MembersResponse) -> None:
        """What happened to the member."""
        self.console.line(f"Member {member_id:16x} {done} cluster {response.head.cluster_id:16x}")

    def endpoint_health(self, healths: list[EndpointHealth]) -> None:
        """Healthy endpoints on standard output, the others on standard error."""
        for health in healths:
            took = format_duration(health.took_ns)
            if health.healthy:
                self.console.line(
                    f"{health.endpoint} is healthy: successfully committed proposal: took = {took}"
                )
            else:
                self.console.error_line(
                    f"{health.endpoint} is unhealthy: failed to commit proposal: {health.error}"
                )

    def endpoint_status(self, statuses: list[EndpointStatus]) -> None:
        """One endpoint a line."""
        for status in statuses:
            self.console.line(", ".join(columns.status_row(status)))

    def endpoint_hash(self, hashes: list[EndpointHash]) -> None:
        """One endpoint a line."""
        for entry in hashes:
            self.console.line(", ".join(columns.hash_row(entry)))

    def move_leader(self, leader: int, target: int, response: MoveLeaderResponse) -> None:
        """From whom to whom."""
        self.console.line(f"Leadership transferred from {hex_id(leader)} to {hex_id(target)}")

    def alarm(self, response: AlarmResponse) -> None:
        """One alarm a line."""
        for alarm in response.alarms:
            parts = [f"memberID:{alarm.member_id} "] if alarm.member_id else []
            parts += [f"alarm:{ALARM_TYPE.name(alarm.alarm)} "] if alarm.alarm else []
            self.console.line("".join(parts))

    def auth_status(self, response: AuthStatusResponse) -> None:
        """On or off, and the revision of the users and roles."""
        self.console.line(f"Authentication Status: {'true' if response.enabled else 'false'}")
        self.console.line(f"AuthRevision: {response.auth_revision}")

    def done(self, text: str, response: Response) -> None:
        """The sentence that says what was done."""
        self.console.line(text)

    def role_get(self, role: str, response: AuthRoleGetResponse) -> None:
        """What the role may read, then what it may write."""
        self.console.line(f"Role {role}")
        self.console.line("KV Read:")
        for line in _permissions(response, (_READ, _READWRITE)):
            self.console.line(line)
        self.console.line("KV Write:")
        for line in _permissions(response, (_WRITE, _READWRITE)):
            self.console.line(line)

    def role_list(self, response: AuthRoleListResponse) -> None:
        """One name a line."""
        for role in response.roles:
            self.console.line(role)

    def user_get(self, user: str, response: AuthUserGetResponse) -> None:
        """The user and the roles."""
        self.console.line(f"User: {user}")
        self.console.line("Roles:" + "".join(f" {role}" for role in response.roles))

    def user_list(self, response: AuthUserListResponse) -> None:
        """One name a line."""
        for user in response.users:
            self.console.line(user)

    def downgrade(self, action: str, response: DowngradeResponse) -> None:
        """What was done, and the cluster's version."""
        self.console.line(f"Downgrade {action} success, cluster version {response.version}")


def _permissions(response: AuthRoleGetResponse, types: tuple[int, int]) -> Iterator[str]:
    for permission in response.perm:
        if permission.perm_type in types:
            yield f"\t{_permission_range(permission)}"


def _permission_range(permission: Permission) -> str:
    key, end = permission.key, permission.range_end
    if not end:
        return to_text(key)
    shown_end = "<open ended>" if end == keyrange.EVERYTHING_FROM else f"{to_text(end)})"
    text = f"[{to_text(key)}, {shown_end}"
    if keyrange.prefix_end(key) == end:
        text += f" (prefix {to_text(key)})"
    return text
