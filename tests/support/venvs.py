"""Virtual environments for programs that are tested as they come, kept between test runs.

Client libraries want other versions of protobuf than we do, or none of ours beside them. They
live in $XDG_CACHE_HOME/miniraft-tests (as root in /var/cache/miniraft-tests, where programs that
run as another user can read them), by what was asked for.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.requirements import require

_INSTALL_TIMEOUT_S = 100


def cache_folder() -> Path:
    """Returns the folder the environments are kept in."""
    if os.geteuid() == 0:
        return Path("/var/cache/miniraft-tests")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miniraft-tests"


def venv_python(name: str, *requirements: str) -> Path:
    """Returns the Python of an environment with `requirements`; makes it the first time.

    Skips the test (or fails it, see `require`) when the packages cannot be installed.
    """
    python = _base_python()
    words = "\n".join([str(python), sys.version, *requirements])
    folder = cache_folder() / f"{name}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be making it
        ready = folder / "ready"
        if not ready.exists():
            problem = _make(python, folder, requirements)
            require(not problem, f"{' '.join(requirements)} for {python}", f"pip said: {problem[-500:]}")
            ready.touch()
    return folder / "bin" / "python"


def _make(python: Path, folder: Path, requirements: tuple[str, ...]) -> str:
    """Returns what went wrong, or an empty text."""
    shutil.rmtree(folder, ignore_errors=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([python, "-m", "venv", folder], [*pip, *requirements]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"not finished after {_INSTALL_TIMEOUT_S} s"
        except OSError as error:
            return str(error)
        if done.returncode != 0:
            return done.stderr or done.stdout
    return ""


def _base_python() -> Path:
    """The interpreter we run on, or the system's where only root could execute ours."""
    own = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}").resolve()
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in own.parents):
        return own
    return Path(shutil.which("python3", path="/usr/bin:/bin") or own)


def plain_environment() -> dict[str, str]:
    """The environment without what would send a client elsewhere or let it trust others."""
    prefixes = ("ETCD", "PATRONI", "PG", "PYTHON")
    authorities = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes) and name not in authorities and not name.lower().endswith("_proxy")
    }
