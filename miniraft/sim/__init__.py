"""A whole cluster in one process and in virtual time, everything drawn from one seed.

The members are the real ones (Raft, keyspace, log), driven here instead of by the runtime:
their network delays, drops and cuts, their disks forget what was not synced, their clocks
drift, they crash and pause; members come and go. Checkers that know nothing of the members'
code watch them. A run that fails is replayed by its seed: `python -m miniraft.sim --seed N --trace`.
"""
