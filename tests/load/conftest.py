"""Fixtures of the load tests' own tests."""

from __future__ import annotations

from tests.pki import pki

__all__ = ["pki"]
