"""
The door of every call: who it is, may it, is it within limits, and only then what it says.

In this order, and each before the next:

1. metadata within bounds;
2. `identify`: certificate and connection (nothing the caller *says* counts), and again, while the
   call is answered, when the trust changes or the certificate ends (`inside`);
3. `authorise`: the table `METHODS`; a method without a row nobody may call; `scope`: where;
4. the organisation's rate of calls, and how many it has at once, until their answers are taken;
5. only now the request is waited for, so long and no longer, and its size looked at;
6. the bytes are parsed, and held against the contract's field rules;
7. the checkpoint that the caller shows is one that this bridge can have given.

Behind the door nothing sees grpc's context: a service gets the request and a `Call`, returns a
response or raises, and here alone a call is aborted, so no `await` can be forgotten elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

import grpc

from exchange.errors import BridgeUnavailable, ExchangeError, InvalidRequest, LimitExceeded
from exchange.identity import (
    METHODS,
    WITHDRAWN,
    AuthContext,
    Caller,
    CallerKind,
    Party,
    authorise,
    identify,
    scope,
)
from exchange.server.contacts import ContactKeeper
from exchange.server.failures import (
    STORE_FAILURES,
    Unexpected,
    abort,
    code_of,
    store_failure,
)
from exchange.server.in_force import InForce
from exchange.server.inside import Inside
from exchange.server.journal import Journal
from exchange.server.limits import Allowances
from exchange.server.lookout import Lookout
from exchange.server.metrics import Measures
from exchange.server.writer import STOPPING
from exchange.settings import Limits
from exchange.text import Text
from exchange.tracing import TRACEPARENT, read_traceparent, trace_of
from exchange.wire.calls import read_request

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any  # grpc.RpcMethodHandler: the published stubs lack its attributes

#: The trailing metadata in which health's answers say which generation of trust is in force.
GENERATION = "exchange-trust-generation"
#: Likewise what time the bridge has: a gateway's doctor holds its own clock against it.
TIME = "exchange-time"
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
_SLOW = Text(
    en="The request was not here within {limit} s. Send it again, in smaller parts.",
    zh="请求在 {limit} 秒内未到齐，请减少每次调用的消息数后重发。",
)
_NOTHING = Text(
    en="The call ended without a request. Send one message.", zh="调用未携带请求，请发送一条消息。"
)
_NOT_SERVED = Text(en="This bridge does not serve {method}.", zh="本网桥不提供 {method}。")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a service knows of the call it answers."""

    caller: Caller
    method: str
    #: The regions that the caller may see.
    regions: tuple[str, ...]
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
        trust: InForce,
        registered: Mapping[Party, Sequence[str]],
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
        self._inside = Inside()

    def cut_withdrawn(self) -> None:
        """Cut every call inside whose caller the trust now in force does not let in."""
        self._told_cut(self._inside.cut_whom(self._why_not))

    def cut_ended(self) -> None:
        """Cut every call inside whose certificate has ended by now, or the list it rests on."""
        self._told_cut(self._inside.cut_ended(self._clock(), self._why_not))

    def _why_not(self, context: AuthContext) -> ExchangeError | None:
        try:
            identify(context, self._trust.store, self._clock())
        except ExchangeError as error:
            return error
        return None

    def _told_cut(self, cut: list[ExchangeError]) -> None:
        for why in cut:
            self._measures.cut(why.facts.get("rule", ""))
        if cut:
            self._journal.warning("cut", calls=len(cut), inside=len(self._inside))

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
        # To grpc every request is a stream: of a plain one it would wait for the message before any
        # code of ours runs, and whoever sends none would hold the call for as long as he likes.
        return grpc.stream_unary_rpc_method_handler(
            cast("Any", partial(self._serve, method, handler)),
            request_deserializer=None,
            response_serializer=getattr(handler, "response_serializer", None),
        )

    async def _serve(
        self, method: str, handler: Handler | None, _: object, context: Context
    ) -> Any:
        begun = asyncio.get_running_loop().time()
        facts: dict[str, Any] = {"method": method, "bytes": 0}
        facts["trace"] = _trace_named_in(context)
        try:
            response = await self._answer(method, handler, context, facts)
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
        context: Context,
        facts: dict[str, Any],
    ) -> Any:
        self._check_metadata(context)
        now = self._clock()
        connection: AuthContext = context.auth_context()
        caller = identify(connection, self._trust.store, now)
        facts["organisation"], facts["gateway"] = caller.organisation, caller.gateway
        facts["network"] = caller.network
        authorise(caller, method, registered=self._registered)
        regions: tuple[str, ...] = ()
        if caller.kind is CallerKind.GATEWAY:
            regions = scope(caller.region, caller.organisation, self._registered[caller.party])
        if self._contacts is not None:
            self._contacts.called(caller.organisation, method, now)
        if self._stopping:
            raise BridgeUnavailable(STOPPING)
        self._allowances.spend_call(caller.account)
        self._hold_call(caller.account, context)
        raw = await self._request(context)
        facts["bytes"] = len(raw)
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
        call = Call(caller=caller, method=method, regions=regions, time=now)
        facts["messages"] = call.messages
        return await self._inside.answer(handler.unary_unary(request, call), connection, caller)

    def _open(self, method: str, handler: Handler) -> Handler:
        """Return a handler of a service that anybody whom TLS lets in may call: health."""

        async def answer(_: object, context: Context) -> Any:
            return await self._anyone(method, handler, context)

        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make(answer, None, handler.response_serializer)

    async def _anyone(self, method: str, handler: Handler, context: Context) -> Any:
        try:
            self._check_metadata(context)
            connection: AuthContext = context.auth_context()
            self._keep_out_withdrawn(connection)
            self._hold_call("", context)  # all who ask for health together
            request = read_request(handler.request_deserializer, await self._request(context))
            generation, time = str(self._trust.generation), self._clock().isoformat()
            context.set_trailing_metadata(((GENERATION, generation), (TIME, time)))
            if not handler.response_streaming:
                return await handler.unary_unary(request, context)
            with self._allowances.watching():
                watching = handler.unary_stream(request, context)
                return await self._inside.answer(watching, connection, None)
        except ExchangeError as error:
            failure = error
        self._journal.info("refused", method=method, reason=failure.reason)
        return await abort(context, failure)

    def _hold_call(self, organisation: str, context: Context) -> None:
        """Count the call as one that *organisation* has at once, until its answer was taken or it broke off."""
        held = contextlib.ExitStack()
        held.enter_context(self._allowances.calling(organisation))
        cast("Any", context).add_done_callback(lambda _: held.close())

    async def _request(self, context: Context) -> bytes:
        """Return the request's bytes, once they are here; of whoever says nothing, as little as of an empty one."""
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                raw = await cast("Any", context).read()
        except TimeoutError:
            limit = self._limits.request_seconds
            raise LimitExceeded(
                _SLOW.fill(limit=limit), limit="request_seconds", retry_after="0"
            ) from None
        if not isinstance(raw, bytes):  # the end, grpc.aio.EOF
            raise InvalidRequest(_NOTHING, rule="no-request")
        return raw

    def _keep_out_withdrawn(self, connection: AuthContext) -> None:
        """Let anybody in but whose certificate was taken back."""
        why = self._why_not(connection)
        if why is not None and isinstance(why, tuple(WITHDRAWN.values())):
            raise why

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
