"""
The demo: a city at work, told by real processes.

Two networks with authorities of their own, a bridge process between them, one process per platform
with its own database, real TLS on loopback.  Bottom up: ``city`` who takes part, ``ground`` the
folder with certificates and configurations, ``leash`` ``process`` ``bridge`` ``desk`` ``stage`` the
running parts, ``script`` one ticket and what the desks say about it, ``director`` who has it said, ``routes``
``disputes`` ``incidents`` ``daily`` ``silence`` ``realtext`` what happens, ``counts`` and ``proofs``
whether it held, ``trail`` ``report`` ``teller`` what is told of it, ``program`` the whole, ``command``
the door.
"""

from __future__ import annotations

#: The profiles that have a city in the demo, in the order of the seeds.
PROFILES = ("changzhi", "shanghai", "wuyang", "xiangcheng", "inner-mongolia", "national")
