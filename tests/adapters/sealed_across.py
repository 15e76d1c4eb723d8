"""A matter whose words are sealed crosses two bridges, by whatever carries it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from certs.development import Desk as Party
from exchange.acts import Kind
from exchange.cli.root import run
from exchange.client import ExchangeClient, IncomingMessage, OutgoingMessage, read_gateway
from tests.adapters.province import COUNTY_110, ONCE, Province, Site
from tests.pki import CITY_12345
from tests.server.running import matter

WORDS = ("马三立", "南京路九号井盖缺失", "已补装完毕")


GROUPS = 'open_ticket = ["person", "content"]\nresult = ["disposal"]\n'


def gateway(province: Province, party: Party, site: Site, groups: str = GROUPS) -> Path:
    """Write the configuration of a gateway that seals, make its key, and have it published at both bridges."""
    path = province.gateway(party, site)
    text = path.read_text("utf-8")
    keys = f"{party.organisation}-keys"
    text += f'\n[sealing]\nkeys = "{keys}"\n[sealing.groups]\n'
    text += groups
    path.write_text(text, "utf-8")
    assert run(["sealing", "make", "--config", str(path)], {}) == 0
    for one in (province.county, province.city):
        folder = one.folder / "sealing-keys"
        folder.mkdir(exist_ok=True)
        for statement in (path.parent / keys).glob("*.sealing"):
            shutil.copy(statement, folder)
    return path


def came(client: ExchangeClient, carry: Callable[[], int], kind: Kind) -> IncomingMessage:
    """Carry until a message of *kind* has come."""
    for _ in range(20):
        carry()
        for item in client.pull():
            if isinstance(item, IncomingMessage) and item.message.kind is kind:
                return item
    raise AssertionError(kind)


def cross(province: Province, carry: Callable[[], int]) -> None:
    """Let the county open and offer, the city take and give its result; the words are read by the two alone."""
    county_config = gateway(province, COUNTY_110, province.county)
    city_config = gateway(province, CITY_12345, province.city)
    opening, offer = matter(to=CITY_12345)
    groups = {**opening.groups, "person": {"name": WORDS[0]}, "content": {"content": WORDS[1]}}
    police = {
        "kind": 2,
        "region": COUNTY_110.region,
        "first_receiver": COUNTY_110.organisation,
        "matter": "NM.H.01.01",
    }
    opening = replace(opening, act={**opening.act, **police}, groups=groups)
    offer = replace(offer, act={**offer.act, "matter": "NM.H.01.01"})
    with (
        ExchangeClient.dial(read_gateway(county_config), patience=ONCE) as county,
        ExchangeClient.dial(read_gateway(city_config), patience=ONCE) as city,
    ):
        results = county.push([opening, offer])
        assert all(one.stored for one in results), results
        opened = came(city, carry, Kind.OPEN_TICKET)
        assert (opened.groups["person"]["name"], opened.groups["content"]["content"]) == WORDS[:2]
        take = OutgoingMessage(
            kind=Kind.TAKE,
            ticket_id=opening.ticket_id,
            handoff_id=offer.handoff_id,
            recipient=COUNTY_110.organisation,
            created=datetime.now(UTC),
            record="take",
            previous=results[1].digest,
        )
        (taken,) = city.push([take])
        done = replace(
            take,
            kind=Kind.RESULT,
            previous=taken.digest,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": WORDS[2]}},
        )
        assert city.push([done])[0].stored
        assert came(county, carry, Kind.RESULT).groups["disposal"]["content"] == WORDS[2]
    for site in (province.county, province.city):
        held = b"".join(path.read_bytes() for path in site.folder.glob("bridge.db*"))
        assert opening.ticket_id.encode() in held
        assert [word for word in WORDS if word.encode() in held] == []
