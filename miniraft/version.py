"""The versions a member tells its clients.

etcd's clients read `major.minor.patch` as three bare integers, so nothing may be appended.
The number is that of the etcd interface served, not of this package.
"""

SERVER_VERSION = "3.7.1"
CLUSTER_VERSION = "3.7.0"
STORAGE_VERSION = "3.7.0"
API_VERSION = "3.7"
