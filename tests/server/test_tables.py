"""What a site knows beyond the package's tables: new divisions, villages and holidays, by configuration."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.acts import Kind
from exchange.client.messages import OutgoingMessage
from exchange.config import load_settings
from exchange.errors import ConfigurationError, DataError
from exchange.server.known import open_directory
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, Running, calling, matter, write_settings

TODAY = datetime.now(UTC)
DIVISIONS = "code,name\n140471,示例高新区\n140471001,示例街道\n140471001201,示例村\n"
#: Every day of the next three weeks is a day of rest.
HOLIDAYS = "day,kind,name\n" + "".join(
    f"{(TODAY + timedelta(days=n)).date()},rest,示例节\n" for n in range(1, 22)
)

CODES = """
system = "urn:example:urging"
version = "2026"
title_zh = "督办级别"
title_en = "Levels of urging"
closed = true
codes = [{ code = "A", zh = "一级", en = "First" }]
"""


def configured(
    pki: Pki,
    folder: Path,
    divisions: str = DIVISIONS,
    holidays: str = HOLIDAYS,
    codes: str = CODES,
) -> Path:
    """Write a bridge's configuration that names the site's own tables; return it."""
    (folder / "divisions.csv").write_text(divisions, encoding="utf-8")
    (folder / "holidays.csv").write_text(holidays, encoding="utf-8")
    (folder / "codes.toml").write_text(codes, encoding="utf-8")
    path = write_settings(pki, folder)
    named = """
[tables]
divisions = ["divisions.csv"]
holidays = ["holidays.csv"]
codes = ["codes.toml"]
"""
    path.write_text(path.read_text(encoding="utf-8") + named, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge with tables of its own."""
    bridge = Running(load_settings(configured(pki, tmp_path_factory.mktemp("site"))))
    bridge.start()
    yield bridge
    bridge.stop()


@pytest.fixture
def desk(pki: Pki, site: Running) -> Iterator[Caller]:
    """The city's 12345 desk at that bridge."""
    with calling(pki, site.port, CITY_12345) as caller:
        yield caller


def opened_in(desk: Caller, region: str) -> tuple[str, pb.PushOutcome]:
    """Push a ticket of *region*; return its id and what became of it."""
    opening = matter()[0]
    sealed = desk.sealer.seal([replace(opening, act={**opening.act, "region": region})])
    return sealed[0].ticket_id, desk.push(sealed)[0]


@pytest.mark.parametrize(
    ("region", "name"),
    [
        ("140471001", "山西省长治市示例高新区示例街道"),
        ("140471001201", "山西省长治市示例高新区示例街道示例村"),
    ],
)
def test_a_division_of_the_site_is_accepted_and_named(desk: Caller, region: str, name: str) -> None:
    """What no published table has is a place here, with its own name in every answer."""
    ticket, outcome = opened_in(desk, region)
    assert outcome.WhichOneof("outcome") == "stored"
    answer = desk.tickets.GetTicket(ticket_pb.GetTicketRequest(ticket_id=ticket))
    assert answer.ticket.region.name == name


def test_a_village_is_one_of_its_streets_list(desk: Caller) -> None:
    """A street with villages in the site's file takes no others; other streets take any."""
    _, unknown = opened_in(desk, "140471001202")
    refused = receipt_pb2.RefusedStatement.FromString(unknown.refused.statement)
    assert refused.code == receipt_pb2.REFUSAL_CODE_REGION_UNKNOWN
    _, elsewhere = opened_in(desk, "140403001201")
    assert elsewhere.WhichOneof("outcome") == "stored"


def test_the_directory_lists_what_the_site_added(desk: Caller) -> None:
    """A zone of the site's file stands below its city."""
    request = directory_pb.ListRegionsRequest(parent="140400", page_size=1000)
    found = {one.code: one.name for one in desk.directory.ListRegions(request).regions}
    assert found["140471"] == "示例高新区"
    assert "140403" in found


def test_working_days_leave_out_the_sites_holidays(pki: Pki, site: Running, desk: Caller) -> None:
    """A result that is due in seven working days is due after three weeks of rest."""
    sealed = desk.sealer.seal(matter())
    desk.push(sealed)
    take = OutgoingMessage(
        kind=Kind.TAKE,
        ticket_id=sealed[1].ticket_id,
        handoff_id=sealed[1].handoff_id,
        recipient=CITY_12345.organisation,
        previous=sealed[1].digest,
        created=TODAY,
        message_id=str(uuid.uuid4()),
    )
    with calling(pki, site.port, CITY_110) as police:
        (outcome,) = police.push(police.sealer.seal([take]))
    assert outcome.WhichOneof("outcome") == "stored"
    request = ticket_pb.GetTicketRequest(ticket_id=sealed[0].ticket_id)
    (handoff,) = desk.tickets.GetTicket(request).ticket.handoffs
    assert handoff.due_time.ToDatetime(UTC) > TODAY + timedelta(days=21 + 7)
    assert site.events("serving")[0]["holidays_until"] >= 2026


