"""A police desk over HTTP, linked to the bridge; the hotline beside it is the small desk's."""

from __future__ import annotations

import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from adapters.http.parsing import read_http
from adapters.http.platform import HttpPlatform
from adapters.mapping.parsing import load
from adapters.runner import Runner
from adapters.sqlite_desk import Desk as Hotline
from adapters.sqlite_desk import Said
from adapters.staging.records import Records
from adapters.staging.tables import staged
from tests.adapters.http.desk import OUR_SECRET, OUR_TOKEN, Desk
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110

MAPPING = Path(__file__).with_name("police.toml")


def mapping(link: Link, desk: Desk, changes: dict[str, str]) -> Path:
    """Write the mapping for *desk*, with texts changed."""
    text = MAPPING.read_text(encoding="utf-8").replace("@BASE@", desk.base)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = link.folder / "police.map.toml"
    path.write_text(text, encoding="utf-8")
    return path


@dataclass
class Linked:
    """The adapter and its runner."""

    platform: HttpPlatform
    runner: Runner

    def turn(self) -> int:
        """One turn of the runner's."""
        runner = self.runner
        return runner.collect() + runner.push() + runner.tell() + runner.pull()


@contextlib.contextmanager
def linked(
    link: Link, desk: Desk, changes: dict[str, str] | None = None, folder: str = "http"
) -> Iterator[Linked]:
    """Link the desk, its records in *folder*; *changes* are made to its mapping's text."""
    document = load(mapping(link, desk, changes or {}))
    records = Records(
        link.folder / folder / "records.db", staged(document), lambda: datetime.now(UTC)
    )
    platform = HttpPlatform(read_http(document), records, CITY_110.organisation)
    with platform:
        yield Linked(platform=platform, runner=link.runner(CITY_110, platform))


def offered(hotline: Hotline, runner: Runner) -> Said:
    """Let the hotline offer a matter."""
    ticket = hotline.open_ticket("噪声扰民", "楼上深夜敲打。", matter="NM.P.01.02")
    offer = hotline.offer(ticket.ticket_id, CITY_110.organisation, "属公安职责。")
    exchange_once(runner)
    return offer


def post(
    port: int,
    body: Any,
    *,
    token: str = OUR_TOKEN,
    secret: str = OUR_SECRET,
    tls: ssl.SSLContext | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Send *body* to us as the platform does; return the status and the answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    now = datetime.now(UTC)
    request = urllib.request.Request(
        f"{'https' if tls else 'http'}://127.0.0.1:{port}/exchange/actions",
        raw,
        {
            "Authorization": f"Bearer {token}",
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign("msg_1", now, raw.decode()),
            **(headers or {}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20, context=tls) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())
