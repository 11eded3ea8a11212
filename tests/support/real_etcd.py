"""The real etcd, to compare with: where its programs are, and one running for a test."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import grpc
import pytest

_REMEDY = "install etcd, or set MINIRAFT_REAL_ETCD to the folder its programs are in"
_READY_TIMEOUT_S = 20.0


def real_binary(name: str, old: bool = False) -> Path:
    """Returns the path of etcd, etcdctl or etcdutl; skips (or fails, see below) without it.

    Looked for in $MINIRAFT_REAL_ETCD (`old`: 3.4's, in `../old/bin` beside it), else on PATH.
    With MINIRAFT_REQUIRE_ALL=1 a missing program fails the test instead.
    """
    folder = os.environ.get("MINIRAFT_REAL_ETCD", "")
    if folder:
        found = Path(folder, "..", "old", "bin", name) if old else Path(folder, name)
        if found.is_file():
            return found.resolve()
    elif not old and (on_path := shutil.which(name)):
        return Path(on_path)
    text = f"the real {name}{' of 3.4' if old else ''} is not here: {_REMEDY}"
    if os.environ.get("MINIRAFT_REQUIRE_ALL") == "1":
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    """Returns a port nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running_etcd(folder: Path, *flags: str):
    """Runs a single etcd with its data and log in `folder`; yields `host:port` once it serves.

    It does not sync its disk: what is compared is answers, not durability.
    """
    program = real_binary("etcd")
    client, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    command = [
        str(program),
        *("--name", "real", "--data-dir", str(folder / "data"), "--unsafe-no-fsync"),
        *("--listen-client-urls", f"http://{client}", "--advertise-client-urls", f"http://{client}"),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"real={peer}", "--log-level", "warn"),
        *("--heartbeat-interval", "10", "--election-timeout", "50"),  # to be there at once
        *flags,
    ]
    log_path = folder / "etcd.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        _wait_until_ready(process, client, log_path)
        yield client
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen, address: str, log_path: Path) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    # Not a second until gRPC tries again: the first attempts come before the server listens.
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]
    options.append(("grpc.min_reconnect_backoff_ms", 50))
    with grpc.insecure_channel(address, options=options) as channel:
        read = channel.unary_unary("/etcdserverpb.KV/Range")
        while time.monotonic() < deadline and process.poll() is None:
            try:
                read(b"\x0a\x01k", timeout=1.0, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.INVALID_ARGUMENT:  # that: it serves, but only users
                    continue
            return
    end = log_path.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"etcd did not become ready at {address}; the end of {log_path}:\n{end}")
