"""What a printer can show. A format overrides the methods it supports; the rest are refused."""

# ruff: noqa: ARG002 (every format has the same methods; not each needs all it is given)

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from etcdctl_py.failure import CommandError, ExitCode

if TYPE_CHECKING:
    from etcdctl_py import messages
    from etcdctl_py.console import Console


class EndpointHealth(NamedTuple):
    """Whether an endpoint answers a read; `took_ns` is how long that lasted."""

    endpoint: str
    healthy: bool
    took_ns: int
    error: str


class EndpointStatus(NamedTuple):
    """The state of the member behind an endpoint."""

    endpoint: str
    response: messages.StatusResponse


class EndpointHash(NamedTuple):
    """The hash of the history at the member behind an endpoint."""

    endpoint: str
    response: messages.HashKVResponse


class Printer:
    """One output format."""

    name = ""

    def __init__(self, console: Console, hexadecimal: bool) -> None:
        self.console = console
        self.hexadecimal = hexadecimal
        self.values_only = False

    def can(self, method: str) -> bool:
        """Whether this format supports a method."""
        return getattr(type(self), method) is not getattr(Printer, method)

    def refuse(self) -> NoReturn:
        """Raises the error for what this format cannot show."""
        raise CommandError(f"{self.name} not supported as output format", ExitCode.BAD_FEATURE)

    def put(self, response: messages.PutResponse) -> None:
        """Shows the answer to a put."""
        self.refuse()

    def get(self, response: messages.RangeResponse) -> None:
        """Shows the answer to a range request."""
        self.refuse()

    def delete(self, response: messages.DeleteRangeResponse) -> None:
        """Shows the answer to a delete."""
        self.refuse()

    def txn(self, response: messages.TxnResponse) -> None:
        """Shows the answer to a transaction."""
        self.refuse()

    def watch(self, response: messages.WatchResponse) -> None:
        """Shows the events of one watch message."""
        self.refuse()

    def grant(self, response: messages.LeaseGrantResponse) -> None:
        """Shows a granted lease."""
        self.refuse()

    def revoke(self, lease_id: int, response: messages.LeaseRevokeResponse) -> None:
        """Shows that a lease was revoked."""
        self.refuse()

    def keep_alive(self, response: messages.LeaseKeepAliveResponse) -> None:
        """Shows one renewal of a lease."""
        self.refuse()

    def time_to_live(self, response: messages.LeaseTimeToLiveResponse, with_keys: bool) -> None:
        """Shows what is left of a lease."""
        self.refuse()

    def leases(self, response: messages.LeaseLeasesResponse) -> None:
        """Shows all leases."""
        self.refuse()

    def member_list(self, response: messages.MemberListResponse) -> None:
        """Shows the members."""
        self.refuse()

    def member_add(self, name: str, response: messages.MemberAddResponse) -> None:
        """Shows an added member."""
        self.refuse()

    def member_change(self, member_id: int, done: str, response: messages.MembersResponse) -> None:
        """Shows a member removed, updated or promoted; `done` is that word with its preposition."""
        self.refuse()

    def endpoint_health(self, healths: list[EndpointHealth]) -> None:
        """Shows the health of endpoints."""
        self.refuse()

    def endpoint_status(self, statuses: list[EndpointStatus]) -> None:
        """Shows the state of endpoints."""
        self.refuse()

    def endpoint_hash(self, hashes: list[EndpointHash]) -> None:
        """Shows the hashes of endpoints."""
        self.refuse()

    def move_leader(self, leader: int, target: int, response: messages.MoveLeaderResponse) -> None:
        """Shows a transferred leadership."""
        self.refuse()

    def alarm(self, response: messages.AlarmResponse) -> None:
        """Shows alarms."""
        self.refuse()

    def auth_status(self, response: messages.AuthStatusResponse) -> None:
        """Shows whether authentication is on."""
        self.refuse()

    def done(self, text: str, response: messages.Response) -> None:
        """Shows that a change to users or roles was made; `text` says which."""
        self.refuse()

    def role_get(self, role: str, response: messages.AuthRoleGetResponse) -> None:
        """Shows the permissions of a role."""
        self.refuse()

    def role_list(self, response: messages.AuthRoleListResponse) -> None:
        """Shows all roles."""
        self.refuse()

    def user_get(self, user: str, response: messages.AuthUserGetResponse) -> None:
        """Shows the roles of a user."""
        self.refuse()

    def user_list(self, response: messages.AuthUserListResponse) -> None:
        """Shows all users."""
        self.refuse()

    def downgrade(self, action: str, response: messages.DowngradeResponse) -> None:
        """Shows the answer to a downgrade request."""
        self.refuse()
