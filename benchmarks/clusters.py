"""Starts three members of miniraft or of etcd as processes on loopback, and ends them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

READY_TIMEOUT_SECONDS = 60.0


def free_ports(count: int) -> list[int]:
    """Returns ports on 127.0.0.1 that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def find_etcd() -> Path | None:
    """Returns the real etcd: in the folder MINIRAFT_REAL_ETCD, else on the PATH."""
    folder = os.environ.get("MINIRAFT_REAL_ETCD")
    candidate = shutil.which("etcd", path=folder) if folder else shutil.which("etcd")
    return Path(candidate) if candidate else None


def post(port: int, path: str, body: dict[str, Any], timeout_seconds: float = 5.0) -> dict[str, Any]:
    """Calls the JSON API. Raises OSError when there is no good answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def put(port: int, key: bytes, value: bytes, timeout_seconds: float = 5.0) -> int:
    """Puts one key; returns the revision. Raises OSError when it was not acknowledged."""
    body = {"key": base64.b64encode(key).decode(), "value": base64.b64encode(value).decode()}
    return int(post(port, "/v3/kv/put", body, timeout_seconds)["header"]["revision"])


@dataclass
class Cluster:
    """Three members, reached on their client ports."""

    name: str
    command: Sequence[str]
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="benchmark-")))
    client_ports: list[int] = field(default_factory=list)
    peer_ports: list[int] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    extra_flags: Sequence[str] = ()

    def start(self) -> float:
        """Starts the members; returns the seconds until the first acknowledged put."""
        ports = free_ports(6)
        self.client_ports, self.peer_ports = ports[:3], ports[3:]
        began = time.monotonic()
        self.processes = [self._spawn(number) for number in range(3)]
        while True:
            try:
                put(self.client_ports[0], b"ready", b"", timeout_seconds=1.0)
                return time.monotonic() - began
            except OSError:
                self._check_alive()
                if time.monotonic() - began > READY_TIMEOUT_SECONDS:
                    raise TimeoutError(f"{self.name} is not ready; its logs are in {self.folder}") from None
                time.sleep(0.01)

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        initial = ",".join(f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(self.peer_ports))
        client = f"http://127.0.0.1:{self.client_ports[number]}"
        peer = f"http://127.0.0.1:{self.peer_ports[number]}"
        flags = {
            "name": f"m{number}",
            "data-dir": str(self.folder / f"m{number}"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": initial,
            "log-level": "warn",
        }
        command = [*self.command, *(f"--{flag}={value}" for flag, value in flags.items()), *self.extra_flags]
        with (self.folder / f"m{number}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _check_alive(self) -> None:
        for number, process in enumerate(self.processes):
            if process.poll() is not None:
                log = (self.folder / f"m{number}.log").read_text(errors="replace")
                raise RuntimeError(f"{self.name} m{number} ended with {process.returncode}:\n{log[-2000:]}")

    def leader(self) -> int:
        """Returns the number of the member that leads. Raises OSError when none is known."""
        for number, port in enumerate(self.client_ports):
            if self.processes[number].poll() is not None:
                continue
            status = post(port, "/v3/maintenance/status", {})
            if status.get("leader") == status["header"]["member_id"]:
                return number
        raise OSError(f"{self.name} has no leader")

    def wait_leader(self) -> int:
        """Returns the leader's number once there is one."""
        limit = time.monotonic() + READY_TIMEOUT_SECONDS
        while True:
            try:
                return self.leader()
            except OSError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.02)

    def revision(self) -> int:
        """Returns the current revision as the leader tells it."""
        return put(self.client_ports[self.wait_leader()], b"revision", b"")

    def resident_memory_bytes(self) -> list[int]:
        """Returns each living member's resident memory."""
        sizes = []
        for process in self.processes:
            if process.poll() is None:
                status = Path(f"/proc/{process.pid}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
                sizes.append(int(line.split()[1]) * 1024)
        return sizes

    def kill(self, number: int) -> None:
        """Kills one member with SIGKILL."""
        self.processes[number].send_signal(signal.SIGKILL)
        self.processes[number].wait()

    def restart(self, number: int) -> None:
        """Starts a killed member again on its data."""
        self.processes[number] = self._spawn(number)

    def stop(self) -> None:
        """Ends all members and removes their data."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def miniraft_cluster(extra_flags: Sequence[str] = ()) -> Cluster:
    """Returns a cluster of this project's members, not yet started."""
    return Cluster("miniraft", [sys.executable, "-m", "miniraft"], extra_flags=extra_flags)


def etcd_cluster(program: Path) -> Cluster:
    """Returns a cluster of etcd's members, not yet started."""
    return Cluster("etcd", [str(program)])
