"""`etcdutl-py`: works on files - snapshots and data directories - without a server."""
