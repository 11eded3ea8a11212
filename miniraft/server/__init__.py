"""The member: one synchronous object. Events go in, effects come out; no I/O, no clock."""
