"""Makes the certificates of a cluster: CA, servers, peers, clients."""
