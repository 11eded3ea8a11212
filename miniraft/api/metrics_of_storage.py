"""Metrics of the log, the keyspace, watches and leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.metrics_family import Plain, family, histogram_family, plain_families
from miniraft.histogram import Histogram, exponential

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from miniraft.api.metrics import Metrics
    from miniraft.server.lease_counters import LeaseCounters
    from miniraft.server.service import Service

_SYNC_SECONDS = exponential(0.001, 2, 14)
_SAVE_SECONDS = exponential(0.1, 2, 10)


def storage_families(service: Service, metrics: Metrics) -> Iterable[Metric]:
    """Yields what is kept, and what keeping it takes."""
    yield from _sizes(service, metrics)
    yield from _disk(metrics)
    yield from _operations(metrics)
    yield from _compactions(metrics)
    yield from _watches(service)
    yield from _leases(metrics.leases)
    if metrics.keyspace is None:
        return
    figures = metrics.keyspace()
    yield from plain_families(
        Plain("gauge", "etcd_debugging_mvcc_keys_total", "Keys alive.", figures.key_count),
        Plain("gauge", "etcd_debugging_mvcc_current_revision", "Current revision.", figures.revision),
        Plain("gauge", "etcd_debugging_mvcc_compact_revision", "Last compaction.", figures.compact_revision),
    )


def _sizes(service: Service, metrics: Metrics) -> Iterable[Metric]:
    status = service.status()
    return plain_families(
        Plain(
            "gauge",
            "etcd_server_quota_backend_bytes",
            "Quota of the keyspace.",
            service.limits.effective_quota_bytes,
        ),
        Plain(
            "gauge",
            "etcd_mvcc_db_total_size_in_bytes",
            "Size allocated to the keyspace.",
            status.db_size_bytes,
        ),
        Plain(
            "gauge",
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Size the keyspace uses.",
            status.db_size_in_use_bytes,
        ),
        # All reads share one: see runtime/lmdb_store.py.
        Plain("gauge", "etcd_mvcc_db_open_read_transactions", "Read transactions open.", 1),
        Plain(
            "gauge",
            "etcd_disk_wal_write_bytes_total",
            "Bytes written to the log.",
            metrics.storage.log_written_bytes,
        ),
        Plain(
            "gauge",
            "etcd_disk_defrag_inflight",
            "Whether the keyspace is being defragmented.",
            metrics.storage.is_defragmenting,
        ),
        Plain(
            "gauge",
            "etcd_server_snapshot_apply_in_progress_total",
            "Whether a snapshot of the leader is being installed.",
            metrics.storage.is_installing_snapshot,
        ),
    )


def _disk(metrics: Metrics) -> Iterable[Metric]:
    storage = metrics.storage
    received, synced = Histogram(_SAVE_SECONDS), Histogram(_SYNC_SECONDS)
    for peer in metrics.peers().values():
        received.add(peer.snapshot_receive_seconds)
        synced.add(peer.snapshot_sync_seconds)
    for name, help_text, histogram in (
        ("etcd_disk_wal_fsync_duration_seconds", "Time to sync the log.", storage.log_sync_seconds),
        ("etcd_disk_wal_write_duration_seconds", "Time to write to the log.", storage.log_write_seconds),
        (
            "etcd_disk_backend_commit_duration_seconds",
            "Time to commit the keyspace to disk.",
            storage.commit_seconds,
        ),
        (
            "etcd_disk_backend_defrag_duration_seconds",
            "Time to defragment the keyspace.",
            storage.defragment_seconds,
        ),
        (
            "etcd_disk_backend_snapshot_duration_seconds",
            "Time to copy the keyspace for a snapshot.",
            storage.copy_seconds,
        ),
        (
            "etcd_snap_fsync_duration_seconds",
            "Time to sync the record of a snapshot.",
            storage.snapshot_sync_seconds,
        ),
        (
            "etcd_debugging_snap_save_total_duration_seconds",
            "Time to write and sync the record of a snapshot.",
            storage.snapshot_save_seconds,
        ),
        ("etcd_snap_db_fsync_duration_seconds", "Time to sync a snapshot of the leader.", synced),
        (
            "etcd_snap_db_save_total_duration_seconds",
            "Time to receive a snapshot of the leader and sync it.",
            received,
        ),
        ("etcd_mvcc_hash_duration_seconds", "Time to hash all that is stored.", storage.hash_seconds),
        (
            "etcd_mvcc_hash_rev_duration_seconds",
            "Time to hash the keyspace at a revision.",
            storage.hash_revision_seconds,
        ),
    ):
        yield histogram_family(name, help_text, histogram)


def _operations(metrics: Metrics) -> Iterable[Metric]:
    operations = metrics.member.operations
    return plain_families(
        Plain("counter", "etcd_mvcc_put_total", "Puts.", operations.puts),
        Plain("counter", "etcd_mvcc_delete_total", "Deletes.", operations.deletes),
        Plain("counter", "etcd_mvcc_range_total", "Ranges.", operations.ranges),
        Plain("counter", "etcd_debugging_mvcc_range_total", "Ranges.", operations.ranges),
        Plain("counter", "etcd_mvcc_txn_total", "Transactions.", operations.transactions),
        Plain(
            "gauge",
            "etcd_debugging_mvcc_total_put_size_in_bytes",
            "Size of all keys and values put.",
            operations.put_bytes,
        ),
        Plain(
            "counter",
            "etcd_debugging_mvcc_db_compaction_keys_total",
            "Revisions that compactions have dropped.",
            operations.compacted_revisions,
        ),
    )


def _compactions(metrics: Metrics) -> Iterable[Metric]:
    compactions = metrics.member.compactions
    yield histogram_family(
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
        "Time that one slice of a compaction holds other work up.",
        compactions.pause_ms,
    )
    yield histogram_family(
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
        "Time from a compaction's first slice to its last.",
        compactions.total_ms,
    )
    yield family(
        "gauge",
        "etcd_debugging_mvcc_db_compaction_last",
        "Unix time of the last compaction; 0: none since the start.",
        value=metrics.storage.compacted_at_unix_seconds,
    )


def _watches(service: Service) -> Iterable[Metric]:
    watches = service.watches
    for kind, name, help_text, value in (
        ("gauge", "watch_stream_total", "Watch streams open.", watches.stream_count),
        ("gauge", "watcher_total", "Watches.", watches.watcher_count),
        ("gauge", "slow_watcher_total", "Watches that are behind.", watches.slow_watcher_count),
        ("gauge", "pending_events_total", "Events waiting to be sent.", watches.pending_event_count),
        ("counter", "events_total", "Events sent.", watches.event_count),
    ):
        yield family(kind, f"etcd_debugging_mvcc_{name}", help_text, value=value)


def _leases(counters: LeaseCounters) -> Iterable[Metric]:
    yield from plain_families(
        Plain("counter", "etcd_debugging_lease_granted_total", "Leases granted.", counters.granted),
        Plain("counter", "etcd_debugging_lease_revoked_total", "Leases revoked.", counters.revoked),
        Plain(
            "counter",
            "etcd_debugging_lease_renewed_total",
            "Renewals, seen by the leader.",
            counters.renewed,
        ),
        Plain(
            "counter",
            "etcd_debugging_server_lease_expired_total",
            "Leases that have run out, seen by the leader.",
            counters.expired,
        ),
    )
    yield histogram_family(
        "etcd_debugging_lease_ttl_total",
        "Times leases were granted for, in seconds.",
        counters.granted_ttl_seconds,
    )
