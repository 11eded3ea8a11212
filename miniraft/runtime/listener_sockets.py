"""Listening sockets for URLs. We bind them ourselves, so that what is wrong is said by us."""

from __future__ import annotations

import ipaddress
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from miniraft.runtime.ports import explain_bind_error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_TCP_SCHEMES = frozenset(("http", "https"))
_UNIX_SCHEMES = frozenset(("unix", "unixs"))
_BACKLOG = 1024


Endpoint = tuple[str, int]  # an address as text, and a port


class ListenError(Exception):
    """A URL cannot be listened on; says why and what to do."""


class ListenAddress(NamedTuple):
    """A listening URL taken apart: `path` for Unix sockets, host and port for the others."""

    url: str
    host: str
    port: int
    path: str
    is_secure: bool  # TLS


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How sockets are set up. Clients that vanished without a word are found by TCP keepalive."""

    reuse_port: bool = False
    keepalive_idle_seconds: int = 7200  # --grpc-keepalive-interval; 0: no keepalive
    keepalive_timeout_seconds: int = 20  # --grpc-keepalive-timeout


def parse_listen_url(url: str) -> ListenAddress:
    """Returns the parts of a URL to listen on. Raises ListenError."""
    parts = urlsplit(url)
    if parts.scheme in _UNIX_SCHEMES:
        path = parts.netloc + parts.path
        if not path:
            raise ListenError(f"{url}: give the path of the socket, as in unix:///run/miniraft.sock")
        return ListenAddress(url, "", 0, path, parts.scheme == "unixs")
    if parts.scheme not in _TCP_SCHEMES:
        raise ListenError(f"{url}: the scheme must be http, https, unix or unixs")
    try:
        port = parts.port
    except ValueError:
        port = None
    if port is None or not parts.hostname:
        raise ListenError(f"{url}: give host and port, as in {parts.scheme}://127.0.0.1:2379")
    if parts.path not in ("", "/"):
        raise ListenError(f"{url}: a URL to listen on has no path: leave {parts.path} away")
    return ListenAddress(url, parts.hostname, port, "", parts.scheme == "https")


def listen(address: ListenAddress, options: SocketOptions, flag: str) -> socket.socket:
    """Returns a listening, non-blocking socket. Raises ListenError, which names `flag`."""
    return _listen_unix(address, flag) if address.path else _listen_tcp(address, options, flag)


def bound_url(address: ListenAddress, listener: socket.socket) -> str:
    """Returns the URL clients use, with the port that was really taken for port 0."""
    if address.path:
        return address.url
    host, port = listener.getsockname()[:2]
    scheme = "https" if address.is_secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def endpoint(address: Sequence[Any]) -> Endpoint:
    """Returns a TCP address in one form, whichever way it is told: IPv4 within IPv6 as IPv4, no zone."""
    host = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    return str(host), int(address[1])


def _listen_tcp(address: ListenAddress, options: SocketOptions, flag: str) -> socket.socket:
    family, target = _resolve(address, flag)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # [::] stands for every address, IPv4 ones too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        # Connections inherit these from their listener.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _set_keepalive(listener, options)
        listener.bind(target)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(explain_bind_error(address.url, flag, error)) from None
    return listener


def _resolve(address: ListenAddress, flag: str) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Returns the first address of the host, IPv4 before IPv6."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise ListenError(
            f"cannot listen on {address.url}: host {address.host} is unknown ({error.strerror}); "
            f"give an address of this machine with {flag}, or 0.0.0.0 for all of them"
        ) from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, target = found[0]
    return family, target


def _set_keepalive(listener: socket.socket, options: SocketOptions) -> None:
    if options.keepalive_idle_seconds <= 0:
        return
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux; elsewhere the system's own times apply
        probe_seconds = max(1, options.keepalive_timeout_seconds // 4)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, options.keepalive_idle_seconds)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe_seconds)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _listen_unix(address: ListenAddress, flag: str) -> socket.socket:
    path = Path(address.path)
    _remove_leftover(path, address, flag)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ListenError(f"cannot listen on {address.url}: {reason}; correct {flag}") from None
    return listener


def _remove_leftover(path: Path, address: ListenAddress, flag: str) -> None:
    """Removes the socket file of a program that is gone. Raises ListenError for anything else."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing there, or bind will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise ListenError(
            f"cannot listen on {address.url}: {path} is there and not a socket; "
            f"remove it, or choose another path with {flag}"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            return  # bind will say what is wrong
    raise ListenError(
        f"cannot listen on {address.url}: another program is listening there; "
        f"stop it, or choose another path with {flag}"
    )
