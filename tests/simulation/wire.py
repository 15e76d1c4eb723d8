"""
gRPC without a network: a channel for clients, a server for the bridge, and a call between them.

Requests and answers are the contract's real bytes.  What becomes of them on the way is the business
of `Carry`, which the simulation provides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol, Self

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb


class CallFailed(grpc.RpcError, grpc.Call):
    """A call that ended with a status, as a client sees it."""

    def __init__(
        self, code: grpc.StatusCode, details: str, trailing: Sequence[tuple[str, Any]] = ()
    ) -> None:
        super().__init__(f"{code.name}: {details}")
        self._code, self._said, self._trailing = code, details, tuple(trailing)

    def code(self) -> grpc.StatusCode:
        """Return the status."""
        return self._code

    def details(self) -> str:
        """Return the sentence."""
        return self._said

    def trailing_metadata(self) -> Any:
        """Return the details as bytes."""
        return self._trailing

    def initial_metadata(self) -> tuple[()]:
        """Return nothing."""
        return ()

    def is_active(self) -> bool:
        """Return that it is over."""
        return False

    def time_remaining(self) -> float:
        """Return that it has no time left."""
        return 0.0

    def cancel(self) -> bool:
        """Return that there is nothing to cancel."""
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Return that it is over."""
        return False


class Carry(Protocol):
    """Carries the bytes of one call to the bridge and its answer back; raises `CallFailed`."""

    def __call__(self, method: str, raw: bytes, timeout: float) -> bytes:
        """Return the answer's bytes within *timeout* seconds."""
        ...


class _Method:
    """One method of the contract, called and answered at once."""

    def __init__(
        self,
        carry: Carry,
        method: str,
        serialize: Callable[[Any], bytes],
        parse: Callable[[bytes], Any],
    ) -> None:
        self._carry, self._method = carry, method
        self._serialize, self._parse = serialize, parse

    def __call__(self, request: Any, timeout: float = 20.0, **_: Any) -> Any:
        """Return the answer to *request*."""
        return self._parse(self._carry(self._method, self._serialize(request), timeout))

    def future(self, request: Any, timeout: float = 20.0, **_: Any) -> _Later:
        """Return the call, which is made when its result is asked for."""
        return _Later(self, request, timeout)


class _Later:
    """A call under way, as far as a client that waits for it can tell."""

    def __init__(self, method: _Method, request: Any, timeout: float) -> None:
        self._method, self._request, self._timeout = method, request, timeout
        self._cancelled = False

    def cancel(self) -> bool:
        """Give it up."""
        self._cancelled = True
        return True

    def result(self) -> Any:
        """Return the answer."""
        if self._cancelled:
            raise grpc.FutureCancelledError
        return self._method(self._request, timeout=self._timeout)


class Channel(grpc.Channel):
    """A client's connection over *carry*."""

    def __init__(self, carry: Carry) -> None:
        self._carry = carry

    def unary_unary(
        self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        """Return a method."""
        return _Method(self._carry, method, request_serializer, response_deserializer)

    def unary_stream(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: the contract has no streams."""
        raise NotImplementedError

    stream_unary = unary_stream
    stream_stream = unary_stream
    subscribe = unary_stream
    unsubscribe = unary_stream

    def close(self) -> None:
        """Hang up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection:
    """What grpc tells the bridge of a call: who dialled, by the certificate that TLS has checked."""

    def __init__(self, leaf: bytes, chain: bytes) -> None:
        self._context = {
            "x509_pem_cert": [leaf],
            "x509_pem_cert_chain": [chain],
            "ssl_session_reused": [b"false"],
            "ssl_tls_version": [b"TLSv1.3"],
        }

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return what TLS found."""
        return self._context

    def invocation_metadata(self) -> tuple[()]:
        """Return no metadata."""
        return ()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> NoReturn:
        """End the call."""
        raise CallFailed(code, details, trailing_metadata)


class _Call:
    """One call as its handler sees it: whose connection it came over, its request, and its end."""

    def __init__(self, connection: Connection, raw: bytes) -> None:
        self._connection = connection
        self._requests = [raw]
        self._done: list[Callable[[Any], None]] = []
        self.auth_context = connection.auth_context
        self.invocation_metadata = connection.invocation_metadata
        self.abort = connection.abort

    async def read(self) -> Any:
        """Return the request, once."""
        return self._requests.pop() if self._requests else None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call *callback* when the call has ended."""
        self._done.append(callback)

    def end(self) -> None:
        """Tell whoever asked that the call has ended."""
        for callback in self._done:
            callback(self)


class _Details(grpc.HandlerCallDetails):
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


class InProcessServer:
    """`grpc.aio.Server` without a socket: the bridge's handlers behind the bridge's own guard."""

    def __init__(self) -> None:
        self._interceptors: list[Any] = []
        self._handlers: list[Any] = []
        self.serves = False

    def configure(self, interceptors: Sequence[Any] = (), **_: Any) -> None:
        """Take what `grpc.aio.server` is given."""
        self._interceptors += interceptors

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Take handlers."""
        self._handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Take the same handlers once more, as grpc does."""

    async def start(self) -> None:
        """Answer from now on."""
        self.serves = True

    async def stop(self, grace: float | None) -> None:
        """Answer no more."""
        self.serves = False

    async def answer(self, method: str, raw: bytes, connection: Connection) -> bytes:
        """Answer one call, as grpc lets the interceptors and the handler do it."""
        details = _Details(method)

        async def handler(asked: Any) -> Any:
            found = (one.service(asked) for one in self._handlers)
            return next((one for one in found if one is not None), None)

        (guard,) = self._interceptors
        guarded = await guard.intercept_service(handler, details)
        call = _Call(connection, raw)
        try:
            response = await guarded.stream_unary(None, call)
            serialized: bytes = guarded.response_serializer(response)
        finally:
            call.end()
        return serialized


#: Method name to the types of its request and answer, for those who watch the wire.
TYPES: dict[str, tuple[Any, Any]] = {
    f"/hotline.exchange.v1.ExchangeService/{name}": types
    for name, types in {
        "PushMessages": (pb.PushMessagesRequest, pb.PushMessagesResponse),
        "PullMessages": (pb.PullMessagesRequest, pb.PullMessagesResponse),
        "AcknowledgeMessages": (pb.AcknowledgeMessagesRequest, pb.AcknowledgeMessagesResponse),
        "ReconcileHandoffs": (pb.ReconcileHandoffsRequest, pb.ReconcileHandoffsResponse),
    }.items()
}
