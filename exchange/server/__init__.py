"""
The bridge as a server: gRPC outside, `exchange.bridge` inside.

One way through: `guard` (who calls, may it, is it within limits) ▸ a service ▸ `writer` (one drain,
one transaction) ▸ the answer.  The event loop does no blocking work and holds all the state of the
edge; three executors do the rest: one thread writes, one leases, some read.

Errors that a caller sees are `exchange.errors`, as `failures` turns them into a status.
"""
