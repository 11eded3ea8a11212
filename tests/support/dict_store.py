"""The smallest Store there can be: sorted dicts, everything durable at once, copyable."""

from sortedcontainers import SortedDict

from miniraft.mvcc.store import Bucket


class DictStore:
    """Buckets of bytes. `operations` counts writes, `copy` is the disk after a crash just now."""

    def __init__(self):
        self.buckets = {bucket: SortedDict() for bucket in Bucket}
        self.operations = 0

    def get(self, bucket, key):
        return self.buckets[bucket].get(key)

    def put(self, bucket, key, value):
        self.operations += 1
        self.buckets[bucket][key] = value

    def delete(self, bucket, key):
        self.operations += 1
        self.buckets[bucket].pop(key, None)

    def scan(self, bucket, start=b"", end=None):
        values = self.buckets[bucket]
        for key in values.irange(start, end, inclusive=(True, False)):
            yield key, values[key]

    def pending_operations(self):
        return 0

    def begin_commit(self):
        return None

    def size_bytes(self):
        return self.size_in_use_bytes()

    def size_in_use_bytes(self):
        return sum(len(key) + len(value) for values in self.buckets.values() for key, value in values.items())

    def copy_to(self, path):
        raise NotImplementedError

    def close(self):
        pass

    def copy(self):
        other = DictStore()
        other.buckets = {bucket: SortedDict(values) for bucket, values in self.buckets.items()}
        return other
