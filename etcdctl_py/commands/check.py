"""`check perf` and `check datascale`: whether a cluster carries a load."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from etcdctl_py import keyrange
from etcdctl_py.command import Command, Group
from etcdctl_py.console import to_bytes, to_text
from etcdctl_py.failure import CommandError, ExitCode, SilentExit
from etcdctl_py.flags import string, switch
from etcdctl_py.golang.quoting import quote
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import DeleteRangeResponse, RangeResponse, StatusResponse
from etcdctl_py.progress import Progress

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation


class PerfLoad(NamedTuple):
    """Puts a second, and how many clients send them."""

    rate: int
    clients: int


class ScaleLoad(NamedTuple):
    """Keys to write, the size of each value in bytes, and how many clients send them."""

    keys: int
    value_bytes: int
    clients: int


_SECONDS = 60
_PERF_VALUE_BYTES = 1024
_SLOWEST_S, _DEVIATION_S, _RATE_SHARE = 0.5, 0.1, 0.9
_NAMES = {"s": "s", "small": "s", "m": "m", "medium": "m", "l": "l", "large": "l", "xl": "xl", "xLarge": "xl"}
_PERF = {
    "s": PerfLoad(150, 50),
    "m": PerfLoad(1000, 200),
    "l": PerfLoad(8000, 500),
    "xl": PerfLoad(15000, 1000),
}
_SCALE = {
    "s": ScaleLoad(10_000, 1024, 50),
    "m": ScaleLoad(100_000, 1024, 200),
    "l": ScaleLoad(1_000_000, 1024, 500),
    "xl": ScaleLoad(3_000_000, 1024, 1000),
}


def _load_name(call: Invocation) -> str:
    name = _NAMES.get(call.flags["load"])
    if name is None:
        raise CommandError(
            f"unknown load option {call.flags['load']}",
            ExitCode.BAD_FEATURE,
            ("--load is one of s, m, l and xl (small, medium, large, xLarge).",),
        )
    return name


async def _must_be_unused(client: Client, prefix: bytes) -> None:
    request = {"key": encode(prefix), "range_end": encode(keyrange.prefix_end(prefix)), "limit": "1"}
    answer = RangeResponse.read(await client.call("/v3/kv/range", request, repeatable=True))
    if answer.kvs:
        shown = to_text(prefix)
        raise CommandError(
            f"prefix {quote(prefix)} has keys. Delete with 'etcdctl del --prefix {shown}' first",
            ExitCode.INVALID_INPUT,
        )


async def _clean_up(call: Invocation, client: Client, prefix: bytes) -> None:
    request = {"key": encode(prefix), "range_end": encode(keyrange.prefix_end(prefix))}
    answer = DeleteRangeResponse.read(await client.call("/v3/kv/deleterange", request, limited=False))
    if call.flags["auto-compact"]:
        revision = str(answer.head.revision)
        await client.call("/v3/kv/compaction", {"revision": revision, "physical": True}, limited=False)
        call.console.line(f"Compacted with revision {revision}")
    if call.flags["auto-defrag"]:
        for endpoint in call.options.endpoints:
            async with client.at(endpoint) as one:
                await one.call("/v3/maintenance/defragment", {}, limited=False)
            call.console.line(f'Defragmented "{endpoint}"')


def _put(prefix: bytes, number: int, value: bytes) -> dict[str, Any]:
    return {"key": encode(prefix + b"%d" % number), "value": encode(value)}


async def run_perf(call: Invocation, duration_s: float = _SECONDS) -> None:
    """Puts at a steady rate for a minute, and judges throughput and latency."""
    load = _PERF[_load_name(call)]
    prefix = to_bytes(call.flags["prefix"])
    value = secrets.token_bytes(_PERF_VALUE_BYTES)
    took_s: list[float] = []
    errors: dict[str, int] = {}
    async with call.client() as client:
        await _must_be_unused(client, prefix)
        call.console.error_line(
            f"{load.rate} puts a second from {load.clients} clients for {duration_s:g}s ..."
        )
        start_s = time.perf_counter()

        puts = int(load.rate * duration_s)

        async def put_at_times(first: int) -> None:
            for number in range(first, puts, load.clients):
                await asyncio.sleep(start_s + number / load.rate - time.perf_counter())
                if time.perf_counter() > start_s + duration_s:
                    return
                began_s = time.perf_counter()
                try:
                    await client.call("/v3/kv/put", _put(prefix, number, value))
                except CommandError as error:
                    errors[error.message] = errors.get(error.message, 0) + 1
                else:
                    took_s.append(time.perf_counter() - began_s)
                progress.advance(1, puts)

        with Progress(call.console, "Writing") as progress:
            await asyncio.gather(*(put_at_times(first) for first in range(load.clients)))
        total_s = max(time.perf_counter() - start_s, duration_s)
        await _clean_up(call, client, prefix)
    _judge(call, load, took_s, total_s, errors)


def _judge(
    call: Invocation, load: PerfLoad, took_s: list[float], total_s: float, errors: dict[str, int]
) -> None:
    throughput = len(took_s) / total_s
    slowest_s = max(took_s, default=0.0)
    deviation_s = statistics.pstdev(took_s) if took_s else 0.0
    for text, count in errors.items():
        call.console.line(f"FAIL: too many errors\nFAIL: ERROR({text}) -> {count}")
    enough = throughput >= load.rate * _RATE_SHARE
    verdicts = (
        (enough, f"Throughput {'is' if enough else 'too low:'} {throughput:.0f} writes/s"),
        (
            slowest_s <= _SLOWEST_S,
            f"Slowest request took {'too long: ' if slowest_s > _SLOWEST_S else ''}{slowest_s:f}s",
        ),
        (
            deviation_s <= _DEVIATION_S,
            f"Stddev {'too high: ' if deviation_s > _DEVIATION_S else 'is '}{deviation_s:f}s",
        ),
    )
    for passed, text in verdicts:
        call.console.line(f"{'PASS' if passed else 'FAIL'}: {text}")
    if errors or not all(passed for passed, _ in verdicts):
        call.console.line("FAIL")
        raise SilentExit(1)
    call.console.line("PASS")


async def run_datascale(call: Invocation) -> None:
    """Writes many keys, and shows how much the store of one member grows."""
    endpoints = call.options.endpoints
    if len(endpoints) != 1:
        raise CommandError(
            f"too many endpoints [{' '.join(endpoints)}]",
            ExitCode.BAD_ARGUMENTS,
            ("The growth of one member is measured: name one endpoint.",),
        )
    load = _SCALE[_load_name(call)]
    prefix = to_bytes(call.flags["prefix"])
    value = secrets.token_bytes(load.value_bytes)
    async with call.client() as client:
        await _must_be_unused(client, prefix)
        before = StatusResponse.read(await client.call("/v3/maintenance/status", {}, repeatable=True))
        call.console.line(
            f"Start data scale check for work load [{load.keys} key-value pairs,"
            f" {load.value_bytes} bytes per key-value, {load.clients} concurrent clients]."
        )
        call.console.flush()

        async def put_share(first: int) -> None:
            for number in range(first, load.keys, load.clients):
                await client.call("/v3/kv/put", _put(prefix, number, value))
                progress.advance(1, load.keys)

        with Progress(call.console, "Writing") as progress:
            await asyncio.gather(*(put_share(first) for first in range(load.clients)))
        after = StatusResponse.read(await client.call("/v3/maintenance/status", {}, repeatable=True))
        await _clean_up(call, client, prefix)
    grown = (after.db_size - before.db_size) / 1024 / 1024
    call.console.line(f"PASS: Approximate store size used : {grown:.2f} MB.")


_FLAGS = (
    string("load", "how much: s, m, l or xl", "s"),
    switch("auto-compact", "compact the history afterwards"),
    switch("auto-defrag", "defragment the endpoints afterwards"),
)
CHECK = Group(
    "check",
    summary="whether a cluster carries a load",
    places={"datascale": "check:DATASCALE", "perf": "check:PERF"},
)
PERF = Command(
    "perf",
    run_perf,
    usage="perf [options]",
    summary="write at a steady rate for a minute and judge throughput and latency",
    flags=(*_FLAGS, string("prefix", "where the keys are written", "/etcdctl-check-perf/")),
)
DATASCALE = Command(
    "datascale",
    run_datascale,
    usage="datascale [options]",
    summary="write many keys and show how much the store grows",
    flags=(*_FLAGS, string("prefix", "where the keys are written", "/etcdctl-check-datascale/")),
)
