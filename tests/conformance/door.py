"""A door before a bridge that lets one kind of bad certificate in, as gRPC's own TLS never would."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from exchange.conformance.ground import DESKS, Ground

#: OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, which Python has no name for.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


class Door:
    """
    Ends TLS, and begins it anew to the bridge at *port*, with the very credential that was shown.

    Who shows the certificate *defect* is let in with the good one of its organisation instead.
    """

    def __init__(self, ground: Ground, defect: str, port: int) -> None:
        made, self._port = ground.made, port
        self._roots = made.bridge_trust
        stem = ground.folder / "defects" / defect
        good = made.desks[DESKS["hotline"].organisation].gateway
        #: By the certificate that is shown: what to show the bridge.
        self._known = {
            _leaf(files.certificate): (files.certificate, files.key)
            for files in (desk.gateway for desk in made.desks.values())
        }
        for other in (ground.folder / "defects").glob("*.pem"):
            self._known[_leaf(other)] = (other, other.with_suffix(".key"))
        self._known[_leaf(stem.with_suffix(".pem"))] = (good.certificate, good.key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(made.bridge.certificate, made.bridge.key)
        self._context.set_alpn_protocols(["h2"])
        self._context.verify_mode = ssl.CERT_REQUIRED
        for roots in made.trust.values():
            self._context.load_verify_locations(roots)
        if defect == "unknown-root":
            self._context.load_verify_locations(ground.folder / "defects/stranger/root/root.pem")
        else:
            self._context.verify_flags |= _NO_CHECK_TIME
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._listen, name="door")
        self._links: list[ssl.SSLSocket] = []
        self._pumps: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join()
        for link in self._links:
            link.close()

    def _listen(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return  # the door is closed
            try:
                self._let_in(link)
            except OSError:
                link.close()  # turned away by TLS, on either side

    def _let_in(self, link: socket.socket) -> None:
        outer = self._context.wrap_socket(link, server_side=True)
        certificate, key = self._known[outer.getpeercert(binary_form=True) or b""]
        context = ssl.create_default_context(cafile=str(self._roots))
        context.check_hostname = False
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        inner = context.wrap_socket(socket.create_connection(("127.0.0.1", self._port)))
        self._links += [outer, inner]
        pump = threading.Thread(target=_pump, args=(outer, inner), name="pump")
        pump.start()
        self._pumps.append(pump)


def _leaf(certificate: Path) -> bytes:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)


def _pump(*pair: ssl.SSLSocket) -> None:
    """Carry bytes both ways until either side hangs up; one thread, as one TLS connection may have."""
    with contextlib.suppress(OSError):
        for link in pair:
            link.setblocking(False)
        while True:
            ready = [link for link in pair if link.pending()] or select.select(pair, (), ())[0]
            for here in ready:
                try:
                    data = here.recv(65_536)
                except ssl.SSLWantReadError:
                    continue  # it was TLS's own business
                if not data:
                    raise ConnectionResetError
                _send(pair[here is pair[0]], data)
    for link in pair:
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


def _send(link: ssl.SSLSocket, data: bytes) -> None:
    while data:
        try:
            data = data[link.send(data) :]
        except ssl.SSLWantWriteError:
            select.select((), [link], ())
