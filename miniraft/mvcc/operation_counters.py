"""How often a keyspace was read and written, counted as etcd counts, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class OperationCounters:
    """Since the member started.

    As in etcd an operation counts where it reaches the keyspace: the reading that a condition,
    a previous pair or the answer to a compaction asks for is a range like any other, and
    whatever takes more than one operation is a transaction, with its conditions apart from
    its branch.
    """

    puts: int = 0
    deletes: int = 0
    ranges: int = 0
    transactions: int = 0
    put_bytes: int = 0  # keys and values
    compacted_revisions: int = 0

    @property
    def operations(self) -> int:
        """All that a transaction may consist of."""
        return self.puts + self.deletes + self.ranges

    def end_transaction(self, operations_before: int) -> None:
        """Something has ended that began when there had been so many operations."""
        if self.operations - operations_before > 1:
            self.transactions += 1
