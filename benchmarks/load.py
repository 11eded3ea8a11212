"""Load from outside: h2load for gRPC, wrk for JSON, the same for both systems."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from miniraft.pb.rpc_pb2 import PutRequest, RangeRequest

KEY = b"benchmark-key"
VALUE = b"v" * 64


class LoadResult(NamedTuple):
    """What one run reached."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    completed: int


class Scenario(NamedTuple):
    """One row of the table."""

    name: str
    protocol: str  # "grpc" or "json"
    path: str
    body: bytes
    connections: int
    streams: int

    @property
    def writes(self) -> bool:
        """Whether each request raises the revision."""
        return "put" in self.name


def _grpc_frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def scenarios() -> list[Scenario]:
    """Returns the rows in the order in which they run."""
    put = PutRequest(key=KEY, value=VALUE).SerializeToString()
    linearizable = RangeRequest(key=KEY).SerializeToString()
    serializable = RangeRequest(key=KEY, serializable=True).SerializeToString()
    rows = []
    for connections, streams in ((1, 1), (16, 1), (100, 10)):
        size = f"{connections}" if streams == 1 else f"{connections}x{streams}"
        for name, rpc, message in (
            ("put", "Put", put),
            ("linearizable range", "Range", linearizable),
            ("serializable range", "Range", serializable),
        ):
            path = f"/etcdserverpb.KV/{rpc}"
            rows.append(Scenario(f"{name} {size}", "grpc", path, _grpc_frame(message), connections, streams))
    key, value = base64.b64encode(KEY).decode(), base64.b64encode(VALUE).decode()
    rows.append(
        Scenario("JSON put 64", "json", "/v3/kv/put", f'{{"key":"{key}","value":"{value}"}}'.encode(), 64, 1)
    )
    rows.append(Scenario("JSON range 64", "json", "/v3/kv/range", f'{{"key":"{key}"}}'.encode(), 64, 1))
    return rows


def missing_tools() -> list[str]:
    """Returns the load generators that are not installed, with the package that brings them."""
    packages = {"h2load": "nghttp2-client", "wrk": "wrk"}
    return [f"{tool} (package {package})" for tool, package in packages.items() if not shutil.which(tool)]


def run(scenario: Scenario, port: int, seconds: float) -> LoadResult:
    """Runs one scenario against a member for about `seconds`."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        if scenario.protocol == "grpc":
            return _run_h2load(scenario, port, seconds, Path(folder))
        return _run_wrk(scenario, port, seconds, Path(folder))


def _run_h2load(scenario: Scenario, port: int, seconds: float, folder: Path) -> LoadResult:
    body, log = folder / "body", folder / "log"
    body.write_bytes(scenario.body)
    command = [
        "h2load",
        f"-D{seconds:g}",
        "--warm-up-time=1",
        f"-c{scenario.connections}",
        f"-m{scenario.streams}",
        f"-d{body}",
        "-Hcontent-type: application/grpc",
        "-Hte: trailers",
        f"--log-file={log}",
        f"http://127.0.0.1:{port}{scenario.path}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", result.stdout)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", result.stdout)
    if rate is None or counts is None:
        raise RuntimeError(f"h2load said something unexpected:\n{result.stdout}")
    elapsed_us = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return LoadResult(
        float(rate[1]),
        _percentile_ms(elapsed_us, 0.50),
        _percentile_ms(elapsed_us, 0.99),
        int(counts[2]) + int(counts[3]),
        int(counts[1]),
    )


def _percentile_ms(sorted_us: list[int], fraction: float) -> float:
    if not sorted_us:
        return float("nan")
    return sorted_us[min(len(sorted_us) - 1, int(len(sorted_us) * fraction))] / 1000


def _run_wrk(scenario: Scenario, port: int, seconds: float, folder: Path) -> LoadResult:
    script = folder / "request.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [[{scenario.body.decode()}]]\n"
    )
    command = [
        "wrk",
        "-t1",
        f"-c{scenario.connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}{scenario.path}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", result.stdout)
    completed = re.search(r"(\d+) requests in", result.stdout)
    if rate is None or completed is None:
        raise RuntimeError(f"wrk said something unexpected:\n{result.stdout}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", result.stdout)
    failed = int(bad[1]) if bad else 0
    return LoadResult(
        float(rate[1]),
        _wrk_percentile_ms(result.stdout, "50%"),
        _wrk_percentile_ms(result.stdout, "99%"),
        failed,
        int(completed[1]) - failed,
    )


def _wrk_percentile_ms(output: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", output)
    if found is None:
        return float("nan")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
