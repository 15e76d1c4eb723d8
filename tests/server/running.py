"""A whole bridge in this process, with real TLS and a real database, and desks that call it."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.serialization import Encoding
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from certs.development import LOG_NAME, Credential, Desk
from exchange import profile
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange._proto.v1.directory_service_pb2_grpc import DirectoryServiceStub
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange._proto.v1.ticket_service_pb2_grpc import TicketServiceStub
from exchange.acts import Kind, Urgency
from exchange.client.messages import OutgoingMessage, SealedMessage, Sealer
from exchange.config import Settings, load_settings
from exchange.envelope import WRITTEN_TYPE, SigningKey, message_digest, sign
from exchange.server.in_force import credentials
from exchange.server.journal import open_journal
from exchange.server.opening import initial_trust, open_server
from exchange.server.serving import Server, utc_now
from exchange.store.schema import migrate
from exchange.wire.receipts import written_receipt, written_statement
from tests.mtls.handshake import dial
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki

SERVICES = {CITY_12345: "12345", COUNTY_12345: "12345", CITY_110: "110"}


def write_settings(
    pki: Pki,
    folder: Path,
    *,
    unregistered: Desk | None = None,
    keeper: str = "thread",
    tables: str = "",
    **limits: int,
) -> Path:
    """
    Write register and configuration for *pki*'s desks into *folder*; return the latter.

    *unregistered* has its certificates and no entry in the register; *tables* are further ones, as TOML.
    """
    rows = [
        f'[[organisation]]\ncode = "{desk.organisation}"\nname_zh = "示例 {number}"\n'
        f'name_en = "Example {number}"\nregion = "140400"\nnetwork = "{desk.network}"\n'
        f'service = "{service}"\n'
        for number, (desk, service) in enumerate(SERVICES.items(), 1)
        if desk != unregistered
    ]
    (folder / "register.toml").write_text("\n".join(rows), encoding="utf-8")
    made = pki.development
    networks = "\n".join(f'"{network}" = "{path}"' for network, path in made.trust.items())
    lines = "\n".join(f"{name} = {value}" for name, value in limits.items())
    path = folder / "exchange.toml"
    path.write_text(
        f"""
listen = "127.0.0.1:0"
database = "sqlite:///bridge.db"
origin = "{LOG_NAME}"
log_key = "{made.log_key}"
register = "register.toml"
keeper = "{keeper}"

[tls]
certificate = "{made.bridge.certificate}"
key = "{made.bridge.key}"

[networks]
{networks}

