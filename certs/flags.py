"""Which files of a folder go with which flag of a member and which variable of etcdctl."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def member_flags(folder: Path, name: str) -> dict[str, Path | None]:
    """The TLS flags of a member; None stands for a bare one."""
    return {
        "cert-file": folder / f"{name}-server.crt",
        "key-file": folder / f"{name}-server.key",
        "trusted-ca-file": folder / "ca.crt",
        "client-cert-auth": None,
        "peer-cert-file": folder / f"{name}-peer.crt",
        "peer-key-file": folder / f"{name}-peer.key",
        "peer-trusted-ca-file": folder / "peer-ca.crt",
        "peer-client-cert-auth": None,
    }


def client_environment(folder: Path, client: str = "client") -> dict[str, str]:
    """The variables that give etcdctl a client's certificate."""
    return {
        "ETCDCTL_CACERT": str(folder / "ca.crt"),
        "ETCDCTL_CERT": str(folder / f"{client}.crt"),
        "ETCDCTL_KEY": str(folder / f"{client}.key"),
    }
