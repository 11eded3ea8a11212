"""Speed, measured as a ratio against etcd in the same run on the same machine."""
