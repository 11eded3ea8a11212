"""Three members as processes with mutual TLS, started as "Kubernetes the hard way" starts etcd."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from tests.support.certificates import Authority
from tests.support.real_etcd import free_port, real_binary

NAMES = ("n1", "n2", "n3")
MINIRAFT = [sys.executable, "-m", "miniraft"]
PATIENCE_SECONDS = 40
PROGRAMS = {
    "etcdctl-3.5": lambda: [str(real_binary("etcdctl"))],
    "etcdctl-3.4": lambda: [str(real_binary("etcdctl", old=True))],
    "etcdctl-py": lambda: [sys.executable, "-m", "etcdctl_py"],
}


class TlsCluster:
    """Members as processes; the flags mix `--flag value` and `--flag=value` as the unit file does."""

    def __init__(self, folder):
        self.folder = folder
        self.client_ports = {name: free_port() for name in NAMES}
        self.peer_ports = {name: free_port() for name in NAMES}
        authority = Authority(folder / "pki")
        self.ca = authority.cert_file
        self.server = authority.issue("kubernetes")
        self.client = authority.issue("admin")
        self.processes = {}

    def __enter__(self):
        try:
            self.start()
            for name in NAMES:
                self.wait_serving(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def command(self, name):
        client = f"https://127.0.0.1:{self.client_ports[name]}"
        peer = f"https://127.0.0.1:{self.peer_ports[name]}"
        cluster = ",".join(f"{other}=https://127.0.0.1:{port}" for other, port in self.peer_ports.items())
        return [
            *MINIRAFT,
            *("--name", name),
            f"--cert-file={self.server.cert_file}",
            f"--key-file={self.server.key_file}",
            f"--peer-cert-file={self.server.cert_file}",
            f"--peer-key-file={self.server.key_file}",
            f"--trusted-ca-file={self.ca}",
            f"--peer-trusted-ca-file={self.ca}",
            "--peer-client-cert-auth",
            "--client-cert-auth",
            *("--initial-advertise-peer-urls", peer),
            *("--listen-peer-urls", peer),
            *("--listen-client-urls", client),
            *("--advertise-client-urls", client),
            *("--initial-cluster-token", "etcd-cluster-0"),
            *("--initial-cluster", cluster),
            *("--initial-cluster-state", "new"),
            f"--data-dir={self.folder / name}",
        ]

    def start(self, *names):
        for name in names or NAMES:
            environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.command(name), stdout=log, stderr=log, env=environment
                )

    def kill(self, *names):
        for name in names:
            self.processes[name].send_signal(signal.SIGKILL)
        for name in names:
            self.processes.pop(name).wait()

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self):
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def flags(self, *names):
        endpoints = ",".join(f"https://127.0.0.1:{self.client_ports[name]}" for name in names or NAMES)
        return [
            f"--endpoints={endpoints}",
            f"--cacert={self.ca}",
            f"--cert={self.client.cert_file}",
            f"--key={self.client.key_file}",
        ]

    def run(self, program, *words, names=(), stdin=None, check=True):
        """Runs one command of an etcdctl; returns what it printed."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
        environment["ETCDCTL_API"] = "3"
        result = subprocess.run(
            [*program, *self.flags(*names), *words],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=30,
            env=environment,
        )
        if check:
            logs = "\n".join(self.log(name)[-800:] for name in NAMES)
            assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}\n{logs}"
        return result.stdout if check else result

    def leader(self, program, names=NAMES):
        """Returns the leader's name as `endpoint status` tells it."""
        for name in names:
            result = self.run(program, "endpoint", "status", "-w", "json", names=[name], check=False)
            if result.returncode == 0:
                status = json.loads(result.stdout)[0]["Status"]
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return name
        return None

    def wait_serving(self, name):
        """Waits until the member answers a linearizable read."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while self.run(PROGRAMS["etcdctl-py"](), "get", "a", names=[name], check=False).returncode != 0:
            assert time.monotonic() < limit, self.log(name)
            time.sleep(0.2)

    def wait_logged(self, name, text):
        """Waits until a member has logged a text."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log(name):
            assert time.monotonic() < limit, f"{text!r} is not in {self.log(name)[-2000:]}"
            time.sleep(0.1)

    def wait_leader(self, program, names=NAMES):
        limit = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < limit:
            if leader := self.leader(program, names):
                return leader
            time.sleep(0.1)
        raise AssertionError("\n".join(self.log(name)[-2000:] for name in NAMES))
