"""GeoReport v2 as an independent client and the spec's schemas know it; every complaint in its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from georeport import GeoReport

from adapters.open311.asking import LISTED, MOST, SPAN
from adapters.open311.limits import Limits, caller_of
from adapters.open311.projection import Report, Service
from adapters.open311.serving import QUERY
from adapters.open311.snapshot import STALE, Gallery, Snapshot
from exchange.errors import BridgeUnavailable
from exchange.text import Text
from tests.adapters.open311.town import Town, published

#: What the project's JSON schemas (open311/schema-validation, georeport-v2) ask: field -> type, needed.
SCHEMAS: dict[str, dict[str, tuple[type, bool]]] = {
    "services": {
        "service_code": (str, True), "service_name": (str, True), "metadata": (bool, True),
        "type": (str, True), "description": (str, False), "keywords": (str, False), "group": (str, False),
    },
    "definition": {"service_code": (str, True), "attributes": (list, True)},
    "requests": {
        "service_request_id": (str, True), "status": (str, True), "service_code": (str, True),
        "requested_datetime": (str, True), "status_notes": (str, False), "service_name": (str, False),
        "description": (str, False), "agency_responsible": (str, False), "service_notice": (str, False),
        "updated_datetime": (str, False), "expected_datetime": (str, False), "address": (str, False),
        "address_id": (str, False), "zipcode": (str, False),
    },
}  # fmt: skip


def require(schema: str, row: Mapping[str, Any]) -> None:
    """Hold one object against its schema."""
    known = SCHEMAS[schema]

    assert {name for name, (_, needed) in known.items() if needed} <= row.keys() <= known.keys()
    for name, value in row.items():
        assert isinstance(value, known[name][0])


@pytest.mark.parametrize("form", ["json", "xml"])
def test_an_independent_client_reads_everything(open_town: Town, form: str) -> None:
    """`georeport` lists services, a definition, and requests by every condition it knows."""
    client = GeoReport(open_town.root, jurisdiction="140400", output_format=form)
    services = client.get_service_list()
    reports = client.get_service_requests()
    (closed,) = [one for one in reports if one["status"] == "closed"]
    day = datetime.fromisoformat(closed["requested_datetime"])
    both = ",".join(one["service_request_id"] for one in reports)

    assert {"NM.H.01.10", "NM.H.02.03"} <= {one["service_code"] for one in services}
    assert "NM.H.02.03" == client.get_service_definition("NM.H.02.03")["service_code"]
    assert 2 == len(reports)
    assert closed == client.get_service_request(closed["service_request_id"])
    assert reports == client.get_service_requests(service_request_id=both, status="open")
    assert reports == client.get_service_requests(
        service_code="NM.H.02.03,NM.H.01.10",
        start_date=day.isoformat(),
        end_date=(day + SPAN).isoformat(),
        status="open,closed",
    )


def test_answers_hold_against_the_schemas(open_town: Town) -> None:
    """Every object has what its schema needs, of its type, and nothing that the schema does not know."""
    for one in open_town.get("/services.json").json:
        require("services", one)
        assert "realtime" == one["type"]
    require("definition", open_town.get("/services/NM.H.02.03.json").json)
    for one in open_town.get("/requests.json").json:
        require("requests", one)
        assert one["status"] in {"open", "closed"}


def test_discovery_names_the_endpoint(open_town: Town) -> None:
    """As service discovery says, in both forms."""
    found = open_town.get("/discovery.json").json
    (endpoint,) = found["endpoints"]
    as_xml = ET.fromstring(open_town.get("/discovery.xml").body)

    assert ("https://open.example/open311/v2", "open@city.example") == (
        endpoint["url"], found["contact"],
    )  # fmt: skip
    assert ["text/xml", "application/json"] == endpoint["formats"]
    assert endpoint["formats"] == [one.text for one in as_xml.iter("format")]
    assert endpoint["url"] == as_xml.findtext("endpoints/endpoint/url")


WRONG = {
    "/services/NM.P.01.02": 404,  # the police's
    "/services/nothing": 404,
    "/requests/00000000000000000000": 404,
    "/requests?jurisdiction_id=140500": 404,
    "/services?jurisdiction_id=1": 404,
    "/requests?status=done": 400,
    "/requests?start_date=yesterday": 400,
    "/requests?start_date=2026-11-22T00:00:00": 400,  # no zone
    "/requests?end_date=0001-01-01T00:00:00%2B08:00": 400,
    "/requests?start_date=2026-11-22T00:00:00Z&end_date=2026-11-21T00:00:00Z": 400,
    "/requests?page=0": 400,
    "/requests?page=%EF%BC%91": 400,  # a wide 1
    f"/requests?page_size={MOST + 1}": 400,
    "/requests?service_code=" + ",".join(map(str, range(LISTED + 1))): 400,
    "/requests?x=" + "y" * QUERY: 414,
    "/anything": 404,
}


@pytest.mark.parametrize("form", ["json", "xml"])
def test_complaints_have_the_specs_shape(open_town: Town, form: str) -> None:
    """Whatever is wrong: its status, code and description, in the form that was asked for; never kept."""
    for asked, status in WRONG.items():
        path, mark, query = asked.partition("?")
        answer = open_town.get(f"{path}.{form}{mark}{query}")
        if form == "json":
            (error,) = answer.json
        else:
            (found,) = ET.fromstring(answer.body)
            error = {
                "code": int(found.findtext("code") or 0),
                "description": found.findtext("description"),
            }

        assert (status, status) == (answer.status, error["code"]), asked
        assert error["description"]
        assert "no-store" == answer.headers["Cache-Control"]


def test_the_edges_of_what_may_be_asked(open_town: Town) -> None:
    """90 days, 1000 a page and 100 codes are answered; a day more is not."""
    since = datetime(2026, 1, 1, tzinfo=UTC)

    def span(days: timedelta) -> int:
        dates = f"start_date={since:%Y-%m-%dT%H:%M:%SZ}&end_date={since + days:%Y-%m-%dT%H:%M:%SZ}"
        return open_town.get(f"/requests.json?{dates}").status

    assert [200, 400] == [span(SPAN), span(SPAN + timedelta(seconds=1))]
    assert 200 == open_town.get(f"/requests.json?page_size={MOST}").status
    codes = ",".join(map(str, range(LISTED)))
    assert [] == open_town.get(f"/requests.json?service_code={codes}").json
    pages = [open_town.get(f"/requests.json?page_size=1&page={n}").json for n in (1, 2, 3)]
    assert [1, 1, 0] == [len(page) for page in pages]
    assert pages[0] + pages[1] == open_town.get("/requests.json").json


def test_it_can_only_be_read(open_town: Town) -> None:
    """A report is refused as the spec refuses who has no api_key; other methods are not there."""
    posted = open_town.get("/requests.json", "POST")
    deleted = open_town.get("/requests.json", "DELETE")

    assert (403, 403) == (posted.status, posted.json[0]["code"])
    assert "api_key" in posted.json[0]["description"]
    assert 403 == open_town.get("/requests.xml?api_key=x", "POST").status
    assert (405, "GET, HEAD") == (deleted.status, deleted.headers["Allow"])
    assert (200, b"") == ((head := open_town.get("/requests.json", "HEAD")).status, head.body)


def test_answers_may_be_kept_and_are_known_again(open_town: Town) -> None:
    """Cache headers say for how long; an unchanged answer is 304 without a body."""
    answer = open_town.get("/requests.xml")
    again = open_town.get("/requests.xml", **{"If-None-Match": answer.headers["ETag"]})

    assert "public, max-age=60" == answer.headers["Cache-Control"]
    assert "text/xml; charset=utf-8" == answer.headers["Content-Type"]
    assert (304, b"") == (again.status, again.body)
    assert answer.headers["Last-Modified"] == again.headers["Last-Modified"]


def test_who_asks_too_often_is_told_when_to_come_again(open_town: Town) -> None:
    """The calls of one address are counted; of the proxy's callers each by itself."""
    settings = replace(open_town.settings, per_minute=2, proxy="127.0.0.1")
    with published(settings, open_town.gallery) as port:
        town = replace(open_town, port=port)
        mine = [
            town.get("/discovery.json", **{"X-Forwarded-For": "forged, 192.0.2.1"})
            for _ in range(3)
        ]
        other = town.get("/discovery.json", **{"X-Forwarded-For": "192.0.2.2"})

    assert [200, 200, 429] == [one.status for one in mine]
    assert 429 == mine[2].json[0]["code"]
    assert 1 <= int(mine[2].headers["Retry-After"]) <= 31
    assert 200 == other.status


