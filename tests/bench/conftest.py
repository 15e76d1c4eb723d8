"""Fixtures of the bench's own tests."""

from __future__ import annotations

from tests.pki import pki

__all__ = ["pki"]
