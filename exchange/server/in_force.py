"""The trust in force: whom TLS listens to, whose word counts, and which generation of it that is."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import grpc

from exchange.trust import TrustStore

#: What grpc presents and listens to; made and checked before it is ever given to grpc.
TlsConfiguration = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """
    Everything that the files said at one moment, checked as a whole.

    *digest* is the SHA-256 over all of the files.
    """

    store: TrustStore
    tls: TlsConfiguration | None
    digest: str


class InForce:
    """
    What every call is judged by.

    It changes as a whole and at once; callers and signers that were verified before are remembered with
    the store that vouched for them, so nothing of an earlier generation is remembered in a later one.
    """

    def __init__(self, material: Material) -> None:
        self.material = material
        #: Counts up from 1 with every change while this process serves.
        self.generation = 1
        self._lock = threading.Lock()
        self._untold: TlsConfiguration | None = None

    @classmethod
    def of(cls, store: TrustStore) -> InForce:
        """Return a trust that stays as it is."""
        return cls(Material(store=store, tls=None, digest=""))

    @property
    def store(self) -> TrustStore:
        """Whose word counts now."""
        return self.material.store

    def replace(self, material: Material) -> None:
        """Put *material* in force: for TLS from its next handshake on, for calls from the next one."""
        with self._lock:
            self.material = material
            self._untold = material.tls
            self.generation += 1

    def changed(self) -> TlsConfiguration | None:
        """
        Return what grpc is to present and trust from now on, None where it knows that already.

        grpc asks on a thread of its own before every handshake.  What it gets was checked long before:
        from something unfit it would shrink back to what it had, and nobody would hear of it.
        """
        with self._lock:
            found, self._untold = self._untold, None
            return found


def credentials(in_force: InForce) -> grpc.ServerCredentials:
    """Return server credentials that follow *in_force*; a caller must present a certificate."""
    return grpc.dynamic_ssl_server_credentials(
        in_force.material.tls,  # type: ignore[arg-type]  # the stubs know no name for it
        in_force.changed,  # type: ignore[arg-type]  # None is in the documentation, not in the stubs
        require_client_authentication=True,
    )
