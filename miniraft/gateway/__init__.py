"""`miniraft gateway`: a TCP proxy in front of a cluster, for clients that know one address."""
