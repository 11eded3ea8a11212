"""The cause of a failed connection, found by looking again, and what to do about it.

Nothing here runs while requests succeed. After a failure each endpoint is looked at once more
with plain sockets: does the name resolve, does the port accept, does it speak TLS, whose
certificate is it, does it want one of ours, does the member see a leader.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from etcdctl_py.failure import CommandError

if TYPE_CHECKING:
    from etcdctl_py.endpoints import Endpoint
    from etcdctl_py.options import Options

_PROBE_TIMEOUT_S = 1.0
# A member that just lost its majority notices within two election timeouts: wait that long for its word.
_ANSWER_TIMEOUT_S = 3.0
# How an HTTP/2 connection begins: behind its length, the type of the first frame.
_HTTP2_TYPE_AT, _HTTP2_SETTINGS = 3, b"\4\0"
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21, 27})
_NOT_YET_VALID, _EXPIRED = 9, 10
_NAME_MISMATCH = frozenset({62, 64})


class Cause(NamedTuple):
    """What went wrong, in a few words, and the next step."""

    summary: str
    advice: str


class UnreachableError(CommandError):
    """No endpoint answered. `causes` says why, endpoint by endpoint."""

    def __init__(self, causes: dict[str, Cause]) -> None:
        notes: list[str] = []
        for written, cause in causes.items():
            notes += [f"{written}: {cause.summary}", f"  {cause.advice}"]
        if len(causes) == 1:
            ((written, cause),) = causes.items()
            message = f"{written}: {cause.summary}"
            notes = [cause.advice]
        else:
            message = f"none of the {len(causes)} endpoints answered"
        super().__init__(message, notes=tuple(notes))
        self.causes = causes

    @property
    def summary(self) -> str:
        """The cause alone, for commands that name the endpoint themselves."""
        return next(iter(self.causes.values())).summary if len(self.causes) == 1 else self.message


async def explain(failures: dict[Endpoint, Exception], options: Options) -> UnreachableError:
    """Looks at every endpoint that failed and returns the error that says why."""
    causes = await asyncio.gather(
        *(
            asyncio.to_thread(_find_cause, endpoint, failure, options)
            for endpoint, failure in failures.items()
        )
    )
    return UnreachableError(
        {endpoint.written: cause for endpoint, cause in zip(failures, causes, strict=True)}
    )


async def explain_timeout(endpoint: Endpoint, timeout_s: float, options: Options) -> UnreachableError:
    """Returns the error for a command that ran out of time at an endpoint."""
    cause = await asyncio.to_thread(_find_cause, endpoint, TimeoutError(), options)
    if cause is _HEALTHY:
        cause = Cause(
            f"no answer within {timeout_s:g}s, though the member says it is healthy",
            "Give it more time with --command-timeout, or try another member with --endpoints.",
        )
    return UnreachableError({endpoint.written: cause})


_HEALTHY = Cause(
    "the connection broke, though the member is healthy now",
    "Try again; if it happens often, look at the member's log.",
)

_SILENT = Cause(
    "it accepts connections but does not answer",
    "The member hangs or is starting: look at its log. Or another kind of server listens there.",
)


def _find_cause(endpoint: Endpoint, failure: Exception, options: Options) -> Cause:
    try:
        connection = _connect(endpoint)
    except OSError as error:
        return _connect_cause(endpoint, error)
    with connection:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        if endpoint.secure:
            if isinstance(failure, TimeoutError) and _speaks_http(endpoint):
                return _expects_http(endpoint)  # and waits for the end of what is no request to it
            return _look_through_tls(endpoint, connection, options)
        return _look_plainly(endpoint, connection, failure)


def _connect(endpoint: Endpoint) -> socket.socket:
    if endpoint.socket_path:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_PROBE_TIMEOUT_S)
        try:
            connection.connect(endpoint.socket_path)
        except OSError:
            connection.close()
            raise
        return connection
    return socket.create_connection((endpoint.host, endpoint.port), _PROBE_TIMEOUT_S)


def _connect_cause(endpoint: Endpoint, error: OSError) -> Cause:
    where = endpoint.socket_path or f"{endpoint.host}:{endpoint.port}"
    if isinstance(error, socket.gaierror):
        return Cause(
            f"the name {endpoint.host!r} has no address ({error.strerror or error})",
            "Check the spelling, /etc/hosts and the DNS server, or use an IP address in --endpoints.",
        )
    if isinstance(error, ConnectionRefusedError):
        return Cause(
            f"connection refused: nothing listens on {where}",
            "Start the member, or give its client URL with --endpoints (or ETCDCTL_ENDPOINTS).",
        )
    if isinstance(error, TimeoutError):
        return Cause(
            f"timeout: {where} does not answer at all",
            "The host is down, or a firewall drops the packets. Check the address and the port.",
        )
    if isinstance(error, FileNotFoundError):
        return Cause(f"there is no socket at {where}", "Check the path in --endpoints.")
    return Cause(
        f"no connection to {where}: {(error.strerror or str(error)).lower()}",
        "Check the address and the network.",
    )


def _look_plainly(endpoint: Endpoint, connection: socket.socket, failure: Exception) -> Cause:
    try:
        answer = _ask_health(connection, endpoint)
    except OSError:
        answer = b""
    if answer.startswith(b"HTTP/") and b"HTTPS server" not in answer:
        return _health_cause(answer)
    if answer.startswith(_HTTP2_SETTINGS, _HTTP2_TYPE_AT):
        return Cause(
            "it speaks gRPC alone, without JSON",
            "Is it the peer port (2380)? Give a client URL of the member, or the one of its"
            " --listen-client-http-urls.",
        )
    if _speaks_tls(endpoint):
        return Cause(
            "http was spoken to a port that expects https",
            f"Write https://{endpoint.host}:{endpoint.port} in --endpoints, with --cacert (and, if"
            " members ask for client certificates, --cert and --key).",
        )
    if isinstance(failure, TimeoutError) or not answer:
        return _SILENT
    return Cause(
        "it answers, but not in HTTP",
        "Another kind of server listens there: check the port in --endpoints.",
    )


def _look_through_tls(endpoint: Endpoint, connection: socket.socket, options: Options) -> Cause:
    from etcdctl_py.tls import client_context

    context = client_context(options)
    try:
        secured = context.wrap_socket(connection, server_hostname=endpoint.host)
    except ssl.SSLCertVerificationError as error:
        return _certificate_cause(endpoint, error, options)
    except OSError as error:
        if _speaks_http(endpoint):
            return _expects_http(endpoint)
        return _handshake_cause(error, options)
    with secured:
        try:
            answer = _ask_health(secured, endpoint)
        except TimeoutError:
            return _SILENT
        except OSError as error:
            return _handshake_cause(error, options)
    if answer.startswith(b"HTTP/"):
        return _health_cause(answer)
    return _handshake_cause(OSError("closed"), options)


def _expects_http(endpoint: Endpoint) -> Cause:
    return Cause(
        "https was spoken to a port that expects http",
        f"Write http://{endpoint.host}:{endpoint.port} in --endpoints, or leave out --cacert, --cert"
        " and --key.",
    )


# How servers refuse a client certificate. "decrypt error": an authority of the same name signed it,
# with another key; "certificate unknown", "unsupported certificate": not one for clients.
_CLIENT_CERTIFICATE_ALERTS = (
    "unknown ca",
    "bad certificate",
    "expired",
    "decrypt error",
    "certificate unknown",
    "unsupported certificate",
)


def _handshake_cause(error: OSError, options: Options) -> Cause:
    reason = str(getattr(error, "reason", "") or error).lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return Cause(
            "it accepts connections but the TLS handshake gets no answer",
            "The member hangs or is starting, or another kind of server listens there.",
        )
    if options["cert"] and any(words in reason for words in _CLIENT_CERTIFICATE_ALERTS):
        return Cause(
            f"the server rejects the client certificate {options['cert']} ({reason})",
            "It must be valid, for client use, and signed by the member's --trusted-ca-file.",
        )
    if not options["cert"]:
        return Cause(
            "the server asks for a client certificate, and none was given",
            "Give --cert and --key (or ETCDCTL_CERT and ETCDCTL_KEY), signed by the authority it trusts.",
        )
    return Cause(f"the TLS handshake failed ({reason})", "Look at the member's log for its side of it.")


def _certificate_cause(endpoint: Endpoint, error: ssl.SSLCertVerificationError, options: Options) -> Cause:
    code = error.verify_code
    if code in _UNKNOWN_AUTHORITY:
        trusted = f"--cacert {options['cacert']}" if options["cacert"] else "the system's authorities"
        return Cause(
            f"the server's certificate is signed by an authority unknown to {trusted}",
            "Give the authority's certificate that signed the server's with --cacert (or ETCDCTL_CACERT).",
        )
    if code in _NAME_MISMATCH:
        names = ", ".join(_certificate_names(endpoint)) or "no name at all"
        return Cause(
            f"the server's certificate is not for {endpoint.host}: it is for {names}",
            "Use one of these in --endpoints, or make a certificate whose SAN covers the address.",
        )
    if code in {_EXPIRED, _NOT_YET_VALID}:
        state = "has expired" if code == _EXPIRED else "is not valid yet"
        return Cause(
            f"the server's certificate {state}",
            "Renew it (etcd reads the new files without a restart), and check this machine's clock.",
        )
    return Cause(
        f"the server's certificate does not verify: {error.verify_message}",
        "Check --cacert and the server's certificate.",
    )


def _certificate_names(endpoint: Endpoint) -> list[str]:
    """The names and addresses the server's certificate is made for."""
    from cryptography import x509

    try:
        with _connect(endpoint) as connection, _trusting_context().wrap_socket(connection) as secured:
            encoded = secured.getpeercert(binary_form=True) or b""
        certificate = x509.load_der_x509_certificate(encoded)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []
    return [str(name.value) for name in names]


