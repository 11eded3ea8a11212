"""Snapshots in etcd's form: a bbolt file with a SHA-256 hash behind it. Out of our store and into it."""
