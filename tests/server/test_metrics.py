"""What Prometheus reads of a running bridge, and what it must not be able to."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exchange.config import load_settings
from exchange.errors import ConfigurationError
from exchange.query.figures import FiguresRoom
from exchange.server import metrics
from exchange.server.address import metrics_place
from exchange.tracing import trace_of
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, calling, matter, write_settings

POLICE, HOTLINE = CITY_110.organisation, CITY_12345.organisation


@contextmanager
def watched(pki: Pki, folder: Path, keeper: str = "thread") -> Iterator[Running]:
    """Serve with metrics on a free port."""
    settings = load_settings(write_settings(pki, folder, keeper=keeper))
    found = Running(replace(settings, metrics="127.0.0.1:0"))
    found.start()
    try:
        yield found
    finally:
        found.stop()


def scrape(bridge: Running) -> dict[str, list[Sample]]:
    """Return what the bridge tells, as Prometheus asks for it."""
    (event,) = bridge.events("metrics")
    request = urllib.request.Request(
        f"http://127.0.0.1:{event['port']}/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(found: dict[str, list[Sample]], name: str, **labels: str) -> float:
    """Return the one sample with these labels."""
    (sample,) = [one for one in found[name] if one.labels == labels]
    return float(sample.value)


def test_what_a_bridge_did_and_how_it_stands(pki: Pki, tmp_path: Path) -> None:
    """Messages by outcome, drains, calls, queues by organisation, log, disk, certificates, process."""
    with (
        watched(pki, tmp_path) as bridge,
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        opening, offer = matter()
        late = replace(offer, act={**offer.act, "take_due_time": "2026-01-01T00:00:00Z"})
        sealed = hotline.sealer.seal([opening, late])
        hotline.push([*sealed, b"no envelope"])
        police.pull()
        found = scrape(bridge)

    def messages(kind: str, outcome: str) -> float:
        return value(found, "exchange_messages_total", kind=kind, outcome=outcome)

    assert (messages("open_ticket", "stored"), messages("offer", "stored")) == (1, 1)
    assert messages("unread", "refused") == 1
    assert value(found, "exchange_refusals_total", code="MALFORMED") == 1
    assert value(found, "exchange_drains_total", outcome="committed") == 1
    assert value(found, "exchange_drain_messages_sum") == 3
    assert value(found, "exchange_calls_total", method="PushMessages", status="OK") == 1
    assert value(found, "exchange_waiting", organisation=POLICE) == 2
    assert value(found, "exchange_waiting_oldest_seconds", organisation=POLICE) >= 0
    assert value(found, "exchange_overdue", organisation=POLICE) == 1
    assert value(found, "exchange_due_soon", organisation=POLICE) == 0
    assert value(found, "exchange_leases") == 1
    assert value(found, "exchange_waiting_pulls") == 0
    assert value(found, "exchange_queued_messages") == 0
    assert value(found, "exchange_log_size") == 3
    assert value(found, "exchange_figures_readable") == 1
    assert value(found, "exchange_space_free_bytes") > 0
    assert value(found, "exchange_certificate_days", certificate="bridge") > 14
    assert value(found, "process_resident_memory_bytes") > 0
    assert "exchange_keeper_process_resident_memory_bytes" not in found


def test_the_process_that_writes_is_measured_too(pki: Pki, tmp_path: Path) -> None:
    """Its CPU time and memory stand beside the serving process's."""
    with watched(pki, tmp_path, "process") as bridge:
        found = scrape(bridge)

    assert value(found, "exchange_keeper_process_resident_memory_bytes") > 0
    assert value(found, "exchange_keeper_process_cpu_seconds_total") > 0


def test_an_exemplar_names_the_message_s_trace(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a slow call in the picture to its messages: journal and trail know the same number."""
    monkeypatch.setattr(metrics, "SLOW", 0.0)
    with watched(pki, tmp_path) as bridge, calling(pki, bridge.port, CITY_12345) as hotline:
        sealed = hotline.sealer.seal(matter())
        hotline.push(sealed)
        found = scrape(bridge)
        (call,) = bridge.events("call")
    exemplars = [one.exemplar for one in found["exchange_call_seconds_bucket"] if one.exemplar]

    assert [one.labels for one in exemplars] == [{"trace_id": trace_of(sealed[0].message_id)}]
    assert call["trace"] == trace_of(sealed[0].message_id)
    assert call["messages"] == [one.message_id for one in sealed]


def test_nothing_of_what_was_said_is_told(pki: Pki, tmp_path: Path) -> None:
    """Labels are codes: no title, no words, no ticket, no message; names are the table's."""
    with watched(pki, tmp_path) as bridge, calling(pki, bridge.port, CITY_12345) as hotline:
        hotline.push(hotline.sealer.seal(matter()))
        call = hotline.channel.unary_unary("/no.such.Service/张三", bytes, bytes)
        call.future(b"").exception()
        found = scrape(bridge)
    labels = {name for samples in found.values() for one in samples for name in one.labels}
    methods = {one.labels["method"] for one in found["exchange_calls_total"]}

    assert labels <= {"kind", "outcome", "code", "method", "status", "organisation", "certificate",
                      "le"}  # fmt: skip
    assert methods == {"PushMessages", "other"}


def test_there_are_none_unless_asked_for(pki: Pki, tmp_path: Path) -> None:
    """Off by default: no second port is opened."""
    settings = load_settings(write_settings(pki, tmp_path))
    bridge = Running(settings)
    bridge.start()
    bridge.stop()

    assert settings.metrics == ""
    assert bridge.events("metrics") == []


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "bridge.example:1",
                                     "127.0.0.1", "127.0.0.1:70000"])  # fmt: skip
def test_only_this_machine_may_read_them(pki: Pki, tmp_path: Path, address: str) -> None:
    """Another address is refused before anything is served, unless it is said to be meant."""
    settings = replace(load_settings(write_settings(pki, tmp_path)), metrics=address)
    with pytest.raises(ConfigurationError, match=r"metrics|no address"):
        Running(settings).start()
    if address == "0.0.0.0:9464":
        assert metrics_place(address, "network") == ("0.0.0.0", 9464)


def test_contacts_are_kept_over_a_restart(pki: Pki, tmp_path: Path) -> None:
    """A bridge that stops writes who called it; nobody who was turned away counts."""
    before = datetime.now(UTC)
    with (
        watched(pki, tmp_path) as bridge,
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        hotline.push(hotline.sealer.seal(matter()))
        police.pull()
        database = bridge.settings.database
        bridge.stop()
        room = FiguresRoom.open(database)
        contacts = room.figures().contacts
        room.close()

    assert {who: set(calls) for who, calls in contacts.items()} == {
        HOTLINE: {"push"},
        POLICE: {"pull"},
    }
    assert all(time >= before for calls in contacts.values() for time in calls.values())
