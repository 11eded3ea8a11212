"""Whether an address can be listened on, and who has it when it cannot."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from urllib.parse import urlsplit


class PortError(Exception):
    """An address cannot be listened on. The message names it, the flag and what to do."""


def check_can_listen(url: str, flag: str) -> None:
    """Binds the URL's address for a moment. Raises PortError with the reason."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise PortError(explain_bind_error(url, flag, error)) from error


def explain_bind_error(url: str, flag: str, error: OSError) -> str:
    """Returns why `url` could not be listened on, and what to do."""
    parts = urlsplit(url)
    port = parts.port or 0
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        return (
            f"cannot listen on {url}: port {port} is taken{f' by {holder}' if holder else ''}; "
            f"stop that process, or choose another port with {flag}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {url}: no interface here has address {parts.hostname}; correct {flag}"
    if error.errno == errno.EACCES:
        return f"cannot listen on {url}: ports below 1024 need more rights; choose another with {flag}"
    return f"cannot listen on {url}: {error.strerror or error}; correct {flag}"


def port_holder(port: int) -> str:
    """Returns `name (pid N)` of the process that listens on a TCP port, or nothing if not told."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            for descriptor in (folder / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue  # gone, or another user's
    return ""


def _listening_inodes(port: int) -> set[str]:
    """Returns `socket:[inode]` of the sockets that listen on a port, as /proc/<pid>/fd shows them."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            listening = fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
