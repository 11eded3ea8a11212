"""How a gRPC call ends: a status code, a text, and metadata (gRPC over HTTP/2, "Responses")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from miniraft.errors import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Headers = list[tuple[bytes, bytes]]

_TO_ESCAPE = re.compile(rb"[^ -$&-~]")  # all but printable ASCII without the percent sign


class RpcError(Exception):
    """A call ended with a status other than OK: said by the other end, or by a handler to it."""

    def __init__(self, code: Code, details: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details
        self.metadata = metadata or {}  # trailing metadata, text only


def status_headers(code: Code, details: str = "", metadata: Mapping[str, str] | None = None) -> Headers:
    """Returns the trailers that end a call."""
    headers = [(b"grpc-status", b"%d" % code)]
    if details:
        escaped = _TO_ESCAPE.sub(lambda found: b"%%%02X" % found[0][0], details.encode())
        headers.append((b"grpc-message", escaped))
    headers += [(key.encode(), value.encode()) for key, value in (metadata or {}).items()]
    return headers


def error_in(headers: Iterable[tuple[bytes, bytes]]) -> RpcError | None:
    """Returns what the trailers of a call say went wrong, or None."""
    fields = {key.decode("ascii", "replace"): value for key, value in headers}
    encoded = fields.pop("grpc-status", None)
    details = unquote_to_bytes(fields.pop("grpc-message", b"")).decode(errors="replace")
    if encoded == b"0":
        return None
    try:
        code = Code(int(encoded or b""))
    except ValueError:
        return RpcError(Code.UNKNOWN, details or "the call ended without a status")
    return RpcError(code, details, {key: value.decode(errors="replace") for key, value in fields.items()})


def error_of_http_status(status: bytes) -> RpcError | None:
    """Returns the error that an answer with this HTTP status stands for, or None for 200."""
    if status == b"200":
        return None
    code = {b"401": Code.UNAUTHENTICATED, b"403": Code.PERMISSION_DENIED}.get(status)
    if code is None:
        passing = status in (b"429", b"502", b"503", b"504")
        code = Code.UNAVAILABLE if passing else Code.UNIMPLEMENTED
    return RpcError(code, f"answered with HTTP status {status.decode(errors='replace')} instead of gRPC")
