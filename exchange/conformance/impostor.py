"""Somebody who poses as the bridge: the right name and port, a certificate of an unknown authority."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from certs.development import build


class Impostor:
    """Listens on one port until it has seen one TLS client through; says whether that was fooled."""

    def __init__(self, folder: Path, address: str) -> None:
        """Make a certificate set of unknown authorities in the new folder *folder*."""
        made = build(folder, desks=[], now=datetime.now(UTC))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(made.bridge.certificate, made.bridge.key)
        self._context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        self._listener = socket.create_server((host, int(port)))
        self._listener.settimeout(0.2)
        self._over = threading.Event()
        self._seen = threading.Event()
        #: Whether a client went on after it had seen the certificate.
        self.fooled = False
        self._thread = threading.Thread(target=self._serve, name="impostor")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()

    def seen(self, seconds: float) -> bool:
        """Return whether a client came within *seconds*."""
        return self._seen.wait(seconds)

    def _serve(self) -> None:
        while not self._over.is_set() and not self.fooled:
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                continue
            link.settimeout(5)
            try:
                with self._context.wrap_socket(link, server_side=True) as secured:
                    # In TLS 1.3 the client's alert arrives after our side of the handshake is done.
                    self.fooled = bool(secured.recv(1))
            except OSError:
                pass  # it hung up, as it must
            finally:
                link.close()
            self._seen.set()
