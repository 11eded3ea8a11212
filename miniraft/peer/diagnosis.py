"""Why a connection to another member failed, told so that a person can act on it.

For https this looks once more, in a thread, which certificate the other end shows and
whether it names the host: the handshake that failed no longer tells.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from miniraft.peer.http2.status import RpcError
from miniraft.tls.certificate_names import CertificateNames
from miniraft.tls.handshake import HandshakeRefused
from miniraft.tls.limits import apply_limits

if TYPE_CHECKING:
    from miniraft.peer.security import PeerTls

_PROBE_TIMEOUT_SECONDS = 2.0


async def explain_failure(url: str, failure: Exception, tls: PeerTls) -> str:
    """Returns one sentence on why `url` could not be reached or did not answer."""
    host, port = _host_and_port(url)
    if isinstance(failure, RpcError):
        return f"{url} answered with an error: {failure.details or failure.code.name}"
    if isinstance(failure, HandshakeRefused):
        return f"the certificate that {url} shows is not one of a member: {failure}"
    if isinstance(failure, ConnectionRefusedError):
        return f"{url} refuses connections: nothing listens there yet, or the URL names a wrong port"
    if isinstance(failure, socket.gaierror):
        return f"{host} does not resolve to an address: correct the peer URL or the DNS record ({failure})"
    if url.startswith("https:"):
        explained = await asyncio.to_thread(_explain_tls, url, host, port, tls)
        if explained:
            return explained
    elif isinstance(failure, ConnectionError):
        return (
            f"{url} closed the connection at once: it may expect TLS (then the peer URL must be "
            f"https://{host}:{port}), or it is no miniraft member ({failure})"
        )
    return f"{url} cannot be reached: {str(failure) or type(failure).__name__}"


def explain_loss(failure: Exception) -> str:
    """Returns why a connection that worked has ended."""
    if isinstance(failure, RpcError):
        return failure.details or failure.code.name
    if isinstance(failure, ConnectionResetError | BrokenPipeError):
        return "the connection was closed: its process has ended"
    return str(failure) or type(failure).__name__


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def _explain_tls(url: str, host: str, port: int, tls: PeerTls) -> str:
    """Returns what is wrong with the TLS at `url`, or nothing."""
    try:
        names, chain_error = _look_at_certificate(host, port, tls)
    except ssl.SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error):
            return (
                f"{url} does not speak TLS: if that member has no --peer-cert-file its peer URL is "
                f"http://{host}:{port}"
            )
        return _no_agreement(url, error)
    except (BrokenPipeError, ConnectionResetError) as error:
        return _no_agreement(url, error)
    except OSError as error:
        return f"{url} cannot be reached: {error}"
    except ValueError as error:
        return f"{url} shows a certificate that cannot be read: {error}"
    if tls.skip_server_verification:
        return (
            f"{url} ended the handshake: most likely it asks for a certificate that somebody vouches for, "
            f"and --peer-auto-tls has none; start all members with that flag, or none"
        )
    if not names.covers(host):
        return (
            f"the certificate that {url} shows is for [{names}] and does not name {host}, the host that "
            f"was dialled: issue it with that name, or use one of its names in the peer URL"
        )
    if chain_error:
        trusted = tls.trusted_ca_file or "the system's certificate authorities"
        return (
            f"the certificate that {url} shows was issued by [{names.issuer}] and is not vouched for by "
            f"{trusted}: {chain_error}; all members need the same CA in --peer-trusted-ca-file"
        )
    shown = tls.client_cert_file or "none, as --peer-cert-file is not set"
    return (
        f"{url} shows a good certificate but ended the handshake: most likely it does not accept ours "
        f"({shown}); that member's --peer-trusted-ca-file must hold the CA that issued it, its "
        f"--peer-crl-file must not list it, and the certificate must allow client authentication"
    )


def _no_agreement(url: str, error: Exception) -> str:
    return (
        f"TLS handshake with {url} failed: {error}; its log says why. Do --tls-min-version, "
        f"--tls-max-version and --cipher-suites of the two members leave something in common?"
    )


def _look_at_certificate(host: str, port: int, tls: PeerTls) -> tuple[CertificateNames, str]:
    """Returns the names in the certificate of the other end, and what is wrong with its chain."""
    chain_error = ""
    try:
        with _connect(host, port, _context(tls, verify=True)):
            pass
    except ssl.SSLCertVerificationError as error:
        chain_error = error.verify_message
    except ssl.SSLError:
        pass  # the second look tells
    with _connect(host, port, _context(tls, verify=False)) as connection:
        der = connection.getpeercert(binary_form=True)
    if der is None:
        raise ValueError("there is none")
    return CertificateNames(x509.load_der_x509_certificate(der)), chain_error


def _context(tls: PeerTls, *, verify: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    apply_limits(context, tls.limits)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if verify and tls.trusted_ca_file:
        context.load_verify_locations(cadata=Path(tls.trusted_ca_file).read_text())
    elif verify:
        context.load_default_certs()
    if tls.client_cert_file and tls.client_key_file:
        context.load_cert_chain(tls.client_cert_file, tls.client_key_file)
    return context


def _connect(host: str, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((host, port), _PROBE_TIMEOUT_SECONDS)
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