def test_the_buckets_fill_again_and_are_bounded() -> None:
    """Half a minute gives half the calls back; of many callers the longest silent is forgotten."""
    limits = Limits(2, remembered=2)

    assert [0, 0, 30] == [limits.wait("a", 0.0) for _ in range(3)]
    assert [0, 30] == [limits.wait("a", 30.0), limits.wait("a", 30.0)]
    limits.wait("b", 30.0)
    limits.wait("c", 30.0)
    assert 0 == limits.wait("a", 30.0)
    assert 2 == len(limits._buckets)


def test_callers_are_who_they_are() -> None:
    """Only the site's own proxy is believed; IPv6 callers count by their network."""
    assert "192.0.2.9" == caller_of("192.0.2.9", "10.0.0.1", "")
    assert "192.0.2.9" == caller_of("192.0.2.9", "10.0.0.1", "192.0.2.1")
    assert "10.0.0.1" == caller_of("192.0.2.1", "6.6.6.6, 10.0.0.1", "192.0.2.1")
    assert caller_of("2001:db8::1", "", "") == caller_of("2001:db8::ffff", "", "")
    assert "192.0.2.1" == caller_of("192.0.2.1", "nonsense", "192.0.2.1")


class Away:
    """A bridge that answers nothing any more."""

    @property
    def tickets(self) -> Any:
        """Fail."""
        raise BridgeUnavailable(Text(en="away", zh="无应答"))

    directory = tickets


