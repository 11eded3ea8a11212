"""What a member's disk and data cost it, for metrics. The runtime counts, whoever is scraped reads."""

from __future__ import annotations

from miniraft.histogram import Histogram, exponential

_DISK_SECONDS = exponential(0.001, 2, 14)
_HASH_SECONDS = exponential(0.01, 2, 15)
_COPY_SECONDS = exponential(0.01, 2, 17)
_DEFRAGMENT_SECONDS = exponential(0.1, 2, 13)


class StorageFigures:
    """Times in seconds. Each figure is counted in one thread, not all in the same."""

    def __init__(self) -> None:
        # The log
        self.log_sync_seconds = Histogram(_DISK_SECONDS)
        self.log_write_seconds = Histogram(_DISK_SECONDS)
        self.log_written_bytes = 0
        # The record in it that says where it begins, which is what remains of etcd's snapshot files
        self.snapshot_sync_seconds = Histogram(_DISK_SECONDS)
        self.snapshot_save_seconds = Histogram(_DISK_SECONDS)
        # The keyspace's file
        self.commit_seconds = Histogram(_DISK_SECONDS)
        self.copy_seconds = Histogram(_COPY_SECONDS)  # for snapshots, to clients and followers
        self.defragment_seconds = Histogram(_DEFRAGMENT_SECONDS)
        self.is_defragmenting = False
        self.is_installing_snapshot = False
        self.compacted_at_unix_seconds = 0  # the end of the last compaction
        # Hashes
        self.hash_seconds = Histogram(_HASH_SECONDS)
        self.hash_revision_seconds = Histogram(_HASH_SECONDS)
