"""Nothing leaves but what the literal list says: every other word of every field stays inside."""

from __future__ import annotations

import json
import re
from datetime import datetime
from xml.etree import ElementTree as ET

from adapters.open311.projection import PUBLIC
from tests.adapters.open311.town import Town
from tests.documents import ROOT
from tests.pki import CITY_110, CITY_12345

RESOURCES = (
    "/discovery", "/services", "/services/NM.H.02.03", "/requests", "/requests?page_size=1",
    "/requests?status=closed", "/requests?service_code=NM.H.02.03", "/requests/{id}",
    # and what is refused
    "/requests?jurisdiction_id=1", "/requests/none", "/services/NM.P.01.02", "/requests?start_date=x", "/nothing",
)  # fmt: skip


def everything(town: Town) -> str:
    """Return all that leaves: every resource in both forms, heads and bodies."""
    found = []
    (one,) = [one for one in town.get("/requests.json").json if one["status"] == "closed"]
    for resource in RESOURCES:
        path, mark, query = resource.format(id=one["service_request_id"]).partition("?")
        for form in ("json", "xml"):
            answer = town.get(f"{path}.{form}{mark}{query}")
            found += [str(answer.headers), answer.body.decode()]
    return "\n".join(found)


def test_no_word_of_any_field_leaves(open_town: Town) -> None:
    """Hundreds of fields crossed between the desks; none of their words is in anything public."""
    crossed = [word for word in open_town.markers.given if word in open_town.crossed]
    told = everything(open_town)

    assert len(crossed) > 200
    assert [] == [word for word in open_town.markers.given if word in told]
    assert "ZX" not in told


def test_no_id_number_or_organisation_leaves(open_town: Town) -> None:
    """Nor does what would lead back to a ticket, a record or a desk."""
    told = everything(open_town)
    inside = [
        *open_town.tickets.values(),
        *(one.organisation for one in (CITY_110, CITY_12345)),
        "2026-03-04",
        "aiohttp",
    ]

    assert [] == [one for one in inside if one in told]


def test_what_is_told_is_the_list_and_no_more(open_town: Town) -> None:
    """Each report has the listed fields, and no time is finer than a day."""
    names = [name for name, _, _ in PUBLIC]
    reports = open_town.get("/requests.json").json

    assert [names] * len(reports) == [list(one) for one in reports]
    for one in reports:
        for name in ("requested_datetime", "updated_datetime"):
            assert "00:00:00+08:00" == datetime.fromisoformat(one[name]).timetz().isoformat()
        assert re.fullmatch("[0-9a-f]{20}", one["service_request_id"])


def test_only_what_is_public_is_there(open_town: Town) -> None:
    """Neither the confidential nor the exercise, the police's, the lead, the withheld or the unlisted."""
    reports = open_town.get("/requests.json").json
    services = {one["service_code"] for one in open_town.get("/services.json").json}

    assert [("closed", "140400"), ("open", "140403")] == sorted(
        (one["status"], one["address_id"]) for one in reports
    )
    assert {"NM.H.02.03"} == {one["service_code"] for one in reports}
    assert not any(one.startswith(("NM.P", "NM.I", "NM.F", "XC.P", "NM.H.12.")) for one in services)
    assert len(services) > 100


def test_the_document_lists_what_the_program_lists() -> None:
    """The README's table of public fields is the program's."""
    text = (ROOT / "adapters" / "open311" / "README.md").read_text("utf-8")
    section = text.partition("## Run it")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) (\S+) \|$", section, re.MULTILINE)

    assert [(name, said.en, said.zh) for name, _, said in PUBLIC] == rows


def test_json_and_xml_say_the_same(open_town: Town) -> None:
    """Neither form has a field that the other has not."""
    whole = ET.fromstring(open_town.get("/requests.xml").body)
    as_xml = [{field.tag: field.text for field in row} for row in whole]

    assert json.loads(json.dumps(as_xml)) == open_town.get("/requests.json").json
