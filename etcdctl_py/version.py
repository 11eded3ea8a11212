"""The interface version this program speaks: etcd's numbering, not this package's."""

ETCDCTL_VERSION = "3.7.1"
API_VERSION = "3.7"
