"""Who takes part in the demo: one city for each profile, with its three platforms."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from certs.development import GOVERNMENT, POLICE
from exchange import profile
from exchange.organisations import Service
from exchange.profile import Profile
from exchange.reading import Table, package_data
from exchange.text import Text


class Role(StrEnum):
    """A platform's part in the city."""

    HOTLINE = "hotline"
    POLICE = "police"
    #: A police desk below the city's: a county's or a station's.
    COUNTY = "county"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One platform: an organisation with a database of its own."""

    role: Role
    code: str
    name: Text
    region: str
    network: str
    service: Service
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """One region at work under its profile; *places* are addresses for the invented matters."""

    region: str
    profile: Profile = field(repr=False)
    platforms: dict[Role, Platform]
    places: tuple[str, ...]

    @property
    def name(self) -> str:
        """The profile's name, which is the city's in the demo."""
        return self.profile.name

    def by_code(self, code: str) -> Platform | None:
        """Return the platform of an organisation."""
        return next((p for p in self.platforms.values() if p.code == code), None)


def load_cities() -> dict[str, City]:
    """Return the demo's cities by their profile's name; raises `DataError` naming a wrong key."""
    whole = Table.read(package_data("demo", "cities.toml"))
    found = [_city(row) for row in whole.tables("city")]
    whole.done()
    return {city.name: city for city in found}


def _city(row: Table) -> City:
    rules, region = profile.load(row.text("profile")), row.text("region")
    hotline = _platform(row, Role.HOTLINE, region)
    police = _platform(row, Role.POLICE, region)
    county = _platform(row, Role.COUNTY, region, parent=police.code)
    city = City(
        region=region,
        profile=rules,
        platforms={Role.HOTLINE: hotline, Role.POLICE: police, Role.COUNTY: county},
        places=row.words("places"),
    )
    row.done()
    return city


def _platform(row: Table, role: Role, region: str, parent: str = "") -> Platform:
    table = row.table(role.value)
    hotline = role is Role.HOTLINE
    platform = Platform(
        role=role,
        code=table.text("code"),
        name=table.bilingual("zh", "en"),
        region=table.text("region", region),
        network=GOVERNMENT if hotline else POLICE,
        service=Service.HOTLINE if hotline else Service.POLICE,
        parent=parent,
    )
    table.done()
    return platform
