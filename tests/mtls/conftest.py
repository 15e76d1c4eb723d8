"""Fixtures of the tests with real mutual TLS."""

from __future__ import annotations

from tests.pki import pki

__all__ = ["pki"]
