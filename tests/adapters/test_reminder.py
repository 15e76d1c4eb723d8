"""Ringing on arrival: bell, command and webhook, louder for urgent matters, and never personal data."""

from __future__ import annotations

import argparse
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from adapters.found import start_of
from adapters.reminder import Reminder, reminding
from adapters.sqlite_desk import Desk
from exchange.acts import Urgency
from exchange.client import IncomingMessage
from exchange.errors import ConfigurationError
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345

SECRET = "whsec_YmVsbC1vZi10aGUtdGVzdHM="


class Bell(HTTPServer):
    """Hears what rings."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Ringing)
        self.heard: list[tuple[bytes, dict[str, str]]] = []
        self.status = 204


class Ringing(BaseHTTPRequestHandler):
    """Notes each call."""

    server: Bell

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((raw, dict(self.headers)))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()


@pytest.fixture
def bell() -> Iterator[Bell]:
    """A bell at an address."""
    server = Bell()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def arrived(link: Link, hotline: Desk, urgency: Urgency) -> IncomingMessage:
    """Return a message of the hotline's that has come, as urgent as said."""
    runner = link.runner(CITY_12345, hotline)
    ticket = hotline.open_ticket("噪声扰民", "楼上深夜敲打。", matter="NM.P.01.02")
    hotline.offer(ticket.ticket_id, CITY_110.organisation, "属公安职责。", urgency=urgency)
    exchange_once(runner)
    items = link.client(CITY_110).pull()
    found = [
        one for one in items if isinstance(one, IncomingMessage) and one.message.urgency is urgency
    ]
    return found[-1]


@pytest.mark.parametrize(
    ("urgency", "rings"), [(Urgency.ROUTINE, 1), (Urgency.URGENT, 3), (Urgency.IMMEDIATE, 6)]
)
def test_a_webhook_rings_louder_for_what_is_urgent(
    link: Link, bell: Bell, urgency: Urgency, rings: int
) -> None:
    """Signed, with the facts that a person needs to look and none of the citizen's."""
    item = arrived(link, link.desk(CITY_12345), urgency)
    stream = io.StringIO()
    url = f"http://127.0.0.1:{bell.server_address[1]}/bell?desk=1"
    Reminder(stream, webhook=url, secret=SECRET)(item)

    ((raw, headers),) = bell.heard
    told = Webhook(SECRET).verify(raw, headers)
    assert rings == told["rings"] == stream.getvalue().count("\a")
    assert urgency.name.lower() == told["urgency"]
    assert item.message.ticket_id == told["ticket"]
    assert {"type", "kind", "urgency", "ticket", "handoff", "author", "rings"} == {*told}
    assert "深夜" not in json.dumps(told, ensure_ascii=False)


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_webhook_that_nobody_hears_is_said(link: Link, bell: Bell, status: int) -> None:
    """Another status than 2xx is a failure, which the runner notes; a redirect is not followed."""
    bell.status = status
    item = arrived(link, link.desk(CITY_12345), Urgency.ROUTINE)
    with pytest.raises(OSError, match=f"HTTP {status}"):
        Reminder(None, webhook=f"http://127.0.0.1:{bell.server_address[1]}/")(item)
    assert 1 == len(bell.heard)


def test_a_webhook_that_is_none_is_refused_at_once() -> None:
    """Before anything runs."""
    with pytest.raises(ConfigurationError, match="must be a URL"):
        Reminder(None, webhook="desk.example/bell")


@pytest.mark.parametrize("name", ["folder", "http", "jsonl", "table"])
def test_each_adapter_rings_by_command_and_webhook(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever links a platform chooses among bell, command and webhook, whatever the platform is."""
    with pytest.raises(SystemExit, match="0"):
        start_of(name)(["--help"])
    said = capsys.readouterr().out

    assert "--remind 'COMMAND ARGUMENTS'" in said
    assert "--ring URL" in said


def test_a_webhook_that_cannot_be_signed_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the first message comes and nobody hears of it."""
    monkeypatch.setattr("adapters.reminder.find_spec", lambda _name: None)
    given = argparse.Namespace(remind=[], ring="https://desk.example/bell")
    monkeypatch.setenv("EXCHANGE_RING_SECRET", SECRET)

    with pytest.raises(ConfigurationError, match=r"hotline-exchange\[http\]"):
        reminding(given, None, "en")
