"""`python -m benchmarks`: three members of miniraft and three of etcd, in turn, one table.

Needs h2load (nghttp2-client) and wrk, and the real etcd on the PATH or in the folder named by
MINIRAFT_REAL_ETCD; without etcd only miniraft's own figures are printed. Every server runs on
127.0.0.1 and ends with the run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import load
from benchmarks.clusters import Cluster, etcd_cluster, find_etcd, miniraft_cluster, put

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Figures(NamedTuple):
    """All that is measured of one system."""

    start_seconds: float
    loads: dict[str, load.LoadResult]
    memory_bytes: int  # the largest member's after all load
    failover_seconds: list[float]


def say(text: str) -> None:
    """Shows progress on stderr: a whole run takes minutes."""
    print(text, file=sys.stderr, flush=True)


def check_puts(cluster: Cluster, before: int, result: load.LoadResult, row: load.Scenario) -> None:
    """A put that answered 200 with an error inside would look fast: the revision tells."""
    gained = cluster.revision() - before - 1
    if gained < result.completed * 0.98:
        raise RuntimeError(
            f"{cluster.name}: {row.name} answered {result.completed} times but wrote {gained} revisions"
        )


def measure(cluster: Cluster, rows: Iterable[load.Scenario], seconds: float, failovers: int) -> Figures:
    """Starts the cluster, runs everything against its leader, stops it."""
    say(f"{cluster.name}: starting three members")
    start_seconds = cluster.start()
    try:
        put(cluster.client_ports[cluster.wait_leader()], load.KEY, load.VALUE)
        loads: dict[str, load.LoadResult] = {}
        for row in rows:
            before = cluster.revision()
            result = load.run(row, cluster.client_ports[cluster.wait_leader()], seconds)
            if row.writes:
                check_puts(cluster, before, result, row)
            loads[row.name] = result
            say(
                f"{cluster.name}: {row.name}: {result.requests_per_second:,.0f}/s,"
                f" p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms"
                + (f", {result.failed} FAILED" if result.failed else "")
            )
        memory = max(cluster.resident_memory_bytes())
        return Figures(start_seconds, loads, memory, [failover_seconds(cluster) for _ in range(failovers)])
    finally:
        cluster.stop()


def failover_seconds(cluster: Cluster) -> float:
    """Kills the leader; returns the seconds until a survivor acknowledges a put."""
    leader = cluster.wait_leader()
    survivors = [number for number in range(3) if number != leader]
    time.sleep(0.5)
    cluster.kill(leader)
    began = time.monotonic()
    while True:
        for number in survivors:
            try:
                put(cluster.client_ports[number], b"after", b"failover", timeout_seconds=0.25)
            except OSError:
                if time.monotonic() - began > 30:
                    raise
                continue
            elapsed = time.monotonic() - began
            cluster.restart(leader)
            time.sleep(2.0)
            say(f"{cluster.name}: killed the leader, next acknowledged write after {elapsed:.2f} s")
            return elapsed


def table(ours: Figures, theirs: Figures | None) -> str:
    """Returns the figures as a Markdown table; ratio is ours to etcd's, above 1 is faster."""
    lines = [
        "| load | miniraft/s | etcd/s | ratio | miniraft p50/p99 ms | etcd p50/p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in ours.loads.items():
        other = theirs.loads[name] if theirs else None
        lines.append(
            f"| {name} | {result.requests_per_second:,.0f} |"
            + (f" {other.requests_per_second:,.0f} |" if other else " |")
            + (f" {result.requests_per_second / other.requests_per_second:.2f} |" if other else " |")
            + f" {result.p50_ms:.2f} / {result.p99_ms:.2f} |"
            + (f" {other.p50_ms:.2f} / {other.p99_ms:.2f} |" if other else " |")
        )
    lines += ["", "| | miniraft | etcd |", "|---|---|---|"]
    for name, values in (
        (
            "start to first acknowledged write, s",
            [f"{f.start_seconds:.2f}" if f else "" for f in (ours, theirs)],
        ),
        ("largest member's memory, MB", [f"{f.memory_bytes / 1e6:.0f}" if f else "" for f in (ours, theirs)]),
        ("leader killed to next acknowledged write, s (median)", [_failover(f) for f in (ours, theirs)]),
    ):
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def _failover(figures: Figures | None) -> str:
    if figures is None or not figures.failover_seconds:
        return ""
    return f"{statistics.median(figures.failover_seconds):.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load (default 5)")
    parser.add_argument("--failovers", type=int, default=5, help="how often to kill the leader (default 5)")
    parser.add_argument("--only", default="", help="only the rows whose name contains this text")
    parser.add_argument("--no-etcd", action="store_true", help="measure miniraft alone")
    options = parser.parse_args(arguments)
    if missing := load.missing_tools():
        raise SystemExit(f"please install {' and '.join(missing)}")
    rows = [row for row in load.scenarios() if options.only in row.name]
    etcd = None if options.no_etcd else find_etcd()
    if etcd is None and not options.no_etcd:
        say("no etcd on the PATH or in MINIRAFT_REAL_ETCD: measuring miniraft alone")
    theirs = measure(etcd_cluster(etcd), rows, options.seconds, options.failovers) if etcd else None
    ours = measure(miniraft_cluster(), rows, options.seconds, options.failovers)
    print(table(ours, theirs))


if __name__ == "__main__":
    main()
