"""Real etcd servers for tests, without a binary: one in this process, or a cluster to kill.

With pytest the fixtures `etcd` and `etcd_cluster` are there as soon as miniraft is installed:

    def test_it(etcd):
        client = etcd3.client(host=etcd.host, port=etcd.port)

Elsewhere, or with a wider scope, use the classes as context managers.
"""

from miniraft.testing.cluster import EtcdCluster
from miniraft.testing.etcd import Etcd
from miniraft.testing.problem import EtcdError

__all__ = ["Etcd", "EtcdCluster", "EtcdError"]
