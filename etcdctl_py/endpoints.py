"""Endpoints: `host:port`, `http://…`, `https://…` or `unix://path`, as etcdctl accepts them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from etcdctl_py.failure import CommandError, ExitCode

_SECURE_SCHEMES = {"https": True, "http": False, "unixs": True, "unix": False}


class Endpoint(NamedTuple):
    """Where a member is reached. `written` is what the user typed, for messages."""

    written: str
    secure: bool
    host: str
    port: int
    socket_path: str = ""

    @property
    def url(self) -> str:
        """The base of request URLs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def parse_endpoint(written: str, tls_wanted: bool) -> Endpoint:
    """Reads one endpoint; without a scheme, `tls_wanted` decides. Raises CommandError."""
    scheme, separator, rest = written.partition("://")
    if not separator:
        scheme, rest = ("https" if tls_wanted else "http"), written
    if scheme not in _SECURE_SCHEMES:
        raise _bad_endpoint(written, f"scheme {scheme!r} is none of http, https, unix and unixs")
    secure = _SECURE_SCHEMES[scheme]
    if scheme.startswith("unix") and rest.startswith("/"):
        return Endpoint(written, secure, "localhost", 0, rest)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_endpoint(written, str(error)) from None
    if not host:
        raise _bad_endpoint(written, "it names no host")
    return Endpoint(written, secure, host, port or _default_port(secure, named_scheme=bool(separator)))


def _default_port(secure: bool, *, named_scheme: bool) -> int:
    """A URL has the port of its scheme; a bare host is meant to be an etcd."""
    if not named_scheme:
        return 2379
    return 443 if secure else 80


def _bad_endpoint(written: str, problem: str) -> CommandError:
    return CommandError(
        f"endpoint {written!r} cannot be used: {problem}",
        ExitCode.ERROR,
        ("Write endpoints as host:port or http://host:port or https://host:port, comma separated.",),
    )
