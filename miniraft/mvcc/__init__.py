"""The keyspace: every key at every revision, as etcd keeps it. No I/O but through a `Store`."""
