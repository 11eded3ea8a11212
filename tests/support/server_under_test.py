"""The server a test talks to: the real etcd, or with MINIRAFT_TEST_SERVER=miniraft our own."""

import contextlib
import http.client
import os
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.real_etcd import free_port, real_binary

_READY_TIMEOUT_S = 20.0
MINIRAFT = (sys.executable, "-m", "miniraft")


@dataclass(frozen=True)
class Tls:
    """The files a server listens with; `authority` also asks clients for certificates."""

    cert_file: str
    key_file: str
    authority: str = ""

    def flags(self):
        """The flags that switch TLS on for clients."""
        flags = ["--cert-file", self.cert_file, "--key-file", self.key_file]
        if self.authority:
            flags += ["--client-cert-auth", "--trusted-ca-file", self.authority]
        return flags


def server_command():
    """How the server under test is started."""
    chosen = os.environ.get("MINIRAFT_TEST_SERVER", "etcd")
    if chosen == "miniraft":
        return [sys.executable, "-m", "miniraft"]
    if chosen != "etcd":
        raise ValueError(f"MINIRAFT_TEST_SERVER is {chosen!r}; it may be etcd or miniraft")
    return [str(real_binary("etcd"))]


@contextlib.contextmanager
def running_server(
    folder: Path,
    *flags: str,
    tls: Tls | None = None,
    name: str = "m1",
    program: tuple[str, ...] = (),
    own_flags: tuple[str, ...] = ("--unsafe-no-fsync", "--log-level", "warn"),
):
    """Runs one member with its data and log in `folder`; yields `127.0.0.1:port` once it serves.

    Further `flags` come last and so win over the ones here. `program` is another server than the
    one under test, `own_flags` what only some of them know.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    client = f"{'https' if tls else 'http'}://{address}"
    peer = f"http://127.0.0.1:{free_port()}"
    command = [
        *(program or server_command()),
        *("--name", name, "--data-dir", str(folder / "data")),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"{name}={peer}", *own_flags),
        *(tls.flags() if tls else ()),
        *flags,
    ]
    log_path = folder / "server.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _wait_until_ready(process, address, tls, log_path)
        yield address
    finally:
        process.kill()  # an orderly stop would wait for streams; nothing of this server is kept
        process.wait()


def _wait_until_ready(process, address, tls, log_path):
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _ask(address, tls) in (200, 400):  # 400: it serves, but only users
                return
        time.sleep(0.02)
    end = log_path.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"the server did not become ready at {address}; the end of {log_path}:\n{end}")


def _ask(address, tls):
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=1)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(tls.cert_file, tls.key_file)
        connection = http.client.HTTPSConnection(host, int(port), timeout=1, context=context)
    with contextlib.closing(connection):
        connection.request("POST", "/v3/kv/range", '{"key":"YQ=="}')
        return connection.getresponse().status
