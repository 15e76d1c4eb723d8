"""
The demo: a city at work, told by real processes.

Two networks with authorities of their own, a bridge process between them, one process per platform
with its own database, real TLS on loopback.  Bottom up: ``city`` who takes part, ``ground`` the
folder with certificates and configurations, ``leash`` `process` `bridge` ``desk`` the running
parts, ``case`` one ticket and what the desks say about it, ``routes`` and the scenes what happens,
``counts`` and ``proofs`` whether it held, ``report`` what is told of it, ``command`` the door.
"""
