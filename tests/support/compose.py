"""Drives a project of Docker Compose on the local engine, and talks to its members."""

import base64
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.requirements import require

ROOT = Path(__file__).resolve().parents[2]


def docker_available():
    """Whether an engine answers and Compose 2 is there."""
    if shutil.which("docker") is None:
        return False
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(command, capture_output=True, timeout=60).returncode != 0:
            return False
    return True


def require_docker():
    """Skips or fails unless Docker and Compose 2 work."""
    require(docker_available(), "Docker with Compose 2", "install Docker Engine and its Compose plugin")


class NotAcknowledged(Exception):  # noqa: N818 (a fact about the request, not a fault)
    """A request got no good answer: what it wrote may or may not be there."""


class ComposeCluster:
    """One project of members named n1, n2, ...; always ended with its volumes."""

    def __init__(self, project, files, ports, folder):
        self.project = project
        self.files = files
        self.ports = ports  # member name -> port on 127.0.0.1
        self.folder = folder
        self.environment = dict(os.environ)
        self.environment.update({f"PORT_{name.upper()}": str(port) for name, port in ports.items()})
        self.context = None

    @property
    def members(self):
        return list(self.ports)

    def compose(self, *arguments, check=True, timeout=300):
        command = ["docker", "compose", "--project-name", self.project]
        for file in self.files:
            command += ["--file", str(ROOT / file)]
        result = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{arguments} failed:\n{result.stdout}\n{result.stderr}\n{self.logs()}")
        return result

    def logs(self):
        return self.compose("logs", "--tail", "60", check=False).stdout

    def up(self):
        """Starts all members and waits until each is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "120")
        self._load_certificates()

    def resume(self):
        """Starts what is stopped and waits until every member answers a linearizable read.

        Not by `--wait`: a member that was paused counts as unhealthy until its next check.
        """
        self.compose("up", "--detach")
        self._load_certificates()
        for name in self.members:
            wait_for(lambda name=name: self._answers(name), 60, f"{name} to serve")

    def _answers(self, name):
        try:
            self.get(name, "any")
        except NotAcknowledged:
            return False
        return True

    def destroy(self):
        self.compose("down", "--volumes", "--timeout", "2", check=False)

    def container(self, name):
        return self.compose("ps", "--all", "--quiet", name).stdout.strip()

    def docker(self, *arguments):
        result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def _load_certificates(self):
        """Copies the CA and the client certificate out of a member, as a user on the host would."""
        for file in ("ca.crt", "client.crt", "client.key"):
            self.compose("cp", f"{self.members[0]}:/certs/{file}", str(self.folder / file))
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(str(self.folder / "client.crt"), str(self.folder / "client.key"))
        self.context = context

    # Talking to one member ----------------------------------------------------------------
    def call(self, name, path, body, timeout_seconds=5.0):
        request = urllib.request.Request(
            f"https://localhost:{self.ports[name]}{path}", data=json.dumps(body).encode()
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_seconds, context=self.context) as response:
                return json.load(response)
        except (OSError, ValueError) as error:
            detail = error.read().decode() if isinstance(error, urllib.error.HTTPError) else error
            raise NotAcknowledged(f"{name}{path}: {detail}") from error

    def put(self, name, key, value, timeout_seconds=5.0):
        body = {"key": _encode(key), "value": _encode(value)}
        return int(self.call(name, "/v3/kv/put", body, timeout_seconds)["header"]["revision"])

    def get(self, name, key, serializable=False):
        answer = self.call(name, "/v3/kv/range", {"key": _encode(key), "serializable": serializable})
        return base64.b64decode(answer["kvs"][0].get("value", "")).decode() if "kvs" in answer else None

    def all_with_prefix(self, name, prefix):
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = self.call(name, "/v3/kv/range", {"key": _encode(prefix), "range_end": _encode(end)}, 20)
        return {
            base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")).decode()
            for kv in answer.get("kvs", [])
        }

    def leader(self, among=None):
        """Returns the name of the member that leads, asking only those in `among`."""
        for name in among or self.members:
            try:
                status = self.call(name, "/v3/maintenance/status", {}, 2.0)
            except NotAcknowledged:
                continue
            if status.get("leader") == status["header"]["member_id"]:
                return name
        return None

    def wait_leader(self, among=None, limit_seconds=30.0):
        return wait_for(lambda: self.leader(among), limit_seconds, f"a leader among {among or self.members}")

    def put_soon(self, names, key, value, limit_seconds):
        """Puts through whichever member takes it; returns the seconds until it was acknowledged."""
        began = time.monotonic()
        while True:
            for name in names:
                try:
                    self.put(name, key, value, timeout_seconds=1.0)
                    return time.monotonic() - began
                except NotAcknowledged:
                    continue
            if time.monotonic() - began > limit_seconds:
                raise AssertionError(f"no write acknowledged within {limit_seconds} s\n{self.logs()}")


def wait_for(condition, limit_seconds, what):
    """Waits until `condition()` is true; returns what it returned."""
    limit = time.monotonic() + limit_seconds
    while time.monotonic() < limit:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {limit_seconds} s in vain for {what}")


def _encode(text):
    return base64.b64encode(text.encode()).decode()
