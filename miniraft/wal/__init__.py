"""The write-ahead log: record format, recovery and purge, over a `Disk`. No file of its own."""
