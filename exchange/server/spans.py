"""
Spans for OpenTelemetry: of each message its push, drain, pull and acknowledgement, in its own trace.

Only where the standard variable ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``..._TRACES_ENDPOINT``) is set, and
only then is anything of OpenTelemetry imported: ``pip install 'hotline-exchange[otel]'``.  The other
standard variables hold, too (headers, service name), but for the sampler: a message is traced or not by
its own id, the same at every step, in the share that ``OTEL_TRACES_SAMPLER_ARG`` says (default 1).
The SDK's own ratio looks at bits that every UUID has alike.

A span costs some 50 µs, so a busy bridge traces a share; one that is not traced costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from exchange.errors import ConfigurationError
from exchange.text import Text
from exchange.tracing import trace_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SHARE = "OTEL_TRACES_SAMPLER_ARG"
#: The last seven bytes of a trace id are random (W3C Trace Context level 2), of a UUID's as well.
_RANDOM_BITS = 56

_MISSING = Text(
    en="{variable} is set, but OpenTelemetry is not installed ({module}). Install it: pip install "
    "'hotline-exchange[otel]'; or unset the variable.",
    zh="已设置 {variable}，但未安装 OpenTelemetry（{module}）。请执行 pip install "
    "'hotline-exchange[otel]'，或取消该变量。",
)
_NO_SHARE = Text(
    en="The environment variable {variable} is '{value}'; it must be a number from 0 to 1.",
    zh="环境变量 {variable} 为“{value}”，应为 0 至 1 之间的数。",
)


class Spans:
    """Makes spans for *share* of all messages and gives them to *processor*."""

    def __init__(self, processor: SpanProcessor, share: float = 1.0) -> None:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        class Ids(RandomIdGenerator):
            """The trace id is the message's, as long as one is made a span for."""

            trace = 0
            span = 0

            def generate_trace_id(self) -> int:
                return self.trace

            def generate_span_id(self) -> int:
                span, self.span = self.span, 0
                return span or super().generate_span_id()

        self._ids = Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("exchange")
        self._below = int(share * (1 << _RANDOM_BITS))

    def add(
        self, name: str, message_ids: Iterable[str], seconds: float, **facts: str | int
    ) -> None:
        """Tell that *name* just ended for these messages, after *seconds*; on the event loop alone."""
        from opentelemetry import trace as api  # noqa: PLC0415

        end = time.time_ns()
        begin = end - int(seconds * 1e9)
        for message_id in message_ids:
            trace = int(trace_of(message_id) or "0", 16)
            if not trace or trace % (1 << _RANDOM_BITS) >= self._below:
                continue
            root = int.from_bytes(sha256(message_id.encode()).digest()[:8])
            context: Any = None
            if name == "push":
                self._ids.trace, self._ids.span = trace, root
            else:
                parent = api.SpanContext(trace, root, True, api.TraceFlags(api.TraceFlags.SAMPLED))
                context = api.set_span_in_context(api.NonRecordingSpan(parent))
            attributes = {"messaging.message.id": message_id, **facts}
            span = self._tracer.start_span(
                name, context=context, attributes=attributes, start_time=begin
            )
            span.end(end)

    def close(self) -> None:
        """Give away what is left, and end."""
        self._provider.shutdown()


def open_spans(environment: Mapping[str, str]) -> Spans | None:
    """Return what *environment* asks for, None for nothing; raises `ConfigurationError`."""
    asked = next((name for name in _ENDPOINTS if environment.get(name)), None)
    if asked is None:
        return None
    value = environment.get(_SHARE, "1")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(_NO_SHARE.fill(variable=_SHARE, value=value))
    try:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        text = _MISSING.fill(variable=asked, module=error.name)
        raise ConfigurationError(text, variable=asked) from error
    return Spans(BatchSpanProcessor(otlp.OTLPSpanExporter()), share)
