"""
The bridge as a server: gRPC outside, `exchange.bridge` inside.

One way through: `guard` (who calls, may it, is it within limits) ▸ a service ▸ `writer` (one drain,
one transaction) ▸ `keeper`, which writes it ▸ the answer.  The event loop does no blocking work and
holds all the state of the edge; one thread leases, some read, and the keeper is a process or a thread.

Errors that a caller sees are `exchange.errors`, as `failures` turns them into a status.
"""

from __future__ import annotations

import os
import sys

from exchange.identity import TLS13_ONLY

#: Whether the handshake itself refuses TLS 1.2 in this process.  grpc reads the variable when it is
#: first imported, and never again: who imports it before this package keeps TLS 1.2 on offer, and
#: only the guard then refuses, call by call.
tls13_only = "grpc" not in sys.modules or TLS13_ONLY.items() <= os.environ.items()
os.environ.update(TLS13_ONLY)
