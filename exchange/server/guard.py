"""
The door of every call: who it is, may it, is it within limits, and only then what it says.

In this order, and each before the next:

1. metadata within bounds;
2. `identify`: certificate and connection (nothing the caller *says* counts);
3. `authorise`: the table `METHODS`; a method without a row nobody may call;
4. the organisation's rate of calls, and the request's size;
5. the bytes are parsed, and held against the contract's field rules;
6. the checkpoint that the caller shows is one that this bridge can have given.

Behind the door nothing sees grpc's context: a service gets the request and a `Call`, returns a
response or raises, and here alone a call is aborted, so no `await` can be forgotten elsewhere.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

import grpc

from exchange.config import Limits
from exchange.errors import BridgeUnavailable, ExchangeError, InvalidRequest
from exchange.identity import METHODS, Caller, CallerKind, Party, authorise, identify
from exchange.server.contacts import ContactKeeper
from exchange.server.failures import (
    STORE_FAILURES,
    Unexpected,
    abort,
    code_of,
    store_failure,
)
from exchange.server.journal import Journal
from exchange.server.limits import Allowances
from exchange.server.lookout import Lookout
from exchange.server.metrics import Measures
from exchange.server.writer import STOPPING
from exchange.text import Text
from exchange.tracing import TRACEPARENT, read_traceparent, trace_of
from exchange.trust import TrustStore
from exchange.wire.calls import read_request

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any  # grpc.RpcMethodHandler: the published stubs lack its attributes

#: What HTTP/2 counts of each field beside its name and value (RFC 9113 section 6.5.2).
_METADATA_OVERHEAD = 32

_METADATA = Text(
    en="The call's metadata has {size} bytes; the limit is {limit}. Send less.",
    zh="调用元数据为 {size} 字节，上限为 {limit} 字节，请减少。",
)
_REQUEST = Text(
    en="The request has {size} bytes; the limit is {limit}. Send fewer messages in one call.",
    zh="请求为 {size} 字节，上限为 {limit} 字节，请减少每次调用的消息数。",
)
_NOT_SERVED = Text(en="This bridge does not serve {method}.", zh="本网桥不提供 {method}。")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a service knows of the call it answers."""

    caller: Caller
    method: str
    #: When it was let in.
    time: datetime
    #: The ids of the messages it carries, as its service finds them: the journal names them.
    messages: list[str] = field(default_factory=list)

    @property
    def organisation(self) -> str:
        """The caller's organisation code."""
        return self.caller.organisation


