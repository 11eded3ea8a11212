"""Who may call over HTTP from a browser: the CORS headers and the host whitelist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.http_response import Headers, header_value

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from miniraft.api.asgi import Scope

ANY = "*"

_METHODS = (b"access-control-allow-methods", b"POST, GET, OPTIONS, PUT, DELETE")
_HEADERS = (b"access-control-allow-headers", b"accept, content-type, authorization")


class AccessControl:
    """`--cors` and `--host-whitelist`; `*` in either lets everything in."""

    def __init__(self, cors: AbstractSet[str], host_whitelist: AbstractSet[str]) -> None:
        self._origins = cors
        self._hosts = host_whitelist
        self._any_host = ANY in host_whitelist or not host_whitelist
        self._any_origin = [_METHODS, (b"access-control-allow-origin", b"*"), _HEADERS]

    def headers(self, scope: Scope) -> Headers:
        """Returns the headers that let a page of the request's origin read the answer."""
        if ANY in self._origins:
            return self._any_origin
        origin = header_value(scope, b"origin")
        if origin is None or origin.decode("latin-1") not in self._origins:
            return []
        return [_METHODS, (b"access-control-allow-origin", origin), _HEADERS]

    def allows_origin(self, scope: Scope) -> bool:
        """Whether a page of that origin may open a WebSocket: for these browsers ask no `headers`."""
        origin = header_value(scope, b"origin")
        return origin is None or ANY in self._origins or origin.decode("latin-1") in self._origins

    def allows_host(self, scope: Scope) -> bool:
        """Whether the Host header is one we answer to. TLS needs no check: names are in the certificate."""
        if self._any_host or scope.get("scheme") == "https":
            return True
        return _host_name(header_value(scope, b"host") or b"") in self._hosts

    def refusal(self, scope: Scope) -> bytes:
        """Returns what a client with a wrong Host header is told."""
        host = _host_name(header_value(scope, b"host") or b"")
        return (
            f"The request is for host {host!r}, which this server was not told is its name. A web page could "
            "otherwise reach it through the name of another site (DNS rebinding, CVE-2018-5702). "
            f"If the name is right, start the server with --host-whitelist {host or 'NAME'}.\n"
        ).encode()


def _host_name(host: bytes) -> str:
    """Returns a Host header without its port and the brackets of an IPv6 address."""
    text = host.decode("latin-1")
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text
