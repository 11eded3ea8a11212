"""Everything an operator can set, as one value.

Each field is one of etcd's flags with underscores for hyphens and, where a quantity has a unit,
the unit last. The defaults are etcd's; `miniraft/config/` fills in what the command line, the
environment or a configuration file says and checks it. Nothing here reads a file or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miniraft.tls.limits import TlsLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "default"
DEFAULT_PEER_URLS = ("http://localhost:2380",)
DEFAULT_CLIENT_URLS = ("http://localhost:2379",)

# etcd's feature gates and whether miniraft has them on. Two differ from etcd, on purpose: the
# remaining life of leases survives a change of leader unless an operator turns that off.
FEATURE_GATES: Mapping[str, bool] = {
    "InitialCorruptCheck": False,
    "CompactHashCheck": False,
    "LeaseCheckpoint": True,
    "LeaseCheckpointPersist": True,
    "StopGRPCServiceOnDefrag": False,
    "TxnModeWriteWithSharedBuffer": True,
    "SetMemberLocalAddr": False,
    "FastLeaseKeepAlive": True,
    "PriorityRequest": False,
}
DEFAULT_FEATURES = frozenset(name for name, enabled in FEATURE_GATES.items() if enabled)

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one member. Lists of URLs are sorted tuples of strings."""

    # Member
    name: str = DEFAULT_NAME
    data_dir: str = ""  # empty: `<name>.etcd`; read `data_folder`
    wal_dir: str = ""  # empty: inside the data folder
    snapshot_count: int = 10000  # applied entries between two Raft snapshots
    snapshot_catchup_entries: int = 5000  # entries kept behind a snapshot for slow followers
    heartbeat_interval_ms: int = 100  # one tick
    election_timeout_ms: int = 1000
    initial_election_tick_advance: bool = True
    listen_peer_urls: tuple[str, ...] = DEFAULT_PEER_URLS
    listen_client_urls: tuple[str, ...] = DEFAULT_CLIENT_URLS
    listen_client_http_urls: tuple[str, ...] = ()  # not empty: HTTP moves here, the above are gRPC only
    listen_metrics_urls: tuple[str, ...] = ()
    max_snapshots: int = 5  # snapshot files kept; 0: all
    max_wals: int = 5  # log segments kept; 0: all
    memory_mlock: bool = False
    quota_backend_bytes: int = 0  # 0: 2 GiB; negative: no quota
    backend_bbolt_freelist_type: str = ""
    backend_batch_interval_seconds: float = 0.1  # longest time between two commits of the keyspace
    backend_batch_limit: int = 10000  # most operations between two commits of the keyspace
    max_txn_ops: int = 128
    max_request_bytes: int = 1572864
    max_concurrent_streams: int = 4294967295  # for each client connection
    grpc_keepalive_min_time_seconds: float = 5.0
    grpc_keepalive_interval_seconds: float = 7200.0
    grpc_keepalive_timeout_seconds: float = 20.0
    socket_reuse_port: bool = False
    socket_reuse_address: bool = False
    enable_grpc_gateway: bool = True
    raft_read_timeout_seconds: float = 5.0
    raft_write_timeout_seconds: float = 5.0
    feature_gates: frozenset[str] = DEFAULT_FEATURES  # those that are on; read `feature(name)`

    # Clustering
    initial_advertise_peer_urls: tuple[str, ...] = DEFAULT_PEER_URLS
    initial_cluster: str = ""  # `name=url,name=url`; empty: this member alone; read `initial_members`
    initial_cluster_state: str = "new"  # new or existing
    initial_cluster_token: str = "etcd-cluster"  # noqa: S105 - a salt for ids, no secret
    advertise_client_urls: tuple[str, ...] = DEFAULT_CLIENT_URLS
    strict_reconfig_check: bool = True
    pre_vote: bool = True
    max_learners: int = 1
    auto_compaction_mode: str = "periodic"  # periodic or revision
    auto_compaction_retention: str = "0"  # read `auto_compaction_period_seconds` or `..._revisions`
    discovery_endpoints: tuple[str, ...] = ()
    discovery_token: str = ""
    discovery_dial_timeout_seconds: float = 2.0
    discovery_request_timeout_seconds: float = 5.0
    discovery_keepalive_time_seconds: float = 2.0
    discovery_keepalive_timeout_seconds: float = 6.0
    discovery_insecure_transport: bool = True
    discovery_insecure_skip_tls_verify: bool = False
    discovery_cert: str = ""
    discovery_key: str = ""
    discovery_cacert: str = ""
    discovery_user: str = ""
    discovery_password: str = ""
    discovery_fallback: str = "exit"
    discovery_srv: str = ""
    discovery_srv_name: str = ""
    v2_deprecation: str = "write-only"

    # Security: the client listener
    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    client_cert_file: str = ""
    client_key_file: str = ""
    auto_tls: bool = False
    client_crl_file: str = ""
    client_cert_allowed_hostname: tuple[str, ...] = ()
    # Security: between members
    peer_cert_file: str = ""
    peer_key_file: str = ""
    peer_trusted_ca_file: str = ""
    peer_client_cert_auth: bool = False
    peer_client_cert_file: str = ""  # certificate for outgoing calls; read `peer_outgoing_cert_file`
    peer_client_key_file: str = ""
    peer_auto_tls: bool = False
    peer_crl_file: str = ""
    peer_cert_allowed_hostname: tuple[str, ...] = ()
    peer_cert_allowed_cn: tuple[str, ...] = ()
    peer_skip_client_san_verification: bool = False
    self_signed_cert_validity_years: int = 1
    # Security: both
    cipher_suites: tuple[str, ...] = ()
    tls_min_version: str = "TLS1.2"
    tls_max_version: str = ""  # empty: the highest
    cors: tuple[str, ...] = ("*",)
    host_whitelist: tuple[str, ...] = ("*",)

    # Auth
    auth_token: str = "simple"  # noqa: S105 - the kind of token: simple, jwt,<options> or empty
    auth_token_ttl_seconds: int = 300
    bcrypt_cost: int = 10

    # Profiling, metrics, logging, tracing
    enable_pprof: bool = False
    metrics: str = "basic"  # basic or extensive
    logger: str = "zap"
    log_outputs: tuple[str, ...] = ("default",)
    log_level: str = "info"
    log_format: str = ""  # json or console; empty: console on a terminal, json elsewhere
    enable_log_rotation: bool = False
    log_rotation_config_json: str = (
        '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}'
    )
    warning_apply_duration_seconds: float = 0.1
    warning_unary_request_duration_seconds: float = 0.3
    enable_distributed_tracing: bool = False
    distributed_tracing_address: str = "localhost:4317"
    distributed_tracing_service_name: str = "etcd"
    distributed_tracing_instance_id: str = ""
    distributed_tracing_sampling_rate: int = 0  # per million

    # Features
    corrupt_check_time_seconds: float = 0.0  # 0: off
    compact_hash_check_time_seconds: float = 60.0
    compaction_batch_limit: int = 1000  # revisions for each batch
    compaction_sleep_interval_seconds: float = 0.01
    watch_progress_notify_interval_seconds: float = 600.0
    downgrade_check_time_seconds: float = 5.0
    bootstrap_defrag_threshold_megabytes: int = 0

    # Unsafe
    force_new_cluster: bool = False
    unsafe_no_fsync: bool = False

    # Ours
    client_server: str = "h2corn"  # the ASGI server on the client port: h2corn or hypercorn

    @property
    def data_folder(self) -> str:
        """The data folder in force."""
        return self.data_dir or f"{self.name}.etcd"

    @property
    def wal_folder(self) -> str:
        """The folder of the Raft log in force."""
        return self.wal_dir or f"{self.data_folder}/member/wal"

    @property
    def election_ticks(self) -> int:
        """The election timeout in ticks of the heartbeat interval."""
        return self.election_timeout_ms // self.heartbeat_interval_ms

    @property
    def initial_members(self) -> dict[str, tuple[str, ...]]:
        """Member name to its peer URLs, from `initial_cluster`, in the order written.

        Without `initial_cluster` this member alone, at the peer URLs it advertises. Raises
        ValueError when a part is not `name=url`.
        """
        if not self.initial_cluster:
            return {self.name: self.initial_advertise_peer_urls}
        members: dict[str, tuple[str, ...]] = {}
        for part in self.initial_cluster.split(","):
            name, equals, url = part.strip().partition("=")
            if not equals or not name or not url:
                raise ValueError(
                    f"initial-cluster part {part!r} is not name=url; "
                    "write --initial-cluster=n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380"
                )
            members[name] = (*members.get(name, ()), url)
        return members

    @property
    def auto_compaction_period_seconds(self) -> float:
        """How much history a periodic compaction keeps; 0 when off or in revision mode.

        A bare number is hours, as in etcd. Raises ValueError when it is no duration.
        """
        if self.auto_compaction_mode != "periodic":
            return 0.0
        if self.auto_compaction_retention.isdecimal():
            return int(self.auto_compaction_retention) * 3600.0
        return parse_duration_seconds(self.auto_compaction_retention)

    @property
    def auto_compaction_revisions(self) -> int:
        """How many revisions a revision compaction keeps; 0 when off or in periodic mode.

        Raises ValueError when it is no whole number.
        """
        return int(self.auto_compaction_retention) if self.auto_compaction_mode == "revision" else 0

    @property
    def makes_client_certificate(self) -> bool:
        """Whether the client listener's certificate is self-made; one that is given goes before it."""
        return self.auto_tls and not (self.cert_file or self.key_file)

    @property
    def makes_peer_certificate(self) -> bool:
        """Whether the certificate between members is self-made; one that is given goes before it."""
        return self.peer_auto_tls and not (self.peer_cert_file or self.peer_key_file)

    @property
    def client_certificates_required(self) -> bool:
        """Whether a client must show a certificate. As in etcd, naming a CA is enough to ask for it."""
        return self.client_cert_auth or bool(self.trusted_ca_file)

    @property
    def peer_certificates_required(self) -> bool:
        """Whether another member must show a certificate; a CA alone asks for it too."""
        return self.peer_client_cert_auth or bool(self.peer_trusted_ca_file)

    @property
    def peer_outgoing_cert_file(self) -> str:
        """The certificate this member shows when it dials another."""
        return self.peer_client_cert_file or self.peer_cert_file

    @property
    def peer_outgoing_key_file(self) -> str:
        """The key of `peer_outgoing_cert_file`."""
        return self.peer_client_key_file or self.peer_key_file

    @property
    def tls_limits(self) -> TlsLimits:
        """What a handshake with anybody may agree on."""
        return TlsLimits(self.tls_min_version, self.tls_max_version, self.cipher_suites)

    def feature(self, name: str) -> bool:
        """Whether a feature gate is on. Raises KeyError for a name that is no gate."""
        if name not in FEATURE_GATES:
            raise KeyError(name)
        return name in self.feature_gates


def parse_duration_seconds(text: str) -> float:
    """Reads a Go duration (`1h30m`, `300ms`, `1.5s`, `0`) and returns seconds.

    Raises ValueError with Go's words.
    """
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0.0
    while rest:
        number = _leading(rest, "0123456789.")
        rest = rest[len(number) :]
        if not number.strip(".") or number.count(".") > 1:
            raise ValueError(f'time: invalid duration "{text}"')
        unit = _leading_other(rest, "0123456789.")
        rest = rest[len(unit) :]
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _SECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _SECONDS[unit]
    return sign * total


def _leading(text: str, alphabet: str) -> str:
    """The longest prefix made of letters of `alphabet`."""
    return text[: len(text) - len(text.lstrip(alphabet))]


def _leading_other(text: str, alphabet: str) -> str:
    """The longest prefix without any letter of `alphabet`."""
    return next((text[:position] for position, letter in enumerate(text) if letter in alphabet), text)
