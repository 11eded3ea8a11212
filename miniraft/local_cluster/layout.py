"""What a local cluster consists of: names, ports, folders. Kept in its data folder.

cluster-data/
  cluster.json   this layout, so that the next start brings back the same cluster
  lock           held while the cluster runs
  certs/         two authorities, members' and client's certificates
  n1/ n2/ n3/    the members' data
  n1.log ...     the members' logs, one JSON event a line
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from miniraft.local_cluster.problem import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

MAX_NODES = 7
DEFAULT_NODES = 3
# As in etcd's Procfile for a local cluster; each peer port is the next one up.
DEFAULT_CLIENT_PORTS = (2379, 22379, 32379, 42379, 52379, 62379, 12379)
DEFAULT_FOLDER = "cluster-data"
LAYOUT_FILE = "cluster.json"
HOST = "127.0.0.1"


class MemberLayout(NamedTuple):
    """One member's place. `number` is what a person types."""

    number: int
    name: str
    client_port: int
    peer_port: int


class ClusterLayout(NamedTuple):
    """A cluster's place on this machine."""

    folder: Path  # absolute
    members: tuple[MemberLayout, ...]
    tls: bool

    @property
    def scheme(self) -> str:
        """Of all URLs."""
        return "https" if self.tls else "http"

    @property
    def certificates(self) -> Path:
        """The folder of certificates."""
        return self.folder / "certs"

    @property
    def quorum(self) -> int:
        """How many members decide."""
        return len(self.members) // 2 + 1

    @property
    def page_port(self) -> int:
        """Where its page is served unless told otherwise: one below the first member's clients."""
        return self.members[0].client_port - 1

    def client_url(self, member: MemberLayout) -> str:
        """Where clients reach a member."""
        return f"{self.scheme}://{HOST}:{member.client_port}"

    def peer_url(self, member: MemberLayout) -> str:
        """Where the others reach a member."""
        return f"{self.scheme}://{HOST}:{member.peer_port}"

    def data_folder(self, member: MemberLayout) -> Path:
        """Where a member keeps its data."""
        return self.folder / member.name

    def log_file(self, member: MemberLayout) -> Path:
        """Where a member's log goes."""
        return self.folder / f"{member.name}.log"

    def member(self, text: str) -> MemberLayout:
        """Finds a member by name or number. Raises ClusterError."""
        for member in self.members:
            if text in (member.name, str(member.number)):
                return member
        names = ", ".join(member.name for member in self.members)
        raise ClusterError(f"there is no member {text!r}; write one of {names}")

    def member_flags(self, member: MemberLayout) -> list[str]:
        """The flags a member is started with: etcd's."""
        client, peer = self.client_url(member), self.peer_url(member)
        flags = [
            f"--name={member.name}",
            f"--data-dir={self.data_folder(member)}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            "--initial-cluster=" + ",".join(f"{m.name}={self.peer_url(m)}" for m in self.members),
            "--initial-cluster-state=new",
            "--initial-cluster-token=miniraft-local",
            "--log-format=json",
            "--log-outputs=stderr",
        ]
        if self.tls:
            from certs.flags import member_flags

            for flag, file in member_flags(self.certificates, member.name).items():
                flags.append(f"--{flag}={file}" if file else f"--{flag}")
        return flags

    def client_environment(self) -> dict[str, str]:
        """What etcdctl needs to talk to the cluster."""
        endpoints = ",".join(self.client_url(member) for member in self.members)
        environment = {"ETCDCTL_ENDPOINTS": endpoints}
        if self.tls:
            from certs.flags import client_environment

            environment |= client_environment(self.certificates)
        return environment


def plan(folder: Path, nodes: int, base_port: int | None, *, tls: bool) -> ClusterLayout:
    """Lays out a new cluster. Raises ClusterError when it cannot be."""
    if not 1 <= nodes <= MAX_NODES:
        raise ClusterError(f"--nodes {nodes}: write a number from 1 to {MAX_NODES}")
    if base_port is None:
        ports = [(port, port + 1) for port in DEFAULT_CLIENT_PORTS[:nodes]]
    else:
        ports = [(port, port + 1) for port in range(base_port, base_port + 2 * nodes, 2)]
    if ports[0][0] < 1 or ports[-1][1] > 65535:
        raise ClusterError(
            f"--base-port {base_port}: {nodes} members take {2 * nodes} ports from there, at most 65535; "
            "write a smaller one"
        )
    members = tuple(
        MemberLayout(number, f"n{number}", client, peer) for number, (client, peer) in enumerate(ports, 1)
    )
    return ClusterLayout(folder.absolute(), members, tls)


def load(folder: Path) -> ClusterLayout | None:
    """Reads the layout of a folder, or None when it holds none. Raises ClusterError."""
    file = folder.absolute() / LAYOUT_FILE
    try:
        document: dict[str, Any] = json.loads(file.read_text())
        members = tuple(
            MemberLayout(number, str(entry["name"]), int(entry["client_port"]), int(entry["peer_port"]))
            for number, entry in enumerate(document["members"], 1)
        )
        tls = bool(document["tls"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterError(f"cannot read {file}: {error.strerror}; choose another --data-dir") from None
    except (ValueError, KeyError, TypeError):
        raise ClusterError(
            f"{file} is damaged; delete the folder {folder}, or choose another --data-dir"
        ) from None
    return ClusterLayout(folder.absolute(), members, tls)


def save(layout: ClusterLayout) -> None:
    """Writes a layout into its folder, whole or not at all."""
    document = {
        "tls": layout.tls,
        "members": [
            {"name": member.name, "client_port": member.client_port, "peer_port": member.peer_port}
            for member in layout.members
        ],
    }
    temporary = layout.folder / f".{LAYOUT_FILE}"
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.replace(layout.folder / LAYOUT_FILE)


def check_ports(layout: ClusterLayout) -> None:
    """Raises ClusterError when a port of the cluster is taken."""
    for member in layout.members:
        for port in (member.client_port, member.peer_port):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise ClusterError(
                        f"port {port} of {member.name} cannot be used: {error.strerror}; stop what uses it "
                        f"(ss -ltnp 'sport = :{port}' shows it), or choose --base-port 12379 "
                        "and another --data-dir"
                    ) from None
