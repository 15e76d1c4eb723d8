"""
Failures of a caller whose certificate was good once: it was taken back, or nobody can say.

Beside `exchange.errors.NotAuthenticated` (who calls is not established) because what helps is another:
not a better certificate, but a word with one's own authority, or with the bridge's operator.
"""

from __future__ import annotations

from exchange.errors import ExchangeError


class CertificateRevoked(ExchangeError):
    """The caller's certificate, or an issuer's, was revoked by its authority."""

    reason = "CERTIFICATE_REVOKED"


class CallerDenied(ExchangeError):
    """The bridge's operator has shut the caller out, whatever its certificate says."""

    reason = "CALLER_DENIED"


class RevocationUnknown(ExchangeError):
    """Whether the caller's certificate was revoked cannot be said: no list, or one too old."""

    reason = "REVOCATION_UNKNOWN"
