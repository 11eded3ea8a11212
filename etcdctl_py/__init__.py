"""etcdctl in Python: every command against any etcd, over its HTTP/JSON API."""
