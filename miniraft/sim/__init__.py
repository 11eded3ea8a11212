"""A second driver for the same member: virtual time, simulated network and disk, one seed."""
