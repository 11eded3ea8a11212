"""JSON as etcdctl writes it: one line, Go's encoder, numbers as numbers, bytes in base64."""

# ruff: noqa: ARG002 (every format has the same methods; not each needs all it is given)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.golang.durations import format_duration
from etcdctl_py.golang.jsontext import dump
from etcdctl_py.identifiers import hex_id
from etcdctl_py.printers.base import EndpointHash, EndpointHealth, EndpointStatus, Printer

if TYPE_CHECKING:
    from etcdctl_py import messages
    from etcdctl_py.messages import Message, Response


class JsonPrinter(Printer):
    """`-w json`."""

    name = "json"

    def _write(self, value: Any) -> None:
        self.console.line(dump(value))

    def _message(self, response: Message) -> None:
        self._write(response.go_json())

    def put(self, response: messages.PutResponse) -> None:
        """The response."""
        self._message(response)

    def get(self, response: messages.RangeResponse) -> None:
        """The response."""
        self._message(response)

    def delete(self, response: messages.DeleteRangeResponse) -> None:
        """The response."""
        self._message(response)

    def txn(self, response: messages.TxnResponse) -> None:
        """The response."""
        self._message(response)

    def watch(self, response: messages.WatchResponse) -> None:
        """The client library's form of the response, zero values included.

        The answer to a watch that was refused has no header, and null for its events.
        """
        header = response.head.go_json()
        self._write(
            {
                "Header": header,
                "Events": [event.go_json() for event in response.events] if header else None,
                "CompactRevision": response.compact_revision,
                "Canceled": response.canceled,
                "Created": response.created,
            }
        )

    def grant(self, response: messages.LeaseGrantResponse) -> None:
        """The client library's form, the header's fields among the others."""
        own = {"ID": response.lease_id, "TTL": response.ttl, "Error": response.error}
        self._write({**response.head.go_json(), **own})

    def revoke(self, lease_id: int, response: messages.LeaseRevokeResponse) -> None:
        """The response."""
        self._message(response)

    def keep_alive(self, response: messages.LeaseKeepAliveResponse) -> None:
        """The client library's form."""
        self._write({**response.head.go_json(), "ID": response.lease_id, "TTL": response.ttl})

    def time_to_live(self, response: messages.LeaseTimeToLiveResponse, with_keys: bool) -> None:
        """The client library's form; `keys` is null without keys."""
        own = {
            "id": response.lease_id,
            "ttl": response.ttl,
            "granted-ttl": response.granted_ttl,
            "keys": list(response.keys) or None,
        }
        self._write({**response.head.go_json(), **own})

    def leases(self, response: messages.LeaseLeasesResponse) -> None:
        """The client library's form."""
        leases = [{"id": lease.lease_id} for lease in response.leases]
        self._write({**response.head.go_json(), "leases": leases})

    def member_list(self, response: messages.MemberListResponse) -> None:
        """The response; with --hex the identifiers are text and nothing is left out."""
        if self.hexadecimal:
            self._write(_hexadecimal_members(response))
        else:
            self._message(response)

    def member_add(self, name: str, response: messages.MemberAddResponse) -> None:
        """The response."""
        self._message(response)

    def member_change(self, member_id: int, done: str, response: messages.MembersResponse) -> None:
        """The response."""
        self._message(response)

    def endpoint_health(self, healths: list[EndpointHealth]) -> None:
        """A list of endpoints."""
        self._write(
            [
                {
                    "endpoint": health.endpoint,
                    "health": health.healthy,
                    "took": format_duration(health.took_ns),
                    **({"error": health.error} if health.error else {}),
                }
                for health in healths
            ]
        )

    def endpoint_status(self, statuses: list[EndpointStatus]) -> None:
        """A list of endpoints with their responses."""
        entries = [{"Endpoint": each.endpoint, "Status": each.response.go_json()} for each in statuses]
        self._write(entries or None)

    def endpoint_hash(self, hashes: list[EndpointHash]) -> None:
        """A list of endpoints with their responses."""
        entries = [{"Endpoint": each.endpoint, "HashKV": each.response.go_json()} for each in hashes]
        self._write(entries or None)

    def move_leader(self, leader: int, target: int, response: messages.MoveLeaderResponse) -> None:
        """The response."""
        self._message(response)

    def alarm(self, response: messages.AlarmResponse) -> None:
        """The response."""
        self._message(response)

    def auth_status(self, response: messages.AuthStatusResponse) -> None:
        """The response."""
        self._message(response)

    def done(self, text: str, response: Response) -> None:
        """The response."""
        self._message(response)

    def role_get(self, role: str, response: messages.AuthRoleGetResponse) -> None:
        """The response."""
        self._message(response)

    def role_list(self, response: messages.AuthRoleListResponse) -> None:
        """The response."""
        self._message(response)

    def user_get(self, user: str, response: messages.AuthUserGetResponse) -> None:
        """The response."""
        self._message(response)

    def user_list(self, response: messages.AuthUserListResponse) -> None:
        """The response."""
        self._message(response)

    def downgrade(self, action: str, response: messages.DowngradeResponse) -> None:
        """The response."""
        self._message(response)


def _hexadecimal_members(response: messages.MemberListResponse) -> dict[str, Any]:
    header: dict[str, Any] = response.head.go_json()
    for name in ("cluster_id", "member_id"):
        header[name] = hex_id(header.get(name, 0))
    members = [
        {
            "ID": hex_id(member.member_id),
            "name": member.name,
            "peerURLs": list(member.peer_urls) or None,
            "clientURLS": list(member.client_urls) or None,
        }
        for member in response.members
    ]
    return {"header": header, "members": members or None}
