"""What a publisher is started with: one TOML file in the site's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.open311.projection import PLACES, TIMES, Choices
from exchange.divisions import well_formed
from exchange.errors import ConfigurationError, DataError
from exchange.reading import Table
from exchange.text import Language, Text

#: The bounds of every number: the least and the most.
BOUNDS: Mapping[str, tuple[int, int]] = {
    "days": (1, 3650),
    "refresh": (10, 86_400),
    "per_minute": (1, 100_000),
}
_LANGUAGES: Mapping[str, Language] = {"zh": "zh", "en": "en"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The site's choices; *days* that are public, *refresh* seconds between two looks at the bridge."""

    choices: Choices
    #: Where the public finds it, and whom it may ask: both stand in the discovery file.
    address: str
    contact: str
    host: str
    port: int
    days: int
    refresh: int
    per_minute: int
    #: The one reverse proxy whose ``X-Forwarded-For`` is believed; empty for none.
    proxy: str


def read_settings(path: Path) -> Settings:
    """Return what *path* says; raises `ConfigurationError` naming the key at fault."""
    try:
        table = Table.read(path)
        host, port = _listen(table)
        found = Settings(
            choices=_choices(table),
            address=_address(table),
            contact=table.text("contact"),
            host=host,
            port=port,
            days=_number(table, "days", 365),
            refresh=_number(table, "refresh", 900),
            per_minute=_number(table, "per_minute", 120),
            proxy=table.text("proxy", ""),
        )
        table.done()
    except DataError as error:
        raise ConfigurationError(error.text, **error.facts) from error
    return found


def _choices(table: Table) -> Choices:
    jurisdiction = table.text("jurisdiction")
    if not well_formed(jurisdiction):
        raise table.fault("jurisdiction", _NO_DIVISION)
    zone = table.text("zone", "Asia/Shanghai")
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise table.fault("zone", _NO_ZONE) from error
    return Choices(
        jurisdiction=jurisdiction,
        zone=found,
        times=table.one_of("times", TIMES, "day"),
        place=table.one_of("place", PLACES, "county"),
        withhold=frozenset(table.words("withhold", ())),
        language=_LANGUAGES[table.one_of("language", _LANGUAGES, "zh")],
    )


def _listen(table: Table) -> tuple[str, int]:
    host, colon, port = table.text("listen", "127.0.0.1:8311").rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise table.fault("listen", _NO_ADDRESS)
    return host.strip("[]"), int(port)


def _address(table: Table) -> str:
    address = table.text("address").rstrip("/")
    try:
        place = urlsplit(address)
        known = place.scheme in {"http", "https"} and bool(place.hostname)
    except ValueError:
        known = False
    if not known:
        raise table.fault("address", _NO_URL)
    return address


def _number(table: Table, key: str, default: int) -> int:
    least, most = BOUNDS[key]
    number = table.integer(key, default)
    if not least <= number <= most:
        raise table.fault(key, _OUT_OF_BOUNDS.fill(least=least, most=most))
    return number


_NO_DIVISION = Text(
    en="is no division code; give 6, 9 or 12 digits, such as 140400.",
    zh="不是行政区划代码，应为 6、9 或 12 位数字，例如 140400。",
)
_NO_ZONE = Text(
    en="there is no such time zone; write one such as Asia/Shanghai.",
    zh="没有该时区；例如 Asia/Shanghai。",
)
_NO_ADDRESS = Text(
    en="is no address to listen at; write one such as 127.0.0.1:8311.",
    zh="不是监听地址；例如 127.0.0.1:8311。",
)
_NO_URL = Text(
    en="is no URL; write what the public will call, such as https://open.example/open311/v2.",
    zh="不是网址；请写公众访问的地址，例如 https://open.example/open311/v2。",
)
_OUT_OF_BOUNDS = Text(en="must be {least} to {most}.", zh="须为 {least} 至 {most}。")