class NotServed(InvalidRequest):
    """The method is in the table, but this bridge has no service for it."""

    reason = "NOT_SERVED"


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """The interceptor through which every call of every service passes."""

    def __init__(
        self,
        *,
        trust: TrustStore,
        registered: Container[Party],
        limits: Limits,
        allowances: Allowances,
        clock: Callable[[], datetime],
        journal: Journal,
        lookout: Lookout | None = None,
        measures: Measures | None = None,
        contacts: ContactKeeper | None = None,
    ) -> None:
        self._lookout = lookout
        self._measures = measures or Measures()
        self._contacts = contacts
        self._trust = trust
        self._registered = registered
        self._limits = limits
        self._allowances = allowances
        self._clock = clock
        self._journal = journal
        self._stopping = False

    def stop(self) -> None:
        """Turn every new call away; those inside are not touched."""
        self._stopping = True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return a handler that takes the request as bytes, and guards the one that would answer."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is not None and METHODS.get(method) is CallerKind.ANYONE:
            return self._open(method, handler)
        return grpc.unary_unary_rpc_method_handler(
            cast("Any", partial(self._serve, method, handler)),
            request_deserializer=None,
            response_serializer=getattr(handler, "response_serializer", None),
        )

    async def _serve(
        self, method: str, handler: Handler | None, raw: bytes, context: Context
    ) -> Any:
        begun = asyncio.get_running_loop().time()
        facts: dict[str, Any] = {"method": method, "bytes": len(raw)}
        facts["trace"] = _trace_named_in(context)
        try:
            response = await self._answer(method, handler, raw, context, facts)
        except asyncio.CancelledError:
            self._log(facts, begun, grpc.StatusCode.CANCELLED)
            raise
        except ExchangeError as error:
            failure = self._tellable(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets a number, not its words
            failure = self._unexpected(error)
        else:
            self._log(facts, begun, grpc.StatusCode.OK)
            return response
        rule = failure.facts.get("rule", "")
        self._log(facts, begun, code_of(failure), reason=failure.reason, rule=rule)
        return await abort(context, failure)

    async def _answer(
        self,
        method: str,
        handler: Handler | None,
        raw: bytes,
        context: Context,
        facts: dict[str, Any],
    ) -> Any:
        self._check_metadata(context)
        now = self._clock()
        caller = identify(context.auth_context(), self._trust, now)
        facts["organisation"], facts["gateway"] = caller.organisation, caller.gateway
        facts["network"] = caller.network
        authorise(caller, method, registered=self._registered)
        if self._contacts is not None:
            self._contacts.called(caller.organisation, method, now)
        if self._stopping:
            raise BridgeUnavailable(STOPPING)
        self._allowances.spend_call(caller.organisation)
        if len(raw) > self._limits.request_bytes:
            raise InvalidRequest(
                _REQUEST.fill(size=len(raw), limit=self._limits.request_bytes), rule="request-size"
            )
        if handler is None or handler.request_streaming or handler.response_streaming:
            raise NotServed(_NOT_SERVED.fill(method=method), rule="not-served")
        request = read_request(handler.request_deserializer, raw)
        if self._lookout is not None:
            shown = getattr(request, "checkpoint", "")
            await self._lookout.look(method, shown, caller, now)
        call = Call(caller=caller, method=method, time=now)
        facts["messages"] = call.messages
        return await handler.unary_unary(request, call)

    def _open(self, method: str, handler: Handler) -> Handler:
        """Return a handler of a service that anybody whom TLS lets in may call: health."""

        async def answer(raw: bytes, context: Context) -> Any:
            return await self._anyone(method, handler, raw, context)

        make: Any = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(answer, None, handler.response_serializer)

    async def _anyone(self, method: str, handler: Handler, raw: bytes, context: Context) -> Any:
        try:
            self._check_metadata(context)
            request = read_request(handler.request_deserializer, raw)
            if not handler.response_streaming:
                return await handler.unary_unary(request, context)
            with self._allowances.watching():
                return await handler.unary_stream(request, context)
        except ExchangeError as error:
            failure = error
        self._journal.info("refused", method=method, reason=failure.reason)
        return await abort(context, failure)

    def _check_metadata(self, context: Context) -> None:
        size = sum(
            len(key) + len(value) + _METADATA_OVERHEAD
            for key, value in cast("Any", context.invocation_metadata() or ())
        )
        if size > self._limits.metadata_bytes:
            limit = self._limits.metadata_bytes
            raise InvalidRequest(_METADATA.fill(size=size, limit=limit), rule="metadata-size")

    def _tellable(self, error: ExchangeError) -> ExchangeError:
        """Return *error* if its words are for callers, else what may be said of it."""
        if code_of(error) is grpc.StatusCode.INTERNAL:
            return self._unexpected(error)
        if isinstance(error, STORE_FAILURES):
            self._journal.error("store-failed", reason=error.reason, exc_info=error)
            return store_failure(error)
        return error

    def _unexpected(self, error: Exception) -> ExchangeError:
        number = secrets.token_hex(8)
        self._journal.error("unexpected", number=number, exc_info=error)
        return Unexpected(number)

    def _log(self, facts: dict[str, Any], begun: float, code: grpc.StatusCode, **more: str) -> None:
        seconds = asyncio.get_running_loop().time() - begun
        messages: list[str] = facts.get("messages", [])
        if messages and not facts["trace"]:
            facts["trace"] = trace_of(messages[0])
        self._measures.called(facts["method"], code.name, seconds, facts["trace"], messages)
        facts = {key: value for key, value in (facts | more).items() if value or key == "bytes"}
        self._journal.info("call", code=code.name, ms=round(seconds * 1000, 2), **facts)


def _trace_named_in(context: Context) -> str:
    for key, value in cast("Any", context.invocation_metadata() or ()):
        if key == TRACEPARENT:
            return read_traceparent(value)
    return ""
