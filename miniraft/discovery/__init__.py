"""How the members of a new cluster find each other: in the DNS, or with the help of another etcd."""
