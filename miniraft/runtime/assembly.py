"""The settings of each part of a member, out of the one configuration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from miniraft.api.options import ApiOptions
from miniraft.raft.config import RaftConfig
from miniraft.runtime import log
from miniraft.runtime.credentials import CredentialSettings, read_token_options
from miniraft.runtime.listener import ListenerOptions, SocketOptions, TlsOptions
from miniraft.runtime.node import NodeSettings
from miniraft.runtime.store_committer import CommitPolicy
from miniraft.server.config import MemberConfig
from miniraft.server.limits import Limits

if TYPE_CHECKING:
    from miniraft.runtime.config import ServerConfig

_TOKEN_TTL_SECONDS = 300  # also what 0 means, as in etcd
_MAX_APPEND_BYTES = 1024 * 1024
_SHORTEST_PROGRESS_SECONDS = 0.1  # as etcd's


def limits(config: ServerConfig) -> Limits:
    """What a client may send."""
    return Limits(
        max_request_bytes=config.max_request_bytes,
        max_txn_operations=config.max_txn_ops,
        quota_backend_bytes=config.quota_backend_bytes,
    )


def member_config(config: ServerConfig, cluster_id: int, member_id: int, life: int = 0) -> MemberConfig:
    """`life`: see MemberConfig. Raises ValueError when a bound does not hold."""
    raft = RaftConfig(
        member_id=member_id,
        election_ticks=config.election_ticks,
        pre_vote=config.pre_vote,
        max_append_bytes=_MAX_APPEND_BYTES,
    )
    return MemberConfig(
        cluster_id=cluster_id,
        raft=raft,
        name=config.name,
        life=life,
        client_urls=config.advertise_client_urls,
        tick_ms=config.heartbeat_interval_ms,
        snapshot_count=config.snapshot_count,
        catchup_entries=config.snapshot_catchup_entries,
        max_learners=config.max_learners,
        lease_checkpoints=config.feature("LeaseCheckpoint"),
        prefers_revocations=config.feature("PriorityRequest"),
        auto_compaction_period_ms=int(config.auto_compaction_period_seconds * 1000),
        auto_compaction_revisions=config.auto_compaction_revisions,
        compaction_batch_revisions=config.compaction_batch_limit,
        token_ttl_ms=(config.auth_token_ttl_seconds or _TOKEN_TTL_SECONDS) * 1000,
        limits=limits(config),
    )


def node_settings(config: ServerConfig) -> NodeSettings:
    """How the driver goes about its work."""
    return NodeSettings(
        tick_ms=config.heartbeat_interval_ms,
        election_timeout_ms=config.election_timeout_ms,
        keep_segments=config.max_wals,
        commit=CommitPolicy(
            interval_ms=max(1, int(config.backend_batch_interval_seconds * 1000)),
            operation_limit=config.backend_batch_limit,
        ),
        unsafe_no_fsync=config.unsafe_no_fsync,
        credentials=CredentialSettings(
            tokens=read_token_options(config.auth_token),
            bcrypt_cost=config.bcrypt_cost,
            accepts_certificates=config.client_cert_auth,
        ),
        strict_reconfig_check=config.strict_reconfig_check,
        compaction_batch_revisions=config.compaction_batch_limit,
        compaction_pause_seconds=config.compaction_sleep_interval_seconds,
        stall_warning_ms=max(config.election_timeout_ms // 2, 2 * config.heartbeat_interval_ms),
    )


def api_options(config: ServerConfig, *, serve_grpc: bool = True, serve_http: bool = True) -> ApiOptions:
    """What one client listener serves."""
    return ApiOptions(
        serve_grpc=serve_grpc,
        serve_http=serve_http,
        enable_gateway=config.enable_grpc_gateway,
        watch_progress_interval_seconds=max(
            _SHORTEST_PROGRESS_SECONDS, config.watch_progress_notify_interval_seconds
        ),
        cors=frozenset(config.cors),
        host_whitelist=frozenset(config.host_whitelist),
        set_log_level=log.set_level,
    )


def listener_options(config: ServerConfig, flag: str, *, serve_grpc: bool = True) -> ListenerOptions:
    """How one client listener serves; `flag` is the one its URLs came from."""
    return ListenerOptions(
        server=config.client_server,
        serve_grpc=serve_grpc,
        max_concurrent_streams=config.max_concurrent_streams,
        sockets=SocketOptions(
            reuse_port=config.socket_reuse_port,
            keepalive_idle_seconds=int(config.grpc_keepalive_interval_seconds),
            keepalive_timeout_seconds=int(config.grpc_keepalive_timeout_seconds),
        ),
        flag=flag,
    )


def client_tls(config: ServerConfig) -> TlsOptions | None:
    """The client listeners' TLS, or None without certificates."""
    if not config.cert_file:
        return None
    return TlsOptions(
        cert_file=config.cert_file,
        key_file=config.key_file,
        trusted_ca_file=config.trusted_ca_file,
        require_client_certificate=config.client_certificates_required,
        crl_file=config.client_crl_file,
        allowed_hostnames=config.client_cert_allowed_hostname,
        limits=config.tls_limits,
    )


def first_request_id(member_id: int) -> int:
    """Returns an id above all that this member used before and apart from the other members'.

    As etcd's: 16 bits of the member's id, 40 of the time in milliseconds, 8 to count on from.
    """
    return (member_id & 0xFFFF) << 48 | (int(time.time() * 1000) & (1 << 40) - 1) << 8
