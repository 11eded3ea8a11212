"""Raft consensus, pure: no I/O, no clock, no randomness but the generator it is given.

Time comes in as `tick`, messages as `step`, "this is durable now" as `persisted`; what must
happen outside comes out of `ready`. The paper is Ongaro and Ousterhout, "In Search of an
Understandable Consensus Algorithm" (2014), and Ongaro's thesis for pre-vote (9.6),
leadership transfer (3.10), membership (4) and read index (6.4).
"""
