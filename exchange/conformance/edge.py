"""
The edge of a bridge: real mutual TLS in front of another bridge, with faults where a case wants them.

Every call passes through as it came, under the identity of who made it.  A `Hook` may look at it, change
what is asked or answered, answer itself, or fail it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_status import rpc_status

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.client.channel import OPTIONS
from exchange.conformance.trace import Trace
from exchange.errors import NotAuthenticated
from exchange.identity import identify
from exchange.server.failures import status_of
from exchange.trust import TrustStore

#: Calls at once: an adapter waits in one or two, the kit's own parties in some.
_THREADS = 24

_SERVICES: dict[str, Any] = {
    "ExchangeService": pb,
    "TicketService": ticket_pb,
    "DirectoryService": directory_pb,
}


class Aborted(Exception):
    """A hook fails the call with a status, as a bridge or the line may."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(eq=False)
class Call:
    """One call on its way; *answer* is None until there is one."""

    who: str
    method: str
    request: Any
    answer: Any = None
    #: Whether the caller still waits for it.
    is_active: Callable[[], bool] = field(default=lambda: True, repr=False)


Hook = Callable[[Call], None]


def cut_power(
    kill: Callable[[], None], hooks: list[Hook], when: Callable[[Call], bool]
) -> threading.Event:
    """Call *kill* at the first call of which *when* holds; what is returned is set once it is done."""
    first, gone = threading.Lock(), threading.Event()

    def hook(call: Call) -> None:
        if when(call) and first.acquire(blocking=False):
            kill()
            gone.set()
            raise Aborted(grpc.StatusCode.UNAVAILABLE, "the power was cut")

    hooks.append(hook)
    return gone


class Edge:
    """Listens with a bridge's certificate and passes calls on to the bridge behind."""

    def __init__(
        self,
        *,
        key: bytes,
        chain: bytes,
        trust: TrustStore,
        behind: Callable[[str], grpc.Channel],
        trace: Trace | None = None,
        identified: Callable[[Mapping[str, Any]], str] | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        """
        Present *chain*; *behind* gives the connection that an organisation's calls are passed on by.

        *identified* names the organisation of a call; by default as every bridge must.  Edges that are
        waited on together share *changed*.
        """
        self.asking: list[Hook] = []
        self.answering: list[Hook] = []
        self.calls: list[Call] = []
        self._changed = changed or threading.Condition()
        self._key, self._chain, self._trust = key, chain, trust
        self._behind = behind
        self._channels: dict[str, grpc.Channel] = {}
        self._trace = trace or Trace()
        self._identified = identified or self._identify
        self._server: grpc.Server | None = None

    def start(self, address: str) -> int:
        """Listen on *address* and return the port; raises `RuntimeError` where it is taken."""
        server = grpc.server(
            ThreadPoolExecutor(_THREADS, "edge"),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)],
        )
        server.add_generic_rpc_handlers((_Handlers(self),))
        credentials = grpc.ssl_server_credentials(
            [(self._key, self._chain)],
            root_certificates=self._trust.pem(),
            require_client_auth=True,
        )
        port = server.add_secure_port(address, credentials)
        server.start()
        self._server = server
        return port

    def stop(self) -> None:
        """Listen no more; calls under way end."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def clear(self) -> None:
        """Forget hooks and calls."""
        with self._changed:
            self.asking.clear()
            self.answering.clear()
            self.calls.clear()

    def wait_until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Return True as soon as *holds()*, looked at after each call; False after *seconds*."""
        until = time.monotonic() + seconds
        with self._changed:
            while not holds():
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 1.0))
            return True

    # -- one call

    def serve(self, path: str, raw: bytes, context: grpc.ServicerContext) -> bytes:
        """Pass one call on; hooks before and after it."""
        service, _, method = path.removeprefix("/hotline.exchange.v1.").partition("/")
        module: Any = _SERVICES.get(service)
        if module is None or not hasattr(module, f"{method}Request"):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in the contract")
        try:
            who = self._identified(context.auth_context())
        except NotAuthenticated as unknown:
            context.abort_with_status(rpc_status.to_status(status_of(unknown)))
        request = getattr(module, f"{method}Request").FromString(raw)
        call = Call(who, method, request, is_active=context.is_active)
        try:
            self._through(call, path, getattr(module, f"{method}Response"), context)
        except Aborted as fault:
            self._trace.call(who, method, request, f"{fault.code.name} {fault.detail}")
            context.abort(fault.code, fault.detail)
        except grpc.RpcError as failed:
            told: Any = failed  # it is a grpc.Call as well, which the stubs do not say
            self._trace.call(who, method, request, f"{told.code().name} {told.details()}")
            context.set_trailing_metadata(tuple(told.trailing_metadata() or ()))
            context.abort(told.code(), told.details() or "")
        self._trace.call(who, method, request, call.answer)
        answer: bytes = call.answer.SerializeToString()
        return answer

    def _through(self, call: Call, path: str, response: Any, context: grpc.ServicerContext) -> None:
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        for hook in list(self.asking):
            hook(call)
        if call.answer is None:
            ask = self._channel(call.who).unary_unary(
                path,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=response.FromString,
            )
            left: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
            call.answer = ask(call.request, timeout=60 if left is None else min(left, 90))
        for hook in list(self.answering):
            hook(call)
        with self._changed:
            if call not in self.calls:  # it was asked before the case began that hears the answer
                self.calls.append(call)
            self._changed.notify_all()

    def _channel(self, who: str) -> grpc.Channel:
        with self._changed:
            if who not in self._channels:
                self._channels[who] = self._behind(who)
            return self._channels[who]

    def _identify(self, context: Mapping[str, Any]) -> str:
        return identify(context, self._trust, datetime.now(UTC)).organisation


def dial_behind(target: str, roots: bytes, key: bytes, chain: bytes) -> grpc.Channel:
    """Return the connection to the bridge behind, as one organisation's gateway."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=roots, private_key=key, certificate_chain=chain
    )
    return grpc.secure_channel(target, credentials, options=list(OPTIONS))


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method

        def answer(raw: bytes, context: grpc.ServicerContext) -> bytes:
            return self._edge.serve(path, raw, context)

        return grpc.unary_unary_rpc_method_handler(answer)
