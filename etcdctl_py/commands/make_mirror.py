"""`make-mirror`: copies keys to another cluster and keeps the copy up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from etcdctl_py import keyrange
from etcdctl_py.command import Command
from etcdctl_py.console import to_bytes
from etcdctl_py.failure import CommandError, bad_arguments
from etcdctl_py.flags import number, string, switch, unsigned
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import Event, KeyValue, RangeResponse
from etcdctl_py.options import Options
from etcdctl_py.resumed_watch import resumed_watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation

_PAGE = 1000
_REPORT_INTERVAL_S = 30.0
_DELETED = 1
_COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class Mirror:
    """Copies what has a prefix from one cluster to another, under another prefix."""

    def __init__(self, call: Invocation, source: Client, target: Client) -> None:
        self._console = call.console
        self._source = source
        self._target = target
        self._prefix = to_bytes(call.flags["prefix"])
        self._target_prefix = to_bytes(call.flags["dest-prefix"])
        self._drops_prefix = call.flags["no-dest-prefix"]
        self._max_operations = call.flags["max-txn-ops"]
        self.copied = 0

    def _range(self) -> dict[str, str]:
        key = self._prefix or b"\0"
        end = keyrange.prefix_end(self._prefix) if self._prefix else keyrange.EVERYTHING_FROM
        return {"key": encode(key), "range_end": encode(end)}

    def target_key(self, key: bytes) -> bytes:
        """The key in the other cluster."""
        if self._drops_prefix:
            return key.removeprefix(self._prefix)
        if self._target_prefix:
            return self._target_prefix + key.removeprefix(self._prefix)
        return key

    async def copy_all(self) -> int:
        """Copies the present state; returns its revision."""
        revision = 0
        async for response in self._pages():
            revision = revision or response.head.revision
            for pair in response.kvs:
                await self._target.call("/v3/kv/put", self._put(pair))
                self.copied += 1
        return revision

    async def _pages(self) -> AsyncIterator[RangeResponse]:
        request: dict[str, Any] = {**self._range(), "limit": str(_PAGE)}
        while True:
            answer = await self._source.call("/v3/kv/range", request, repeatable=True, limited=False)
            response = RangeResponse.read(answer)
            yield response
            if not response.more:
                return
            request["key"] = encode(response.kvs[-1].key + b"\0")
            request.setdefault("revision", str(response.head.revision))

    async def follow(self, revision: int) -> None:
        """Applies every change from a revision on, those of one revision together.

        Raises CommandError when the server ends the watch: when the history is gone, for one.
        """
        create = {**self._range(), "start_revision": str(revision)}
        pending: list[Event] = []
        async for response in resumed_watch(self._source, self._console, create):
            if response.canceled:
                raise CommandError(response.cancel_reason or _COMPACTED)
            for event in response.events:
                same = pending and _revision(pending[-1]) == _revision(event)
                if pending and (not same or len(pending) >= self._max_operations):
                    await self._apply(pending)
                    pending = []
                pending.append(event)
            if pending:
                await self._apply(pending)
                pending = []

    async def _apply(self, events: list[Event]) -> None:
        operations = [self._operation(event) for event in events]
        await self._target.call("/v3/kv/txn", {"success": operations}, limited=False)
        self.copied += len(events)

    def _operation(self, event: Event) -> dict[str, Any]:
        pair = event.kv or KeyValue()
        if event.type == _DELETED:
            return {"request_delete_range": {"key": encode(self.target_key(pair.key))}}
        return {"request_put": self._put(pair)}

    def _put(self, pair: KeyValue) -> dict[str, str]:
        return {"key": encode(self.target_key(pair.key)), "value": encode(pair.value)}


def _revision(event: Event) -> int:
    return event.kv.mod_revision if event.kv else 0


async def run(call: Invocation) -> None:
    """Copies, then follows, until it is interrupted."""
    if len(call.arguments) != 1:
        raise bad_arguments("make-mirror takes one destination argument")
    if call.flags["no-dest-prefix"] and call.flags["dest-prefix"]:
        raise bad_arguments(
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one"
        )
    from etcdctl_py.client import Client

    call.printer()
    target_client = Client(_target_options(call), call.console, prompt="Destination Password: ")
    async with call.client() as source, target_client as target:
        mirror = Mirror(call, source, target)
        reporting = asyncio.create_task(_report(call, mirror))
        try:
            revision = call.flags["rev"]
            if revision <= 1:  # nothing is before it, so the present will do
                revision = await mirror.copy_all() + 1
            await mirror.follow(revision)
        finally:
            reporting.cancel()


async def _report(call: Invocation, mirror: Mirror) -> None:
    while True:
        await asyncio.sleep(_REPORT_INTERVAL_S)
        call.console.line(str(mirror.copied))
        call.console.flush()


def _target_options(call: Invocation) -> Options:
    """The global options with what the --dest- flags say about the other cluster."""
    values: dict[str, Any] = {name: call.options[name] for name in _KEPT}
    for name in ("cert", "key", "cacert", "user", "password", "insecure-transport"):
        values[name] = call.flags[f"dest-{name}"]
    values |= {"endpoints": [call.arguments[0]], "auth-jwt-token": "", "discovery-srv": ""}
    values["insecure-skip-tls-verify"] = False  # that was said of the source
    return Options(values, frozenset())


_KEPT = ("write-out", "hex", "debug", "dial-timeout", "command-timeout")

MAKE_MIRROR = Command(
    "make-mirror",
    run,
    usage="make-mirror [options] <destination>",
    summary="copy keys to another cluster and keep the copy up to date",
    flags=(
        string("prefix", "copy only keys that begin with this"),
        number("rev", "follow changes from this revision on, without copying first (0: copy)"),
        unsigned("max-txn-ops", "changes sent together at most", 128),
        string("dest-prefix", "replace the prefix by this one at the destination"),
        switch("no-dest-prefix", "drop the prefix at the destination"),
        string("dest-cert", "file of the client certificate for the destination"),
        string("dest-key", "file of that certificate's key"),
        string("dest-cacert", "file of the authority that signed the destination's certificates"),
        switch("dest-insecure-transport", "speak plain HTTP to a destination without a scheme", default=True),
        string("dest-user", "name[:password] at the destination"),
        string("dest-password", "password at the destination; --dest-user is then only the name"),
    ),
)
