"""The rules that a log keeps: all that the reckoning needs of the site's, and no more than a line may hold."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from exchange import profile
from exchange.catalog import catalog
from exchange.chain import MAX_LINE, bridge_act, read_act
from exchange.divisions import divisions
from exchange.facts import Site
from exchange.note import LogKey
from exchange.organisations import Direction, Organisation, Register, Service
from exchange.provisions import Citation
from exchange.reckoning import MOST, RECKONING, Rules, read_rules, said_of
from exchange.text import Text
from exchange.workdays import calendar

KEY = LogKey.from_seed("bridge.example/log", bytes(range(32)))


def organisation(code: str, service: Service) -> Organisation:
    """Return an organisation of a register."""
    name = Text(en="one", zh="机构")
    return Organisation(code=code, name=name, region="140400", network="a.example", service=service)


def site(*register: Organisation) -> Site:
    """Return a site with the package's profiles."""
    whole = catalog()
    return Site(
        profiles={(p.name, p.edition): p for p in profile.installed().values()},
        catalogues={whole.edition: whole},
        register=Register(register),
        divisions=divisions(),
    )


def in_a_line(facts: dict[str, Any]) -> dict[str, Any]:
    """Return *facts* as they come out of a signed line of a chain."""
    line = bridge_act(
        facts, KEY.name, (0, b""), datetime.now(UTC), salt="0" * 32, key=KEY.signing_key
    )
    return dict(read_act(line).facts)


def kept(*register: Organisation) -> Rules:
    """Return the rules that a log keeps of the site's."""
    found = read_rules(in_a_line(said_of(site(*register), calendar())))
    assert found is not None
    return found


def test_what_is_kept_reckons_as_the_site_does() -> None:
    """Limits, reminders, visits, working days, and who assesses each matter, in each profile and direction."""
    rules, uncited = kept(), Citation(rule="", seed="")
    for one in profile.installed().values():
        again = rules.profiles[one.name, one.edition]
        assert tuple(replace(rule, citation=uncited) for rule in one.deadlines) == again.deadlines
        assert (one.remind_at_percent, one.visit_after_close) == (
            again.remind_at_percent, again.visit_after_close,
        )  # fmt: skip
        for matter in (*catalog().items, "", "no matter"):
            for direction in Direction:
                assert one.assessor_of(matter, direction) == again.assessor_of(matter, direction)
    assert {Service.POLICE} < {
        again.assessor_of(matter, Direction.HOTLINE_TO_POLICE)
        for again in rules.profiles.values()
        for matter in catalog().items
    }
    assert (calendar().rest, calendar().worked) == (rules.calendar.rest, rules.calendar.worked)


def test_organisations_are_kept_where_their_codes_deceive() -> None:
    """A police office with a credit code, a hotline's with a police code, and who is of neither side."""
    codes = (
        "113205070141497766",
        "320507000000",
        "123205070141497763",
        "12320507000000000X",
        "320507990000",
    )
    services = (Service.POLICE, Service.POLICE, Service.DEPARTMENT, Service.FIRE, Service.UTILITY)
    register = [organisation(*one) for one in zip(codes, services, strict=True)]
    rules, known = kept(*register), site(*register).register

    assert {codes[0], codes[3], codes[4]} == set(rules.services)
    for sender in (*codes, "a stranger to it"):
        for receiver in codes:
            assert known.direction(sender, receiver) == rules.direction(sender, receiver)


def test_more_than_a_line_holds_is_not_said() -> None:
    """Then nothing can be reckoned again, and the act says why; what is said fits a line of a chain."""
    strange = [organisation(f"{number:018}", Service.POLICE) for number in range(2000)]
    facts = said_of(site(*strange), calendar())
    most = {"act": RECKONING, "way": 1, "filled": "x" * (MOST - 44)}

    assert {"act", "way", "why"} == set(facts)
    assert read_rules(in_a_line(facts)) is None
    assert MOST - 10 < len(json.dumps(most, separators=(",", ":"))) <= MOST
    line = bridge_act(
        most, KEY.name, (0, b""), datetime.now(UTC), salt="0" * 32, key=KEY.signing_key
    )
    assert len(line) <= MAX_LINE


def test_what_a_later_version_says_is_not_ours_to_judge() -> None:
    """Another way of reckoning, or facts of another form: nobody says how it was reckoned."""
    facts = said_of(site(), calendar())

    assert read_rules(facts) is not None
    others: tuple[dict[str, Any], ...] = (
        {"way": 2},
        {"profiles": [{}]},
        {"rest": ["soon"]},
        {"services": []},
    )
    for other in others:
        assert read_rules(facts | other) is None
