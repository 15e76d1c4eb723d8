"""
Bridges that are deliberately broken, one thing each: a real bridge behind an edge that breaks it.

`BRIDGES` says which case must fail; in a run of the whole profile no other may.
"""

from __future__ import annotations

from tests.conformance.breaking import Broken
from tests.conformance.broken_identity import DOORS, IDENTITY
from tests.conformance.broken_pull import PULL
from tests.conformance.broken_push import PUSH, RULES

#: Hooks into the edge before a bridge.
HOOKED: dict[str, Broken] = {**PUSH, **IDENTITY, **PULL, **RULES}

__all__ = ["BRIDGES", "DOORS", "HOOKED"]

BRIDGES: dict[str, Broken] = {**HOOKED, **DOORS}
