"""Tickets of every sort, each field of them holding a word of its own, and a publisher beside them."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

from adapters.open311.projection import Choices
from adapters.open311.serving import Serving, serve
from adapters.open311.settings import Settings, read_settings
from adapters.open311.snapshot import Gallery
from adapters.settings import own_secret, read_gateway
from exchange.acts import Classification, Kind, Marker
from exchange.client import Reader
from exchange.client.shapes import Shape, group_shape, groups_allowed
from exchange.text import Text
from exchange.wire.shapes import message_violations
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345

SETTINGS = """
jurisdiction = "140400"
address = "https://open.example/open311/v2"
contact = "open@city.example"
listen = "127.0.0.1:0"
withhold = ["NM.H.12"]
refresh = 60
per_minute = 100000
{more}
"""

#: A day in the past that no other time of a ticket has.
_MOMENT = "2026-03-04T05:06:07Z"

#: Groups that say what such a ticket has not: a work order has none of the police's own, and danger or
#: an emergency makes another matter of it; an attachment is either here or elsewhere.
_APART = frozenset({"police", "hazard", "emergency", "attachment"})


class Markers:
    """Gives out words that nothing else holds, and remembers them."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def word(self, room: int) -> str:
        """Return a new word; of less room than it takes, nothing."""
        word = f"ZX{len(self.given):04}QV"
        if room and room < len(word):
            return ""
        self.given.append(word)
        return word

    def groups(self, kind: Kind) -> dict[str, dict[str, Any]]:
        """Return every group that may stand with *kind*, every field of it filled."""
        found = {
            name: self._object(group_shape(name))
            for name in groups_allowed(kind)
            if name not in _APART
        }
        header = {
            "message_id": "00000000-0000-8000-8000-000000000000",
            "ticket_id": "00000000-0000-8000-8000-000000000000",
            "author": CITY_110.organisation,
            "create_time": _MOMENT,
            "marker": 1,
            "classification": 1,
            "urgency": 1,
        }
        # What a field's own rule (a code, a number) does not allow is left empty.
        while wrong := [
            one.field
            for one in message_violations(header, found)
            if one.field.partition(".")[0].partition("[")[0] in found
        ]:
            for path in wrong:
                _remove(found, path)
        return found

    def _object(self, shape: Shape) -> dict[str, Any]:
        found = {name: self._value(one) for name, one in shape.fields.items()}
        return {name: value for name, value in found.items() if value not in ("", None)}

    def _value(self, shape: Shape) -> Any:
        single = self._single(shape)
        return [single] if shape.repeated else single

    def _single(self, shape: Shape) -> Any:
        match shape.type:
            case "text":
                return self.word(shape.length)
            case "word":
                return shape.words[0]
            case "truth":
                return True
            case "whole":
                return 1
            case "number":
                return 1.5
            case "time":
                return _MOMENT
            case "duration":
                return "60s"
            case "bytes":
                return base64.b64encode(bytes(shape.length or 4)).decode()
            case _:
                return self._object(shape)


def _remove(groups: dict[str, Any], path: str) -> None:
    """Take out what stands at *path*; where it is missing, or is the only one of a list, what holds it."""
    *above, last = path.replace("[", ".[").split(".")
    at: Any = groups
    for step in above:
        at = at[int(step[1:-1])] if step.startswith("[") else at[step]
    if last.startswith("[") or last not in at:
        _remove(groups, path.rpartition("[" if last.startswith("[") else ".")[0])
    else:
        at.pop(last)


@dataclass
class Answer:
    """What the publisher answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Town:
    """The publisher, and what stands behind it; *tickets* are ids by the name of their story."""

    link: Link
    settings: Settings
    gallery: Gallery
    markers: Markers
    tickets: dict[str, str] = field(default_factory=dict)
    #: What the other desk's database holds of the marked ticket.
    crossed: str = ""
    port: int = 0

    @property
    def root(self) -> str:
        """Where the interface stands."""
        return f"http://127.0.0.1:{self.port}/open311/v2"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for *path* below the root."""
        request = urllib.request.Request(self.root + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as found:
                return Answer(found.status, found.headers, found.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


@contextmanager
def town(link: Link) -> Iterator[Town]:
    """Let both desks live through every story, then publish."""
    markers = Markers()
    tickets, crossed = _stories(link, markers)
    path = link.folder / "open311.toml"
    path.write_text(SETTINGS.format(more=""), "utf-8")
    settings = read_settings(path)
    key = own_secret(link.folder / "open311" / "public.key")
    with Reader.dial(read_gateway(without_signer(link))) as bridge:
        gallery = gallery_of(bridge, settings.choices, key)
        gallery.renew()
        found = Town(link, settings, gallery, markers, tickets, crossed)
        with published(settings, gallery) as port:
            found.port = port
            yield found


def without_signer(link: Link) -> Path:
    """Return the hotline's configuration on a machine that has no signer key."""
    path = link.config(CITY_12345)
    text = path.read_text("utf-8").replace("signer_key = ", 'signer_key = "nowhere.key" # ')
    text = text.replace("signer_chain = ", 'signer_chain = "nowhere.pem" # ')
    own = link.folder / "reader.toml"
    own.write_text(text, "utf-8")
    return own


def gallery_of(bridge: Reader, choices: Choices, key: bytes) -> Gallery:
    """Return a gallery that nobody renews by itself."""
    return Gallery(
        bridge, choices, key, days=365, refresh=60, clock=utc_now, notice=lambda _failure: None
    )


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@contextmanager
def published(
    settings: Settings, gallery: Gallery, troubled: list[Text] | None = None
) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    serving = Serving(
        settings,
        gallery,
        clock=utc_now,
        troubled=(troubled if troubled is not None else []).append,
    )
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    listens = threading.Event()

    def ready(port: int) -> None:
        ports.append(port)
        listens.set()

    task = loop.create_task(serve(settings, serving, ready))
    thread = threading.Thread(target=loop.run_until_complete, args=(_ended(task),))
    thread.start()
    try:
        assert listens.wait(60)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, return_exceptions=True)


def with_choices(settings: Settings, **choices: Any) -> Settings:
    """Return *settings* with other choices."""
    return replace(settings, choices=replace(settings.choices, **choices))


def _stories(link: Link, markers: Markers) -> tuple[dict[str, str], str]:
    (hotline, one), (police, two) = link.linked(CITY_12345), link.linked(CITY_110)
    to_hotline, to_police = CITY_12345.organisation, CITY_110.organisation

    def opened(desk: Any, matter: str, **more: Any) -> str:
        title, content = markers.word(0), markers.word(0)
        return str(desk.open_ticket(title, content, matter=matter, **more).ticket_id)

    tickets = {
        "closed": opened(police, "NM.H.02.03", groups=markers.groups(Kind.OPEN_TICKET)),
        "open": opened(police, "NM.H.02.03", region="140403"),
        "confidential": opened(police, "NM.H.02.03", classification=Classification.CONFIDENTIAL),
        "exercise": opened(police, "NM.H.02.03", marker=Marker.EXERCISE),
        "withheld": opened(police, "NM.H.12.04"),
        "police": opened(hotline, "NM.P.01.02"),
        "lead": opened(hotline, "NM.H.16.03"),
        "unlisted": opened(hotline, ""),
    }
    handoffs = {}
    for name in ("closed", "open", "confidential", "exercise", "withheld"):
        groups = markers.groups(Kind.OFFER) if name == "closed" else {}
        said = police.offer(tickets[name], to_hotline, markers.word(0), groups=groups)
        handoffs[name] = said.handoff_id
    hotline.offer(tickets["police"], to_police, markers.word(0))
    hotline.offer(tickets["lead"], to_police, markers.word(0), act={"form": "HANDOFF_FORM_LEAD"})
    exchange_once(one, two)
    handoff = handoffs["closed"]
    hotline.say(Kind.TAKE, handoff, markers.word(0))
    hotline.say(Kind.PROGRESS, handoff, groups=markers.groups(Kind.PROGRESS))
    hotline.say(Kind.RESULT, handoff, groups=markers.groups(Kind.RESULT))
    exchange_once(one, two)
    police.say(Kind.CLOSE, handoff, groups=markers.groups(Kind.CLOSE))
    police.close_ticket(tickets["closed"], markers.word(0))
    exchange_once(one, two)
    refused = [
        (row["kind"], row["detail"])
        for desk in (hotline, police)
        for row in desk.db.rows(
            "SELECT kind, detail FROM event WHERE answer IN ('refused', 'dropped')"
        )
    ]
    assert not refused, refused
    rows = hotline.db.rows("SELECT * FROM event WHERE ticket_id = ?", tickets["closed"])
    return tickets, "\n".join(map(_told, rows))


def _told(row: Mapping[str, Any]) -> str:
    return "\n".join(str(value) for value in row.values())
