"""The serialized response, as it came from the server."""

# ruff: noqa: ARG002 (every format has the same methods; not each needs all it is given)

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etcdctl_py.printers.base import Printer

if TYPE_CHECKING:
    from etcdctl_py import messages
    from etcdctl_py.messages import Response


class ProtobufPrinter(Printer):
    """`-w protobuf`: bytes, no newline."""

    name = "protobuf"

    def _write(self, name: str, source: dict[str, Any]) -> None:
        from google.protobuf.json_format import ParseDict

        kind = getattr(import_module("miniraft.pb.rpc_pb2"), name)
        message = ParseDict(source, kind(), ignore_unknown_fields=True)
        self.console.write(message.SerializeToString())

    def _response(self, response: Response) -> None:
        self._write(type(response).__name__, response.raw)

    def _header(self, response: Response) -> None:
        """etcdctl serializes no more than the header of what its client library wraps."""
        self._write("ResponseHeader", response.raw.get("header", {}))

    def put(self, response: messages.PutResponse) -> None:
        """The response."""
        self._response(response)

    def get(self, response: messages.RangeResponse) -> None:
        """The response."""
        self._response(response)

    def delete(self, response: messages.DeleteRangeResponse) -> None:
        """The response."""
        self._response(response)

    def txn(self, response: messages.TxnResponse) -> None:
        """The response."""
        self._response(response)

    def watch(self, response: messages.WatchResponse) -> None:
        """The fields that etcdctl's client library keeps."""
        kept = ("header", "created", "canceled", "compact_revision", "events")
        self._write("WatchResponse", {name: response.raw[name] for name in kept if name in response.raw})

    def grant(self, response: messages.LeaseGrantResponse) -> None:
        """The header."""
        self._header(response)

    def keep_alive(self, response: messages.LeaseKeepAliveResponse) -> None:
        """The header."""
        self._header(response)

    def time_to_live(self, response: messages.LeaseTimeToLiveResponse, with_keys: bool) -> None:
        """The header."""
        self._header(response)

    def leases(self, response: messages.LeaseLeasesResponse) -> None:
        """The header."""
        self._header(response)

    def member_list(self, response: messages.MemberListResponse) -> None:
        """The response."""
        self._response(response)

    def member_add(self, name: str, response: messages.MemberAddResponse) -> None:
        """The response."""
        self._response(response)

    def member_change(self, member_id: int, done: str, response: messages.MembersResponse) -> None:
        """The response."""
        self._response(response)

    def move_leader(self, leader: int, target: int, response: messages.MoveLeaderResponse) -> None:
        """The response."""
        self._response(response)

    def alarm(self, response: messages.AlarmResponse) -> None:
        """The response."""
        self._response(response)

    def auth_status(self, response: messages.AuthStatusResponse) -> None:
        """The response."""
        self._response(response)

    def done(self, text: str, response: Response) -> None:
        """The response."""
        self._response(response)

    def role_get(self, role: str, response: messages.AuthRoleGetResponse) -> None:
        """The response."""
        self._response(response)

    def role_list(self, response: messages.AuthRoleListResponse) -> None:
        """The response."""
        self._response(response)

    def user_get(self, user: str, response: messages.AuthUserGetResponse) -> None:
        """The response."""
        self._response(response)

    def user_list(self, response: messages.AuthUserListResponse) -> None:
        """The response."""
        self._response(response)

    def downgrade(self, action: str, response: messages.DowngradeResponse) -> None:
        """The response."""
        self._response(response)
