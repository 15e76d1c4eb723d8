"""A real grpc server that answers with what it knows about the caller, and a client to ask it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc

from certs.development import Credential
from tests.pki import Pki

METHOD = "/test.Mirror/Look"

Context = dict[str, list[bytes]]


class _Mirror(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(_look)


def _look(_: bytes, context: grpc.ServicerContext) -> bytes:
    # The published stubs give one bytes a key; there are several.
    seen = cast("Mapping[str, Iterable[bytes]]", context.auth_context())
    found = {
        key: [base64.b64encode(value).decode() for value in values] for key, values in seen.items()
    }
    return json.dumps(found).encode()


@contextmanager
def mirror(pki: Pki, credential: Credential | None = None) -> Iterator[int]:
    """Serve on loopback with the bridge's certificate (or another) and the roots; yield the port."""
    bridge = credential or pki.development.bridge
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_Mirror(),))
    credentials = grpc.ssl_server_credentials(
        [(bridge.key.read_bytes(), bridge.certificate.read_bytes())],
        root_certificates=pki.trust().pem(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@contextmanager
def dial(
    pki: Pki, port: int, credential: Credential, root: Path | None = None, **options: object
) -> Iterator[grpc.Channel]:
    """Connect as *credential*, trusting the bridge's root or *root*; options are grpc's, with underscores for the dots after ``grpc``."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(root or pki.development.bridge_trust).read_bytes(),
        private_key=credential.key.read_bytes(),
        certificate_chain=credential.certificate.read_bytes(),
    )
    arguments: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    arguments += [(f"grpc.{name}", value) for name, value in options.items()]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=arguments) as channel:
        yield channel


def look(channel: grpc.Channel) -> Context:
    """Return the auth_context that the server's handler sees; raises when TLS refuses."""
    ask = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
    answer = ask(b"", timeout=20)
    return {
        key: [base64.b64decode(value) for value in values]
        for key, values in json.loads(answer).items()
    }