def test_without_the_bridge_the_old_is_shown_for_a_day_and_no_longer(open_town: Town) -> None:
    """Before the first look, and 24 h after the last one, there is nothing; in between what was seen."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    told: list[Text | None] = []

    def notice(failure: Text | None) -> None:
        told.append(failure)
        gallery.stop()

    gallery = Gallery(
        Away(),
        open_town.settings.choices,
        b"k",
        days=1,
        refresh=1,
        clock=lambda: now,
        notice=notice,
    )
    with published(open_town.settings, gallery) as port:
        town = replace(open_town, port=port)
        gallery.run()
        before = town.get("/requests.json")
        gallery._newest = Snapshot(taken=now, services={}, reports=(), by_id={})
        now += STALE
        at_the_edge = town.get("/requests.json")
        now += timedelta(seconds=1)
        after = town.get("/requests.json")

    assert ["away"] == [one.en for one in told if one is not None]
    assert [503, 200, 503] == [before.status, at_the_edge.status, after.status]
    assert "30" == after.headers["Retry-After"]


def test_a_fault_inside_is_the_operators_to_know(open_town: Town) -> None:
    """The public gets a 500 in the spec's shape without a word of what it was."""
    broken = Report(
        id="x", closed=True, service=Service(code="c", name="n", group="g"), requested=None,  # type: ignore[arg-type]
        updated=datetime.now(UTC), place="", place_code="",
    )  # fmt: skip
    gallery = Gallery(
        Away(), open_town.settings.choices, b"k", days=1, refresh=1,
        clock=lambda: datetime.now(UTC), notice=lambda _: None,
    )  # fmt: skip
    gallery._newest = Snapshot(
        taken=datetime.now(UTC), services={}, reports=(broken,), by_id={"x": broken}
    )
    troubled: list[Text] = []
    with published(open_town.settings, gallery, troubled) as port:
        answer = replace(open_town, port=port).get("/requests/x.json")

    assert (500, 500) == (answer.status, answer.json[0]["code"])
    assert "NoneType" not in answer.body.decode()
    assert ["AttributeError"] == [one.en.partition("(")[2].partition(")")[0] for one in troubled]
