"""
What grpc and protobuf do by themselves, shown on a bare server, and what this bridge does instead.

The numbers H2 to H14 are those of SECURITY.md's second table; H1, H3 and H5 stand in `test_identity`, H6
and H7 in `test_signers` and in `tests/adapters/test_renewal.py`.
"""

from __future__ import annotations

import ast
import asyncio
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc._cython import cygrpc  # type: ignore[attr-defined]

import exchange.server
from certs.development import GOVERNMENT, Credential
from certs.files import key_pem, write_new
from certs.founding import create_authority
from certs.profiles import key_usage
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.errors import NotAuthenticated, RefusalCode
from exchange.identity import identify
from tests.mtls.handshake import METHOD, dial, look, mirror
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, Running, calling, failure, matter, running


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bridge, with its guard."""
    with running(pki, tmp_path_factory.mktemp("bridge")) as found:
        yield found


@pytest.fixture
def hotline(pki: Pki, bridge: Running) -> Iterator[Caller]:
    """The city's hotline, connected."""
    with calling(pki, bridge.port, CITY_12345) as found:
        yield found


def short_lived(pki: Pki, folder: Path, ends: datetime) -> Credential:
    """Issue the hotline a good certificate that *ends* in a moment."""
    own = pki.development.authorities[GOVERNMENT] / "issuing"
    issuer = x509.load_pem_x509_certificate((own / "issuing.pem").read_bytes())
    signer: Any = serialization.load_pem_private_key((own / "issuing.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.UniformResourceIdentifier(CITY_12345.name("gw", 7).uri)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "for a moment")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(hours=1))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    chain = leaf.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
    return Credential(
        key=write_new(folder / "moment.key", key_pem(key), private=True),
        certificate=write_new(folder / "moment.pem", chain),
    )


def test_h2_h4_an_ended_certificate_goes_on(pki: Pki, bridge: Running, tmp_path: Path) -> None:
    """
    TLS refuses an ended certificate only where it looks: at a full handshake.

    On a bare server the old connection goes on, and a resumed session opens a new one; on the bridge
    neither gets an answer.
    """
    ends = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    credential = short_lived(pki, tmp_path, ends)
    cache = cygrpc.SSLSessionCacheLRU(4)
    resuming: dict[str, Any] = {"ssl_session_cache": cache, "ssl_target_name_override": "localhost"}
    send = "/hotline.exchange.v1.DirectoryService/ListMatters"
    with (
        mirror(pki) as port,
        dial(pki, port, credential) as old,
        dial(pki, bridge.port, credential) as guarded,
    ):
        with dial(pki, port, credential, **resuming) as first:
            look(first)
        look(old)
        guarded.unary_unary(send, bytes, bytes)(b"", timeout=20)
        threading.Event().wait(
            (ends - datetime.now(UTC)).total_seconds() + 1.1
        )  # until it has ended

        with dial(pki, port, credential) as full, pytest.raises(grpc.RpcError):
            look(full)
        assert look(old)["ssl_session_reused"] == [b"false"]  # H4
        with dial(pki, port, credential, **resuming) as again:
            resumed = look(again)
        assert resumed["ssl_session_reused"] == [b"true"]  # H2
        with pytest.raises(NotAuthenticated):
            identify(resumed, pki.trust(), datetime.now(UTC))
        with pytest.raises(grpc.RpcError) as raised:
            guarded.unary_unary(send, bytes, bytes)(b"", timeout=20)
        assert failure(raised)[2]["rule"] == "validity"


def test_h8_a_fetcher_that_fails_leaves_the_old_trust(pki: Pki, tmp_path: Path) -> None:
    """
    A root that was to be withdrawn stays trusted, and nobody is told.

    The bridge never lets grpc ask for what is not checked: see `test_live_trust.TestRefusedAsAWhole`.
    """
    own = pki.development.bridge
    pair = [(own.key.read_bytes(), own.certificate.read_bytes())]
    create_authority(tmp_path / "other", GOVERNMENT, pki.made_at)
    mismatched = [(pki.gateway(CITY_110).key.read_bytes(), own.certificate.read_bytes())]
    other = (tmp_path / "other" / "trust" / f"{GOVERNMENT}.pem").read_bytes()
    asked: list[str] = []
    answers: dict[str, Callable[[], Any]] = {
        "junk": lambda: b"junk",
        "mismatch": lambda: grpc.ssl_server_certificate_configuration(mismatched, other),
        "withdrawn": lambda: grpc.ssl_server_certificate_configuration(pair, other),
    }
    answer = ["junk"]

    def fetch() -> Any:
        asked.append(answer[0])
        return answers[answer[0]]()

    first = grpc.ssl_server_certificate_configuration(pair, pki.trust().pem())
    with _bare(grpc.dynamic_ssl_server_credentials(first, fetch, True)) as port:
        for answer[0] in ("junk", "mismatch"):
            with dial(pki, port, pki.gateway(CITY_12345)) as channel:
                assert channel.unary_unary(METHOD, bytes, bytes)(b"", timeout=20) == b"inside"
        answer[0] = "withdrawn"  # as it should be
        with dial(pki, port, pki.gateway(CITY_12345)) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(METHOD, bytes, bytes)(b"", timeout=20)
    assert set(asked) == set(answers)


class _Inside(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def service(self, _: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"inside")


@contextmanager
def _bare(
    credentials: grpc.ServerCredentials | None,
    handler: Any = None,
    *,
    share: int = 0,
    port: int = 0,
) -> Iterator[int]:
    """Serve without any guard of ours; without *credentials* not even with TLS."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", share)])
    server.add_generic_rpc_handlers((handler or _Inside(),))
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()


def test_h9_an_abort_that_is_not_awaited_aborts_nothing() -> None:
    """The handler goes on, and the caller gets the data, with a warning at most."""

    async def refuse(_: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")  # the hole: no await
        return b"secret"

    class Forgetful(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
        def service(self, _: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(refuse)

    async def ask() -> bytes:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Forgetful(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                got: bytes = await channel.unary_unary(METHOD, bytes, bytes)(b"")
                return got
        finally:
            await server.stop(None)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        got = asyncio.run(ask())

    assert got == b"secret"


def test_h9_one_place_alone_aborts_and_awaits_it() -> None:
    """In the whole server there is one ``context.abort``, and ``await`` stands before it."""
    found: list[tuple[str, bool]] = []
    for path in sorted(Path(str(exchange.server.__file__)).parent.glob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        awaited = {id(node.value) for node in nodes if isinstance(node, ast.Await)}
        calls = (n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))
        aborts = (call for call in calls if call.func.attr == "abort")  # type: ignore[attr-defined]
        found.extend((path.name, id(call) in awaited) for call in aborts)

    assert found == [("failures.py", True)]


def test_h10_an_abort_from_elsewhere_waits_for_the_callers_next_word() -> None:
    """On a synchronous stream; the bridge cuts its calls on the event loop: see `test_live_trust`."""
    contexts: list[Any] = []
    reached, aborted = threading.Event(), threading.Event()

    def converse(words: Iterator[bytes], context: Any) -> Iterator[bytes]:
        contexts.append(context)
        reached.set()
        yield from words

    class Streaming(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            if details.method == METHOD:
                return grpc.stream_stream_rpc_method_handler(converse)
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"there")

    def abort() -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011  # grpc raises a bare one, for the handler's sake
            contexts[0].abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        aborted.set()

    say = threading.Event()

    def words() -> Iterator[bytes]:
        say.wait()
        yield b"next"

    with (
        _bare(None, Streaming()) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stream: Any = channel.stream_stream(METHOD, bytes, bytes)(words())
        reached.wait()
        threading.Thread(target=abort).start()
        aborted.wait()
        # The server has answered another call since, and the stream goes on.
        assert channel.unary_unary("/a/b", bytes, bytes)(b"", timeout=20) == b"there"
        assert stream.is_active()
        contexts[0].cancel()
        with pytest.raises(grpc.RpcError):
            next(stream)
        say.set()


def test_h12_bytes_that_are_no_message_are_parsed_before_any_check() -> None:
    """On a bare server even a stranger's bytes reach the parser, and INTERNAL is what comes of it."""

    class Parsing(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
        def service(self, _: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                lambda _request, _context: b"",
                request_deserializer=pb.PushMessagesRequest.FromString,
            )

    with (
        _bare(None, Parsing()) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        channel.unary_unary(METHOD, bytes, bytes)(b"\xff no protobuf", timeout=20)

    assert raised.value.code() is grpc.StatusCode.INTERNAL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SO_REUSEPORT is shared on Linux")
def test_h13_a_second_server_takes_part_in_the_port() -> None:
    """By grpc's own default; with ``so_reuseport`` off the second one fails."""
    with _bare(None, share=1) as port, _bare(None, share=1, port=port) as shared:
        assert shared == port
    with _bare(None) as port, pytest.raises(RuntimeError), _bare(None, port=port):
        raise AssertionError("not reached")


def test_h14_a_re_encoding_is_another_message(hotline: Caller) -> None:
    """
    Of a doubled field the last one wins, and unknown fields are kept: so exact bytes alone are signed.

    A header with a field doubled behind its signature is refused, though it reads the same.
    """
    (sealed, *_) = hotline.sealer.seal(matter())
    envelope = message_pb2.Envelope.FromString(sealed.envelope)
    header = message_pb2.Header.FromString(envelope.header)
    doubled = envelope.header + message_pb2.Header(ticket_id=header.ticket_id).SerializeToString()
    assert message_pb2.Header.FromString(doubled) == header  # the hole: it reads the same
    assert message_pb2.Header.FromString(doubled).SerializeToString() != doubled
    envelope.header = doubled
    (outcome,) = hotline.push([envelope.SerializeToString()])

    assert _code(outcome) == RefusalCode.SIGNATURE_INVALID


def _code(outcome: pb.PushOutcome) -> int:
    from exchange.wire.receipts import refused_code  # noqa: PLC0415

    found = refused_code(outcome.refused.statement)
    assert found is not None
    return int(found)
