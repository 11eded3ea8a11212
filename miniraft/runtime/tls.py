"""The peer API's TLS as the flags say it, and warnings about keys that others may read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from miniraft.peer.security import PeerTls

if TYPE_CHECKING:
    from miniraft.runtime.config import ServerConfig


def peer_tls(config: ServerConfig) -> PeerTls:
    """Returns the certificate files of the peer API.

    `config/certificates.py` has checked them, or `with_self_signed` has put them there.
    """
    return PeerTls(
        cert_file=config.peer_cert_file,
        key_file=config.peer_key_file,
        trusted_ca_file=config.peer_trusted_ca_file,
        client_cert_file=config.peer_outgoing_cert_file,
        client_key_file=config.peer_outgoing_key_file,
        client_cert_auth=config.peer_client_cert_auth,
        allowed_common_names=config.peer_cert_allowed_cn,
        allowed_hostnames=config.peer_cert_allowed_hostname,
        skip_client_san_verification=config.peer_skip_client_san_verification,
        skip_server_verification=config.peer_auto_tls,
        crl_file=config.peer_crl_file,
        limits=config.tls_limits,
    )


def exposed_keys(config: ServerConfig) -> list[str]:
    """Returns what to say about private keys that every user of the machine may read."""
    flags = {
        "--key-file": config.key_file,
        "--client-key-file": config.client_key_file,
        "--peer-key-file": config.peer_key_file,
        "--peer-client-key-file": config.peer_client_key_file,
    }
    warnings: list[str] = []
    for flag, name in flags.items():
        if not name:
            continue
        try:
            mode = stat.S_IMODE(Path(name).stat().st_mode)
        except OSError:
            continue  # the check of the files says so
        if mode & stat.S_IROTH:
            warnings.append(
                f"{flag} {name} can be read by every user (mode {mode:o}); make it 600: chmod 600 {name}"
            )
    return warnings
