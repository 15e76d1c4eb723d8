"""OpenTelemetry, where it is configured: one trace a message, over all its calls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange.errors import ConfigurationError
from exchange.server.spans import Spans, open_spans
from exchange.tracing import trace_of
from exchange.wire.headers import read_envelope
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, calling, matter, running


@contextmanager
def traced(pki: Pki, folder: Path, share: float) -> Iterator[tuple[Running, InMemorySpanExporter]]:
    """Serve with spans kept in memory."""
    kept = InMemorySpanExporter()
    with running(pki, folder) as bridge:
        assert bridge.server is not None
        bridge.server._observing.measures.spans = Spans(SimpleSpanProcessor(kept), share)
        yield bridge, kept


def test_a_message_s_trace_runs_from_push_to_written(pki: Pki, tmp_path: Path) -> None:
    """Push, its drain, pull, the acknowledgement and its drain; the push is the root of them."""
    with (
        traced(pki, tmp_path, 1.0) as (bridge, kept),
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        hotline.push(hotline.sealer.seal(matter()))
        delivery = police.pull()[0]
        message = read_envelope(delivery.envelope).message
        assert message is not None
        police.acknowledge(police.written(delivery, message.id))
    mine = [
        span
        for span in kept.get_finished_spans()
        if (span.attributes or {})["messaging.message.id"] == message.id
    ]
    (root,) = [span for span in mine if span.name == "push"]

    assert [span.name for span in mine] == ["drain", "push", "pull", "drain", "acknowledge"]
    assert {f"{span.context.trace_id:032x}" for span in mine} == {trace_of(message.id)}
    assert root.parent is None
    assert {span.parent.span_id for span in mine if span.parent is not None} == {
        root.context.span_id
    }


def test_a_share_of_the_messages_is_traced_whole(pki: Pki, tmp_path: Path) -> None:
    """Whether a message is traced follows from its id: each has all its spans, or none."""
    with (
        traced(pki, tmp_path, 0.5) as (bridge, kept),
        calling(pki, bridge.port, CITY_12345) as hotline,
    ):
        sealed = hotline.sealer.seal([one for _ in range(32) for one in matter()])
        hotline.push(sealed)
    names: dict[int, list[str]] = {}
    for span in kept.get_finished_spans():
        names.setdefault(span.context.trace_id, []).append(span.name)

    # Fewer than 8 or more than 56 of 64 fair coins: once in a billion runs.
    assert 8 <= len(names) <= 56
    assert {tuple(sorted(one)) for one in names.values()} == {("drain", "push")}


def test_nothing_of_it_is_imported_unless_it_is_configured() -> None:
    """A bridge without the variable runs without the packages."""
    code = "import sys, exchange.server.opening; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
    assert open_spans({}) is None


def test_a_missing_package_is_named() -> None:
    """The variable alone does not bring the packages: the sentence says how to get them."""
    if find_spec("opentelemetry.exporter") is not None:
        pytest.skip("the exporter is installed here")
    with pytest.raises(ConfigurationError, match=r"pip install 'hotline-exchange\[otel\]'"):
        open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER_ARG": "2"},
         "0 to 1"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER_ARG": "x"},
         "0 to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_served(
    environment: dict[str, str], word: str
) -> None:
    """A share that is none is a wrong configuration."""
    with pytest.raises(ConfigurationError, match=word):
        open_spans(environment)
