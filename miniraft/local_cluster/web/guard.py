"""Which requests the page's server refuses: those of other sites, and those with another name for it.

The server listens on 127.0.0.1, and a browser lets any site send requests there. So:

- `Host` must be this server's address: a name somebody points at 127.0.0.1 is none of ours.
- `Origin`, which browsers send with every POST and WebSocket, must be this page.
- A POST must carry the token that only the page was told, over its WebSocket.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_HEADER = "X-Miniraft-Token"  # noqa: S105 (a header's name)


class Refusal(NamedTuple):
    """An HTTP status and why."""

    status: int
    text: str


def own_names(port: int) -> frozenset[str]:
    """What `Host` may say."""
    names = {f"127.0.0.1:{port}", f"localhost:{port}"}
    return frozenset(names | {"127.0.0.1", "localhost"} if port == 80 else names)


def refusal(method: str, headers: Mapping[str, str], port: int, token: str) -> Refusal | None:
    """Says why a request is refused, or None when it is not. Names of headers are in any case."""
    names = own_names(port)
    host = headers.get("Host", "")
    if host.lower() not in names:
        return Refusal(421, f"this server is not {host!r}; open http://127.0.0.1:{port}/")
    origin = headers.get("Origin")
    if origin is not None and origin.lower() not in {f"http://{name}" for name in names}:
        return Refusal(403, f"requests of the site {origin!r} are refused; open http://127.0.0.1:{port}/")
    if method not in ("GET", "HEAD", "POST"):
        return Refusal(405, f"there is nothing to {method}; send GET or POST")
    if method != "POST":
        return None
    given = headers.get(TOKEN_HEADER, "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        return Refusal(403, f"the header {TOKEN_HEADER} is missing or of an earlier start; reload the page")
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return Refusal(415, "the body must be JSON; send Content-Type: application/json")
    return None


def protecting_headers(port: int) -> dict[str, str]:
    """What every answer carries: scripts and styles of this server only, in no other site's frame."""
    # Safari before 15.4 does not take a WebSocket for 'self'.
    sockets = " ".join(f"ws://{name}" for name in sorted(own_names(port)))
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }
