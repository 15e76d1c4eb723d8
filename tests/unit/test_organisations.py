"""Organisation codes, directions, and the site register with its mistakes."""

from __future__ import annotations

from datetime import date
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc

from exchange.errors import DataError, NotFound
from exchange.organisations import (
    Direction,
    Organisation,
    Register,
    Service,
    code_problem,
    is_credit_code,
    is_police_code,
    load_register,
)
from exchange.text import Text

TODAY = date(2026, 11, 1)
CITY_HOTLINE = "1132050701411234XR"
LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def credit_code(body: str) -> str:
    """Return *body* (17 characters) with its check character."""
    return body + uscc.calc_check_digit(body)


def test_credit_codes_are_judged_by_their_check_character() -> None:
    """One wrong character anywhere is found."""
    assert is_credit_code(CITY_HOTLINE)
    for position in range(18):
        wrong = "0" if CITY_HOTLINE[position] != "0" else "1"
        assert not is_credit_code(CITY_HOTLINE[:position] + wrong + CITY_HOTLINE[position + 1 :])


@given(st.text(LETTERS, min_size=2, max_size=2), st.text(LETTERS, min_size=9, max_size=9))
def test_authorities_may_be_letters(authority: str, body: str) -> None:
    """Positions 1 and 2 may be letters (农村集体经济组织 N…), which python-stdnum refuses."""
    code = credit_code(authority + "320507" + body)
    assert is_credit_code(code)
    assert uscc.is_valid(code) == authority.isdecimal()


@pytest.mark.parametrize("code", ["N2320507MF1234567", "I1320507014112341", "11A205070141123411"])
def test_malformed_credit_codes_are_refused(code: str) -> None:
    """Too short, a letter outside the alphabet, or letters in the region are no credit code."""
    assert not is_credit_code(code)
    assert code_problem(code, TODAY) is not None


def test_police_codes_need_a_division_in_force() -> None:
    """The first six characters are a division valid on the day; the rest may be letters."""
    assert is_police_code("140400000000", TODAY)
    assert is_police_code("3205075600A1", TODAY)
    assert not is_police_code("140402000000", TODAY)
    assert is_police_code("140402000000", date(2015, 1, 1))
    problem = code_problem("140402000000", TODAY)
    assert problem is not None
    assert "140402" in problem.en


def test_directions_follow_the_services() -> None:
    """The hotline and its member units are one end, the police the other; 119 is neither."""
    assert Direction.between(Service.DEPARTMENT, Service.POLICE) is Direction.HOTLINE_TO_POLICE
    assert Direction.between(Service.POLICE, Service.HOTLINE) is Direction.POLICE_TO_HOTLINE
    assert Direction.between(Service.POLICE, Service.POLICE) is Direction.WITHIN
    assert Direction.between(Service.HOTLINE, Service.UTILITY) is Direction.WITHIN
    assert Direction.between(Service.POLICE, Service.FIRE) is Direction.WITHIN


def test_a_register_remembers_the_right_direction() -> None:
    """Of every pair of services, both ways, asked for again, and of unregistered codes."""
    codes = {service: f"{number:06d}" for number, service in enumerate(Service)}
    name = Text(en="Desk", zh="台")
    register = Register(
        Organisation(code=code, name=name, region="320500", network="desk.example", service=service)
        for service, code in codes.items()
    )
    for sender, receiver in [*product(Service, Service)] * 2:
        found = register.direction(codes[sender], codes[receiver])
        assert found is Direction.between(sender, receiver)
    assert register.direction(CITY_HOTLINE, "140400000000") is Direction.HOTLINE_TO_POLICE
    assert register.direction("140400000000", CITY_HOTLINE) is Direction.POLICE_TO_HOTLINE


TOML = """
[[organisation]]
code = "140400000000"
name_zh = "某市公安局"
name_en = "City police"
region = "140400"
network = "police"
service = "110"

[[organisation]]
code = "140403000000"
name_zh = "某区公安分局"
name_en = "District police"
region = "140403"
network = "police"
service = "110"
parent = "140400000000"
"""


