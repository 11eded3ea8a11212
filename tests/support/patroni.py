"""PostgreSQL kept available by Patroni, whose consensus is kept by the cluster under test."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from tests.support.free_ports import free_base_port
from tests.support.requirements import require
from tests.support.venvs import plain_environment, venv_python

REQUIREMENTS = ("patroni[etcd3]==4.1.5", "psycopg[binary]>=3.2")
SCOPE = "miniraft-test"
LEADER_KEY = f"/service/{SCOPE}/leader"
LEASE_TTL_S = 20  # the shortest that Patroni takes

_REMEDY = "install PostgreSQL (Debian: postgresql)"
_PASSWORD = "only-for-this-test"


def postgres_programs() -> Path:
    """Returns the folder of PostgreSQL's programs; skips (or fails, see `require`) without it."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    folders = [folder for folder in folders if (folder / "initdb").exists()]
    require(bool(folders), "PostgreSQL", _REMEDY)
    return folders[-1]


class Account:
    """Who PostgreSQL runs as: it refuses root, so root becomes the user of the package."""

    def __init__(self):
        self._is_root = os.geteuid() == 0
        self.name = "postgres" if self._is_root else pwd.getpwuid(os.geteuid()).pw_name
        if self._is_root:
            with contextlib.suppress(KeyError):
                pwd.getpwnam(self.name)
                require(shutil.which("setpriv") is not None, "setpriv", "install util-linux")
                return
            require(False, f"the user {self.name}", _REMEDY)

    def command(self, *words):
        """Returns a command that runs as that user, in the same process."""
        if not self._is_root:
            return [str(word) for word in words]
        user = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups"]
        return [*user, *(str(word) for word in words)]

    def give(self, path):
        """Gives a file or folder to that user."""
        if self._is_root:
            shutil.chown(path, self.name, self.name)


class Instance:
    """One Patroni and its PostgreSQL."""

    def __init__(self, name, folder, account, etcd3, programs):
        self.name = name
        self.folder = folder
        self.account = account
        self.programs = programs
        self.database_port = free_base_port(2)
        self.rest_port = self.database_port + 1
        self.data = folder / f"{name}-data"
        self.process = None
        self._config = folder / f"{name}.yml"
        self._config.write_text(yaml.safe_dump(self._settings(etcd3)))
        account.give(self._config)

    def _settings(self, etcd3):
        database = f"127.0.0.1:{self.database_port}"
        rest = f"127.0.0.1:{self.rest_port}"
        return {
            "scope": SCOPE,
            "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": etcd3,
            "bootstrap": {
                "dcs": {
                    "ttl": LEASE_TTL_S,
                    "loop_wait": 1,
                    "retry_timeout": 5,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "pg_hba": ["host all all 127.0.0.1/32 md5", "host replication all 127.0.0.1/32 md5"],
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
            },
            "postgresql": {
                "listen": database,
                "connect_address": database,
                "data_dir": str(self.data),
                "bin_dir": str(self.programs),
                "pgpass": str(self.folder / f"{self.name}.pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", "password": _PASSWORD},
                    "replication": {"username": "replicator", "password": _PASSWORD},
                },
                "parameters": {
                    "unix_socket_directories": str(self.folder),
                    "shared_buffers": "16MB",
                    "fsync": "off",
                },
            },
        }

    def start(self):
        """Starts Patroni, which starts PostgreSQL."""
        python = venv_python("patroni", *REQUIREMENTS)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.account.command(python, "-m", "patroni", self._config),
                stdout=log,
                stderr=log,
                env=plain_environment() | {"HOME": str(self.folder), "LC_ALL": "C"},
                cwd=self.folder,
            )

    @property
    def log_path(self):
        return self.folder / f"{self.name}.log"

    def status(self):
        """What Patroni says of itself, or an empty object while it says nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest_port}/patroni", timeout=2) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read() or b"{}")
        except (OSError, ValueError):
            return {}

    def is_primary(self):
        status = self.status()
        return status.get("state") == "running" and status.get("role") in ("primary", "master")

    def is_streaming(self):
        status = self.status()
        return status.get("role") == "replica" and status.get("replication_state") == "streaming"

    def sql(self, statement, check=True):
        """Runs a statement; returns what it printed, or (without `check`) None when it failed."""
        target = f"host=127.0.0.1 port={self.database_port} user=postgres dbname=postgres connect_timeout=5"
        done = subprocess.run(
            [self.programs / "psql", "-qtAX", "-d", target, "-c", statement],
            capture_output=True,
            text=True,
            timeout=20,
            env=plain_environment() | {"PGPASSWORD": _PASSWORD},
        )
        if done.returncode != 0 and not check:
            return None
        assert done.returncode == 0, f"{statement}: {done.stderr}"
        return done.stdout.strip()

    def kill(self):
        """Kills Patroni, and its PostgreSQL with all that belongs to it, as a power cut would."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError, ValueError):
            postmaster = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(postmaster, signal.SIGQUIT)  # immediately: no checkpoint, no good-bye
            _wait_gone(postmaster)

    def close(self):
        """Ends whatever still runs."""
        if self.process is not None:
            self.kill()


def _wait_gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