[limits]
stop_seconds = 5
{lines}
{tables}
""",
        encoding="utf-8",
    )
    return path


@dataclass
class Running:
    """A server on a thread of its own."""

    settings: Settings
    journal: io.StringIO = field(default_factory=io.StringIO)
    port: int = 0
    server: Server | None = None
    loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _stop: asyncio.Event | None = None
    _up: threading.Event = field(default_factory=threading.Event)
    _failed: BaseException | None = None

    def start(
        self, *, clock: Callable[[], datetime] = utc_now, port: int = 0, address: str | None = None
    ) -> None:
        """Migrate the database and listen; also again, once it was stopped."""
        self.stop()
        self._up.clear()
        self._failed = None
        if address is None:
            address = f"127.0.0.1:{port}"
        migrate(self.settings.database)
        self._thread = threading.Thread(target=self._run, args=(clock, address))
        self._thread.start()
        self._up.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed

    def _run(self, clock: Callable[[], datetime], address: str) -> None:
        asyncio.run(self._serve(clock, address))

    async def _serve(self, clock: Callable[[], datetime], address: str) -> None:
        try:
            journal = open_journal(self.journal, level="debug")
            trust = initial_trust(self.settings, utc_now())
            self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.server = await open_server(
                self.settings, trust=trust, journal=journal, clock=clock
            )
            try:
                self.port = await self.server.start(address, credentials(trust))
            except BaseException:
                await self.server.stop()
                raise
        except BaseException as error:  # noqa: BLE001  # raised again in the test's thread
            self._failed = error
            self._up.set()
            return
        self._up.set()
        await self._stop.wait()
        await self.server.stop()

    def stop(self) -> None:
        """Stop gracefully and wait for the end."""
        if self.loop is not None and self._stop is not None and self._thread is not None:
            if self._thread.is_alive():
                self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what the journal says of events called *name*."""
        lines = [json.loads(line) for line in self.journal.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


@contextmanager
def running(
    pki: Pki,
    folder: Path,
    *,
    unregistered: Desk | None = None,
    keeper: str = "thread",
    clock: Callable[[], datetime] = utc_now,
    tables: str = "",
    **limits: int,
) -> Iterator[Running]:
    """Serve with a new database in *folder*; the rest as `write_settings` takes it."""
    path = write_settings(
        pki, folder, unregistered=unregistered, keeper=keeper, tables=tables, **limits
    )
    found = Running(load_settings(path))
    found.start(clock=clock)
    try:
        yield found
    finally:
        found.stop()


@dataclass
class Caller:
    """A desk with its stubs and its signer."""

    desk: Desk
    channel: grpc.Channel
    sealer: Sealer

    @property
    def exchange(self) -> Any:
        """The exchange service."""
        return ExchangeServiceStub(self.channel)

    @property
    def tickets(self) -> Any:
        """The ticket service."""
        return TicketServiceStub(self.channel)

    @property
    def directory(self) -> Any:
        """The directory."""
        return DirectoryServiceStub(self.channel)

    @property
    def certificates(self) -> list[message_pb2.CertificateChain]:
        """The signer's chain as a request carries it."""
        return [message_pb2.CertificateChain(certificates=chain_of(self.sealer.signer))]

    def push(self, sealed: Sequence[SealedMessage | bytes]) -> list[pb.PushOutcome]:
        """Push envelopes with the signer's chain; return the outcomes."""
        envelopes = [s if isinstance(s, bytes) else s.envelope for s in sealed]
        request = pb.PushMessagesRequest(envelopes=envelopes, certificates=self.certificates)
        return list(self.exchange.PushMessages(request, timeout=30).outcomes)

    def pull(self, wait: float = 0, **fields: Any) -> list[pb.Delivery]:
        """Return what waits."""
        request = pb.PullMessagesRequest(**fields)
        request.wait.FromMilliseconds(int(wait * 1000))
        return list(self.exchange.PullMessages(request, timeout=70).deliveries)

    def written(self, delivery: pb.Delivery, message_id: str) -> pb.Acknowledgement:
        """Return the signed acknowledgement of a delivered message."""
        digest = message_digest(header_of(delivery.envelope))
        statement = written_statement(
            message_id, digest, self.desk.organisation, datetime.now(UTC), "A-1"
        )
        (signature,) = sign(WRITTEN_TYPE, [statement], self.sealer.signer)
        return pb.Acknowledgement(written=written_receipt(statement, signature))

    def acknowledge(self, *said: pb.Acknowledgement) -> list[pb.AcknowledgeOutcome]:
        """Acknowledge; return the outcomes."""
        request = pb.AcknowledgeMessagesRequest(
            acknowledgements=said, certificates=self.certificates
        )
        return list(self.exchange.AcknowledgeMessages(request, timeout=30).outcomes)


@contextmanager
def calling(
    pki: Pki, port: int, desk: Desk, credential: Credential | None = None
) -> Iterator[Caller]:
    """Dial as *desk*."""
    signer = pki.signer(desk)
    sealer = Sealer(desk.organisation, SigningKey.load(signer.key, signer.certificate))
    with dial(pki, port, credential or pki.gateway(desk)) as channel:
        yield Caller(desk, channel, sealer)


def chain_of(signer: SigningKey) -> list[bytes]:
    """Return a signer's chain in DER, leaf first."""
    return [certificate.public_bytes(Encoding.DER) for certificate in signer.chain]


def header_of(envelope: bytes) -> bytes:
    """Return the signed bytes of an envelope."""
    return message_pb2.Envelope.FromString(envelope).header


def matter(urgency: Urgency = Urgency.ROUTINE, to: Desk = CITY_110) -> list[OutgoingMessage]:
    """Return a new ticket of the city hotline's and its offer to *to*."""
    ticket, now = str(uuid.uuid4()), datetime.now(UTC)
    national = profile.load("national")
    opening = OutgoingMessage(
        kind=Kind.OPEN_TICKET,
        ticket_id=ticket,
        created=now,
        urgency=urgency,
        message_id=str(uuid.uuid4()),
        act={
            "kind": 1,
            "region": CITY_12345.region,
            "matter": "NM.P.01.02",
            "catalogue_edition": national.catalogue.edition,
            "first_receiver": CITY_12345.organisation,
        },
        groups={
            "identity": {"record_number": "W-1"},
            "matter": {"title": "示例事项"},
            "content": {"content": "示例内容。"},
        },
    )
    offer = OutgoingMessage(
        kind=Kind.OFFER,
        ticket_id=ticket,
        handoff_id=str(uuid.uuid4()),
        created=now,
        urgency=urgency,
        recipient=to.organisation,
        message_id=str(uuid.uuid4()),
        act={
            "form": 1,
            "matter": "NM.P.01.02",
            "catalogue_edition": national.catalogue.edition,
            "profile": national.name,
            "profile_edition": national.edition,
        },
        groups={"grounds": {"text": "属公安职责。"}},
    )
    return [opening, offer]


def failure(raised: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Return status, reason and facts of a failed call, and check what every failure must have."""
    error = raised.value
    status = rpc_status.from_call(error)
    assert status is not None, error
    info, local = error_details_pb2.ErrorInfo(), error_details_pb2.LocalizedMessage()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(local)
    assert (info.domain, local.locale) == ("hotline.exchange", "zh-CN")
    assert local.message
    return error.code(), info.reason, dict(info.metadata)