def coded(code: str, **more: str) -> dict[str, str]:
    """Return a value of the site's table."""
    return {"system": "urn:example:urging", "code": code, **more}


@pytest.mark.parametrize(
    ("form", "level", "fields"),
    [
        (coded("A"), coded("A", version="2026"), []),
        (coded("B"), coded("C", version="2026"), ["header.supervise.form", "supervision.level"]),
        # Another edition, and a system that nobody loaded, are carried as they come.
        (coded("B", version="2031"), {"system": "urn:example:other", "code": "B"}, []),
        (coded("a"), coded("A"), ["header.supervise.form"]),
    ],
)
def test_a_coded_value_stands_in_the_sites_table(
    desk: Caller, form: dict[str, str], level: dict[str, str], fields: list[str]
) -> None:
    """In the signed header and in field groups alike; each field at fault is named, with a hint."""
    opening, offer = matter()
    urging = OutgoingMessage(
        kind=Kind.SUPERVISE,
        ticket_id=offer.ticket_id,
        handoff_id=offer.handoff_id,
        recipient=offer.recipient,
        created=TODAY,
        message_id=str(uuid.uuid4()),
        act={"form": form},
        groups={
            "supervision": {
                "form": "SUPERVISION_FORM_ORDER",
                "level": level,
                "opinion": "请尽快办理。",
            }
        },
    )
    outcome = desk.push(desk.sealer.seal([opening, offer, urging]))[2]
    if not fields:
        assert outcome.WhichOneof("outcome") == "stored"
        return
    refused = receipt_pb2.RefusedStatement.FromString(outcome.refused.statement)
    assert refused.code == receipt_pb2.REFUSAL_CODE_FIELD_INVALID
    assert [one.field for one in refused.violations] == [f"{path}.code" for path in fields]
    assert "urn:example:urging 2026" in refused.violations[0].text.zh


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (CODES.replace("closed", "closd"), r"codes\.toml.*'closed'"),
        (CODES.replace("zh =", "cn ="), r"codes\[0\]\.zh"),
    ],
)
def test_a_wrong_code_table_is_named_before_anything_is_served(
    pki: Pki, tmp_path: Path, codes: str, said: str
) -> None:
    """File and key, in the sentence that ends the start; so are two tables of one edition."""
    path = configured(pki, tmp_path, codes=codes)
    with pytest.raises(DataError, match=said):
        open_directory(load_settings(path), TODAY)
    path = configured(pki, tmp_path)
    twice = path.read_text(encoding="utf-8").replace(
        '["codes.toml"]', '["codes.toml", "codes.toml"]'
    )
    path.write_text(twice, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"urn:example:urging 2026.*keep one"):
        open_directory(load_settings(path), TODAY)


@pytest.mark.parametrize(
    ("divisions", "holidays", "said"),
    [
        ("code,name\n14047,x\n", HOLIDAYS, r"divisions\.csv, line 2: '14047' is no division code"),
        (DIVISIONS, "day,kind,name\n2031-02-30,rest,x\n", r"holidays\.csv, line 2: give day"),
        (DIVISIONS, 'day,kind,name\n"2031' + "x" * 200_000, r"holidays\.csv is no CSV"),
    ],
)
def test_a_wrong_table_is_named_before_anything_is_served(
    pki: Pki, tmp_path: Path, divisions: str, holidays: str, said: str
) -> None:
    """File and line, in the sentence that ends the start."""
    settings = load_settings(configured(pki, tmp_path, divisions, holidays))
    with pytest.raises(DataError, match=said):
        open_directory(settings, TODAY)


@pytest.mark.parametrize(("named", "obliges"), [("changzhi", "changzhi"), ("national", "")])
def test_the_configured_profile_is_the_one_that_offers_pin(
    pki: Pki, tmp_path: Path, named: str, obliges: str
) -> None:
    """A region's profile obliges its tickets; the country's default obliges nobody."""
    path = write_settings(pki, tmp_path)
    path.write_text(f'profile = "{named}"\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    bridge = Running(load_settings(path))
    bridge.start()
    try:
        with calling(pki, bridge.port, CITY_12345) as hotline:
            outcomes = hotline.push(hotline.sealer.seal(matter()))  # it pins national
    finally:
        bridge.stop()
    assert outcomes[0].WhichOneof("outcome") == "stored"
    if not obliges:
        assert outcomes[1].WhichOneof("outcome") == "stored"
        return
    refused = receipt_pb2.RefusedStatement.FromString(outcomes[1].refused.statement)
    assert refused.code == receipt_pb2.REFUSAL_CODE_PROFILE_UNKNOWN
    assert obliges in refused.violations[0].text.zh