def test_a_register_is_read_from_toml(tmp_path: Path) -> None:
    """Names, services and the chain upwards are found by code."""
    path = tmp_path / "register.toml"
    path.write_text(TOML, encoding="utf-8")
    register = load_register(path, on=TODAY)
    assert len(register) == 2
    district = register.require("140403000000")
    assert district.name.zh == "某区公安分局"
    assert [o.code for o in register.above(district.code)] == ["140400000000"]
    assert [o.code for o in register.of_service(Service.POLICE, "140403")] == ["140403000000"]
    assert register.get("140405000000") is None
    with pytest.raises(NotFound, match="140405000000"):
        register.require("140405000000")


def test_a_register_is_read_from_csv(tmp_path: Path) -> None:
    """The same register as a spreadsheet, byte order mark and all."""
    path = tmp_path / "register.csv"
    path.write_text(
        "code,name_zh,name_en,region,network,service,parent\n"
        f"{CITY_HOTLINE},某区热线,District hotline,320507,government,12345,\n",
        encoding="utf-8-sig",
    )
    register = load_register(path, on=TODAY)
    found = register.require(CITY_HOTLINE)
    assert (found.service, found.network, found.parent) == (Service.HOTLINE, "government", "")


def test_with_a_register_only_its_organisations_exist() -> None:
    """A well-formed stranger is refused by a register and passed without one."""
    organisation = Organisation(
        code=CITY_HOTLINE,
        name=Text(en="Hotline", zh="热线"),
        region="320507",
        network="government",
        service=Service.HOTLINE,
    )
    stranger = "140400000000"
    assert Register([organisation]).problem(CITY_HOTLINE, TODAY) is None
    assert Register([organisation]).problem(stranger, TODAY) is not None
    assert Register().problem(stranger, TODAY) is None
    assert Register().problem("not a code", TODAY) is not None


@pytest.mark.parametrize(
    ("change", "key", "hint"),
    [
        (("service", "servce"), "organisation[0].service", "missing"),
        (('service = "110"', 'service = "111"'), "organisation[0].service", "110"),
        (('region = "140403"', 'region = "149999"'), "organisation[1].region", "149999"),
        (('code = "140403000000"', 'code = "140400000000"'), "organisation[1].code", "twice"),
        (('parent = "140400000000"', 'parent = "140499000000"'), "organisation[1].parent", "file"),
        (('network = "police"', 'network = "police"\nfax = "1"'), "organisation[0].fax", "known"),
        (('code = "140403000000"', 'code = "140403"'), "organisation[1].code", "code"),
        (("[[organisation]]", "[[organisations]]"), "organisations", "organisation"),
    ],
)
def test_a_wrong_register_names_the_key(
    tmp_path: Path, change: tuple[str, str], key: str, hint: str
) -> None:
    """Whatever is wrong in the file, its path is in the error."""
    path = tmp_path / "register.toml"
    path.write_text(TOML.replace(*change), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_register(path, on=TODAY)
    assert caught.value.facts["key"] == key
    assert hint in caught.value.text.en
    assert str(path) in caught.value.text.zh


def test_parents_in_a_circle_are_refused(tmp_path: Path) -> None:
    """Two organisations that are each other's parent do not hang the loader."""
    path = tmp_path / "register.toml"
    path.write_text(
        TOML.replace('service = "110"\n\n', 'service = "110"\nparent = "140403000000"\n\n'),
        encoding="utf-8",
    )
    with pytest.raises(DataError, match="circle"):
        load_register(path, on=TODAY)


def test_what_a_register_says_about_reaching_somebody_is_short(tmp_path: Path) -> None:
    """64 characters are taken, one more is named with its key; matters may stand in a CSV with spaces."""
    path = tmp_path / "register.csv"
    head = "code,name_zh,name_en,region,network,service,matters,duty\n"
    row = "140400000000,甲,A,140400,police110.example,110,NM.P.01 NM.F.06.01,"
    path.write_text(head + row + "班" * 64 + "\n", encoding="utf-8")
    (found,) = load_register(path, on=TODAY)
    assert found.matters == ("NM.P.01", "NM.F.06.01")
    assert len(found.duty) == 64
    path.write_text(head + row + "班" * 65 + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"duty'.*: 64 characters at most"):
        load_register(path, on=TODAY)
