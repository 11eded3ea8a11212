"""A real, networked etcd in Python.

The rooms, from the ground up: `raft` (consensus), `wal` (the log on disk), `mvcc` (the
keyspace), `server` (the member: one synchronous object made of them), `api` and `peer` (the
two network interfaces), `runtime` (the only place with a clock, sockets and files) and `sim`
(a second driver for the same member, in virtual time). See docs/architecture.md.
"""
