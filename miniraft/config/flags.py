"""The table of flags: name, kind of value, meaning, and how far miniraft honours each.

The names, YAML keys and meanings are etcd's; the defaults are those of `ServerConfig`. A flag
whose function is missing says so: it may be set, and warns. None of those promises safety: a
flag that did and had no function would have to end the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from miniraft.config.values import (
    BOOLEAN,
    COUNT,
    COUNT32,
    DURATION,
    GATES,
    NUMBER,
    ORIGINS,
    RETENTION,
    STRINGS,
    TEXT,
    URLS,
    choice,
)
from miniraft.runtime.config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.config.values import Kind


class Flag(NamedTuple):
    """One flag."""

    name: str
    kind: Kind
    meaning: str
    section: str = ""
    unit: str = ""  # the suffix of its field of ServerConfig
    yaml: str = ""  # path in the configuration file, dots between levels; "-": not settable there
    ignored: str = ""  # why it has no effect
    zero_means: Any = None  # what etcd takes 0 for

    @property
    def field(self) -> str:
        """Its field of ServerConfig."""
        return self.name.replace("-", "_") + self.unit

    @property
    def environment(self) -> str:
        """Its environment variable."""
        return "ETCD_" + self.name.replace("-", "_").upper()

    @property
    def yaml_path(self) -> tuple[str, ...]:
        """Its keys in the configuration file, from the outside in; empty when it has none."""
        return () if self.yaml == "-" else tuple((self.yaml or self.name).split("."))

    @property
    def default(self) -> Any:
        """Its value when nobody sets it."""
        return getattr(_DEFAULTS, self.field)


_DEFAULTS = ServerConfig()
_SECONDS, _MS = "_seconds", "_ms"

_MEMBER = (
    Flag("name", TEXT, "Name of this member; must match its entry in --initial-cluster."),
    Flag("data-dir", TEXT, "Folder of everything this member keeps; empty: ${name}.etcd."),
    Flag("wal-dir", TEXT, "Separate folder for the Raft log."),
    Flag("snapshot-count", COUNT, "Applied entries between two Raft snapshots."),
    Flag("snapshot-catchup-entries", COUNT, "Log entries kept behind a snapshot for slow followers."),
    Flag("heartbeat-interval", COUNT, "Milliseconds between two heartbeats.", unit=_MS),
    Flag("election-timeout", COUNT, "Milliseconds without a leader before an election.", unit=_MS),
    Flag("initial-election-tick-advance", BOOLEAN, "Skip most of the first election wait at boot."),
    Flag("listen-peer-urls", URLS, "URLs to listen on for the other members."),
    Flag("listen-client-urls", URLS, "URLs to listen on for clients, gRPC and HTTP."),
    Flag("listen-client-http-urls", URLS, "URLs for HTTP clients only; the client URLs are then gRPC only."),
    Flag("listen-metrics-urls", URLS, "Further URLs for metrics and health alone."),
    Flag("max-snapshots", COUNT, "Snapshot files kept; 0 keeps all."),
    Flag("max-wals", COUNT, "Log files kept; 0 keeps all."),
    Flag("memory-mlock", BOOLEAN, "Keep the keyspace's pages in RAM."),
    Flag("quota-backend-bytes", NUMBER, "Size limit of the keyspace; 0: 2 GiB, negative: none."),
    Flag("backend-bbolt-freelist-type", TEXT, "bbolt's free list: array or map."),
    Flag("backend-batch-interval", DURATION, "Longest time before the keyspace is committed.",
         unit=_SECONDS, zero_means=0.1),
    Flag("backend-batch-limit", NUMBER, "Most operations before the keyspace is committed.",
         zero_means=10000),
    Flag("max-txn-ops", COUNT, "Most operations in one transaction."),
    Flag("max-request-bytes", COUNT, "Largest request that is replicated."),
    Flag("max-concurrent-streams", COUNT32, "HTTP/2 streams for each client connection."),
    Flag("grpc-keepalive-min-time", DURATION, "Shortest gap between a client's pings.", unit=_SECONDS),
    Flag("grpc-keepalive-interval", DURATION, "Time between the server's pings; 0: none.", unit=_SECONDS),
    Flag("grpc-keepalive-timeout", DURATION, "Time a ping may stay unanswered.", unit=_SECONDS),
    Flag("socket-reuse-port", BOOLEAN, "Set SO_REUSEPORT on listeners.", yaml="socket-options.reuse-port"),
    Flag("socket-reuse-address", BOOLEAN, "Set SO_REUSEADDR on listeners.",
         yaml="socket-options.reuse-address"),
    Flag("enable-grpc-gateway", BOOLEAN, "Serve JSON below /v3/."),
    Flag("raft-read-timeout", DURATION, "Read timeout between members.", unit=_SECONDS, yaml="-"),
    Flag("raft-write-timeout", DURATION, "Write timeout between members.", unit=_SECONDS, yaml="-"),
    Flag("feature-gates", GATES, "Feature gates to switch."),
    Flag("client-server", choice("h2corn", "hypercorn"), "HTTP server on the client port (miniraft's own)."),
)  # fmt: skip

_CLUSTERING = (
    Flag("initial-advertise-peer-urls", URLS, "Peer URLs told to the other members."),
    Flag("initial-cluster", TEXT, "name=url list of the members at first boot."),
    Flag("initial-cluster-state", choice("new", "existing"), "Whether the cluster is new or already runs."),
    Flag("initial-cluster-token", TEXT, "Tells clusters apart that have the same URLs."),
    Flag("advertise-client-urls", URLS, "Client URLs shown in the member list."),
    Flag("strict-reconfig-check", BOOLEAN, "Refuse changes of membership that risk the quorum."),
    Flag("pre-vote", BOOLEAN, "Ask around before standing for election."),
    Flag("max-learners", NUMBER, "Most learners in the cluster."),
    Flag("auto-compaction-mode", TEXT, "periodic or revision."),
    Flag("auto-compaction-retention", RETENTION, "History kept: hours, a duration or revisions; 0: all."),
    Flag("discovery-endpoints", STRINGS, "Endpoints of a discovery service.",
         yaml="discovery-config.client.endpoints"),
    Flag("discovery-token", TEXT, "Token at the discovery service.", yaml="discovery-config.token"),
    Flag("discovery-dial-timeout", DURATION, "Time to reach it.", unit=_SECONDS,
         yaml="discovery-config.client.dial-timeout"),
    Flag("discovery-request-timeout", DURATION, "Time for its answer.", unit=_SECONDS,
         yaml="discovery-config.client.request-timeout"),
    Flag("discovery-keepalive-time", DURATION, "Time between pings to it.", unit=_SECONDS,
         yaml="discovery-config.client.keepalive-time"),
    Flag("discovery-keepalive-timeout", DURATION, "Time a ping may stay unanswered.", unit=_SECONDS,
         yaml="discovery-config.client.keepalive-timeout"),
    Flag("discovery-insecure-transport", BOOLEAN, "Reach it without TLS.",
         yaml="discovery-config.client.secure.insecure-transport"),
    Flag("discovery-insecure-skip-tls-verify", BOOLEAN, "Do not check its certificate.",
         yaml="discovery-config.client.secure.insecure-skip-tls-verify"),
    Flag("discovery-cert", TEXT, "Client certificate for it.", yaml="discovery-config.client.secure.cert"),
    Flag("discovery-key", TEXT, "Key of that.", yaml="discovery-config.client.secure.key"),
    Flag("discovery-cacert", TEXT, "CA of its certificate.", yaml="discovery-config.client.secure.cacert"),
    Flag("discovery-user", TEXT, "User there.", yaml="discovery-config.client.auth.username"),
    Flag("discovery-password", TEXT, "Password there.", yaml="discovery-config.client.auth.password"),
    Flag("discovery-fallback", choice("exit"), "What to do when discovery fails.", yaml="-"),
    Flag("discovery-srv", TEXT, "DNS domain whose SRV records name the members."),
    Flag("discovery-srv-name", TEXT, "Suffix of the SRV service."),
    Flag("v2-deprecation", choice("not-yet", "write-only", "write-only-drop-data", "gone"),
         "Stage of the v2 store's removal; there is no v2 store here."),
)  # fmt: skip

_SECURITY = (
    Flag("cert-file", TEXT, "Certificate of the client listener.",
         yaml="client-transport-security.cert-file"),
    Flag("key-file", TEXT, "Key of that.", yaml="client-transport-security.key-file"),
    Flag("trusted-ca-file", TEXT, "CA of client certificates; naming it asks clients for one.",
         yaml="client-transport-security.trusted-ca-file"),
    Flag("client-cert-auth", BOOLEAN, "Ask clients for a certificate.",
         yaml="client-transport-security.client-cert-auth"),
    Flag("client-cert-file", TEXT, "Certificate for this member's own client calls.",
         yaml="client-transport-security.client-cert-file"),
    Flag("client-key-file", TEXT, "Key of that.", yaml="client-transport-security.client-key-file"),
    Flag("auto-tls", BOOLEAN, "Self-made certificate for the client listener, if none is named.",
         yaml="client-transport-security.auto-tls"),
    Flag("client-crl-file", TEXT, "List of revoked client certificates; read for each handshake.", yaml="-"),
    Flag("client-cert-allowed-hostname", STRINGS, "Names a client certificate must bear.",
         yaml="client-transport-security.allowed-hostname"),
    Flag("peer-cert-file", TEXT, "Certificate of the peer listener.",
         yaml="peer-transport-security.cert-file"),
    Flag("peer-key-file", TEXT, "Key of that.", yaml="peer-transport-security.key-file"),
    Flag("peer-trusted-ca-file", TEXT, "CA of the members' certificates; naming it asks for one.",
         yaml="peer-transport-security.trusted-ca-file"),
    Flag("peer-client-cert-auth", BOOLEAN, "Ask members for a certificate.",
         yaml="peer-transport-security.client-cert-auth"),
    Flag("peer-client-cert-file", TEXT, "Certificate for calls to other members.",
         yaml="peer-transport-security.client-cert-file"),
    Flag("peer-client-key-file", TEXT, "Key of that.", yaml="peer-transport-security.client-key-file"),
    Flag("peer-auto-tls", BOOLEAN, "Self-made certificate between members, who then do not check each other.",
         yaml="peer-transport-security.auto-tls"),
    Flag("peer-crl-file", TEXT, "List of revoked member certificates; read for each handshake.", yaml="-"),
    Flag("peer-cert-allowed-hostname", STRINGS, "Names a member's certificate must bear.",
         yaml="peer-transport-security.allowed-hostname"),
    Flag("peer-cert-allowed-cn", STRINGS, "Common names a member's certificate must bear.",
         yaml="peer-transport-security.allowed-cn"),
    Flag("peer-skip-client-san-verification", BOOLEAN, "Do not match a member's certificate to its address.",
         yaml="peer-transport-security.skip-client-san-verification"),
    Flag("self-signed-cert-validity", COUNT, "Years a self-made certificate is valid.", unit="_years"),
    Flag("cipher-suites", STRINGS, "Cipher suites of TLS 1.2 and older."),
    Flag("tls-min-version", TEXT, "Oldest TLS taken: TLS1.2 or TLS1.3."),
    Flag("tls-max-version", TEXT, "Newest TLS taken; empty: the newest."),
    Flag("cors", ORIGINS, "Origins that browsers may call from."),
    Flag("host-whitelist", STRINGS, "Host headers taken on plain HTTP."),
)  # fmt: skip

_AUTH = (
    Flag("auth-token", TEXT, "Kind of token: simple, or jwt with its options."),
    Flag("auth-token-ttl", COUNT, "Seconds a simple token lives.", unit=_SECONDS),
    Flag("bcrypt-cost", COUNT, "Cost of hashing a password, 4 to 31."),
)

_OBSERVING = (
    Flag("enable-pprof", BOOLEAN, "Serve Go's profiles below /debug/pprof."),
    Flag("metrics", TEXT, "basic, or extensive for the latency of each RPC."),
    Flag("logger", TEXT, "Kind of logger: zap."),
    Flag("log-outputs", STRINGS, "default, stderr, stdout or file paths."),
    Flag("log-level", TEXT, "debug, info, warn, error, panic or fatal."),
    Flag("log-format", TEXT, "json or console; unset: console on a terminal, json elsewhere."),
    Flag("enable-log-rotation", BOOLEAN, "Rotate the log file."),
    Flag("log-rotation-config-json", TEXT, "How to rotate it."),
    Flag("warning-apply-duration", DURATION, "Applying longer than this is logged.", unit=_SECONDS),
    Flag("warning-unary-request-duration", DURATION, "Calls longer than this are logged.", unit=_SECONDS),
    Flag("enable-distributed-tracing", BOOLEAN, "Send traces by OTLP."),
    Flag("distributed-tracing-address", TEXT, "Where to."),
    Flag("distributed-tracing-service-name", TEXT, "As which service."),
    Flag("distributed-tracing-instance-id", TEXT, "As which instance."),
    Flag("distributed-tracing-sampling-rate", NUMBER, "How many of a million."),
)

_FEATURES = (
    Flag("corrupt-check-time", DURATION, "Period of comparing hashes over all members; 0: off.",
         unit=_SECONDS),
    Flag("compact-hash-check-time", DURATION, "Period of comparing compaction hashes.", unit=_SECONDS),
    Flag("compaction-batch-limit", NUMBER, "Revisions compacted at a time.", zero_means=1000),
    Flag("compaction-sleep-interval", DURATION, "Pause between two batches of a compaction.",
         unit=_SECONDS, zero_means=0.01),
    Flag("watch-progress-notify-interval", DURATION, "Period of progress notices to watchers.",
         unit=_SECONDS, zero_means=600.0),
    Flag("downgrade-check-time", DURATION, "Period of the downgrade check.", unit=_SECONDS),
    Flag("bootstrap-defrag-threshold-megabytes", COUNT, "Defragment at boot when it frees this much."),
)  # fmt: skip

_UNSAFE = (
    Flag("force-new-cluster", BOOLEAN, "Go on as the only member, the others being lost for good."),
    Flag("unsafe-no-fsync", BOOLEAN, "Do not wait for the disk: a power cut loses data."),
)

SECTIONS = {
    "Member": _MEMBER,
    "Clustering": _CLUSTERING,
    "Security": _SECURITY,
    "Auth": _AUTH,
    "Profiling, metrics, logging, tracing": _OBSERVING,
    "Features": _FEATURES,
    "Unsafe": _UNSAFE,
}

_V3_DISCOVERY = "v2 discovery is gone: write --discovery-endpoints and --discovery-token"
_NO_TRACING = "tracing is not built"
_LOGROTATE = "rotate the file with logrotate and its copytruncate"
_NOT_YET = "not built yet"

# What is missing, and does no harm.
IGNORED = {
    "memory-mlock": "the keyspace's pages stay in the page cache",
    "backend-bbolt-freelist-type": "the keyspace is kept in LMDB, which has no such list",
    "discovery-fallback": "a member that does not find the others always exits",
    "v2-deprecation": "there is no v2 store",
    "enable-pprof": "Go's profiles do not exist here; use py-spy",
    "enable-log-rotation": _LOGROTATE,
    "log-rotation-config-json": _LOGROTATE,
    "enable-distributed-tracing": _NO_TRACING,
    "distributed-tracing-address": _NO_TRACING,
    "distributed-tracing-service-name": _NO_TRACING,
    "distributed-tracing-instance-id": _NO_TRACING,
    "distributed-tracing-sampling-rate": _NO_TRACING,
    "max-snapshots": "the keyspace itself is the one snapshot",
    "grpc-keepalive-min-time": "clients may ping as often as they like",
    "socket-reuse-address": "always on",
    "raft-read-timeout": "connections between members are watched by pings of their own",
    "raft-write-timeout": "connections between members are watched by pings of their own",
    "client-cert-file": "no member dials a client port",
    "client-key-file": "no member dials a client port",
    "warning-unary-request-duration": _NOT_YET,
    "downgrade-check-time": "there is no older storage format to go back to",
}

# Gates are promises too; a test keeps this and the two tables honest.
IGNORED_GATES = {
    "LeaseCheckpointPersist": "what LeaseCheckpoint notes is always kept",
    "StopGRPCServiceOnDefrag": "no defragmentation stops a member",
    "TxnModeWriteWithSharedBuffer": "a matter of etcd's own keyspace",
    "SetMemberLocalAddr": _NOT_YET,
    "FastLeaseKeepAlive": "no renewal waits for more than one round to the other members",
}


def _table() -> Iterator[Flag]:
    for section, flags in SECTIONS.items():
        for flag in flags:
            yield flag._replace(section=section, ignored=IGNORED.get(flag.name, ""))


FLAGS: dict[str, Flag] = {flag.name: flag for flag in _table()}

# Names that etcd 3.4 to 3.6 knew and that still work: to the flag, or to the gate it became.
ALIASES = {
    f"experimental-{name}": name
    for name in (
        "backend-bbolt-freelist-type",
        "bootstrap-defrag-threshold-megabytes",
        "compact-hash-check-time",
        "compaction-batch-limit",
        "compaction-sleep-interval",
        "corrupt-check-time",
        "distributed-tracing-address",
        "distributed-tracing-instance-id",
        "distributed-tracing-sampling-rate",
        "distributed-tracing-service-name",
        "downgrade-check-time",
        "enable-distributed-tracing",
        "memory-mlock",
        "peer-skip-client-san-verification",
        "snapshot-catchup-entries",
        "warning-apply-duration",
        "warning-unary-request-duration",
        "watch-progress-notify-interval",
    )
}
GATE_ALIASES = {
    "experimental-initial-corrupt-check": "InitialCorruptCheck",
    "experimental-compact-hash-check-enabled": "CompactHashCheck",
    "experimental-enable-lease-checkpoint": "LeaseCheckpoint",
    "experimental-enable-lease-checkpoint-persist": "LeaseCheckpointPersist",
    "experimental-stop-grpc-service-on-defrag": "StopGRPCServiceOnDefrag",
    "experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}

# Names that etcd takes with any value and ignores.
DEAD_FLAGS = frozenset({
    "cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force",
    "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout",
    "retry-interval", "snapshot", "v", "vv",
})  # fmt: skip

# Names that older versions knew: refused as in etcd, with the way on.
REMOVED = {
    "debug": "write --log-level=debug",
    "log-output": "write --log-outputs",
    "log-package-levels": "write --log-level",
    "enable-v2": "the v2 API is gone: leave the flag out",
    "experimental-enable-v2v3": "the v2 API is gone: leave the flag out",
    "proxy": "there is no proxy mode: put HAProxy or a client with several endpoints there",
    "discovery": _V3_DISCOVERY,
    "discovery-proxy": _V3_DISCOVERY,
    "listen-peer-url": "write --listen-peer-urls",
    "listen-client-url": "write --listen-client-urls",
    "advertise-client-url": "write --advertise-client-urls",
    "initial-advertise-peer-url": "write --initial-advertise-peer-urls",
    "ca-file": "write --trusted-ca-file",
    "peer-ca-file": "write --peer-trusted-ca-file",
}