def _trusting_context() -> ssl.SSLContext:
    """A context that accepts any certificate: for looking only, nothing is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _speaks_tls(endpoint: Endpoint) -> bool:
    try:
        with _connect(endpoint) as connection, _trusting_context().wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        # An alert about our missing certificate is TLS all the same.
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _speaks_http(endpoint: Endpoint) -> bool:
    try:
        with _connect(endpoint) as connection:
            answer = _ask_health(connection, endpoint)
            return answer.startswith(b"HTTP/") and b"HTTPS server" not in answer
    except OSError:
        return False


def _ask_health(connection: socket.socket, endpoint: Endpoint) -> bytes:
    """Asks for /health and returns the start of the answer."""
    request = f"GET /health HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("ascii", "replace"))
    answer = b""
    while len(answer) < 4096:
        piece = connection.recv(4096)
        if not piece:
            break
        answer += piece
    return answer


def _health_cause(answer: bytes) -> Cause:
    if b"NO LEADER" in answer:
        return Cause(
            "the member is up but has no leader: most members are down or cannot reach each other",
            "Start the missing members; see who is up with: etcdctl-py endpoint status (all endpoints)",
        )
    if b"RANGE ERROR" in answer:
        return Cause(
            "the member is up but cannot reach a majority of the cluster",
            "Start the missing members, or repair the network between them.",
        )
    return _HEALTHY
