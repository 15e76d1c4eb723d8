"""A gateway that knows several addresses reaches whichever bridge answers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adapters.runner import Runner
from adapters.settings import read_gateway
from adapters.spool import Spool
from certs.development import LOG_NAME, Desk
from certs.logkey import create_log_key
from exchange.client import ExchangeClient, Patience
from exchange.config import load_settings
from exchange.errors import BridgeUnavailable, ConfigurationError
from exchange.note import LogKey
from exchange.store import Store, create
from exchange.store.logs import join
from tests.adapters.linked import exchange_once
from tests.attack.city import LinkWithLogs
from tests.pki import CITY_110, CITY_12345, Pki
from tests.postgres import free_port
from tests.server.running import Running, matter, write_settings
from tests.several.nodes import at


@dataclass(kw_only=True)
class SharedLink(LinkWithLogs):
    """A link whose gateways know the address of every bridge."""

    bridges: list[Running]

    def config(self, party: Desk) -> Path:
        """Write the configuration; see `Link.config`."""
        path = super().config(party)
        ports = ", ".join(f"127.0.0.1:{bridge.port}" for bridge in self.bridges)
        said = path.read_text("utf-8").replace(f"127.0.0.1:{self.bridge.port}", ports)
        path.write_text(said, "utf-8")
        return path


@pytest.fixture
def linked(pki: Pki, tmp_path: Path, own_url: str) -> Iterator[tuple[list[Running], SharedLink]]:
    """Give two bridges that share a database, and a link whose gateways trust both logs."""
    create(own_url)
    first = replace(load_settings(write_settings(pki, tmp_path)), database=own_url)
    Store.open(own_url, LogKey.load(first.log_key)).close()
    key, verifier = create_log_key(tmp_path / "second", LOG_NAME.replace("/1", "/2"))
    join(own_url, LogKey.load(key))
    name = LogKey.load(key).name
    second = replace(first, origin=name, log_key=key, database=at(own_url, 1))
    bridges = [Running(first), Running(second)]
    for bridge in bridges:
        bridge.start()
    with SharedLink(
        pki=pki, bridge=bridges[0], folder=tmp_path, logs=[verifier], bridges=bridges
    ) as link:
        yield bridges, link
    for bridge in bridges:
        bridge.stop()


def test_calls_go_on_when_the_bridge_that_was_asked_is_gone(
    linked: tuple[list[Running], SharedLink],
) -> None:
    """In one try: a push, a long pull and its acknowledgement; a log's name tells who answered."""
    bridges, link = linked
    with link.client(CITY_12345) as hotline, link.client(CITY_110) as police:
        first = hotline.push(matter())
        bridges[0].stop()
        second = hotline.push(matter())
        for results, bridge in ((first, bridges[0]), (second, bridges[1])):
            for result in results:
                assert result.stored is not None
                note = result.stored.note.decode()
                assert note.startswith(bridge.settings.origin + "\n")
        with pytest.raises(BridgeUnavailable):  # who waits is told, and asks again
            police.pull(wait=timedelta(seconds=30))
        delivered = police.pull(wait=timedelta(seconds=30))
        assert 4 == len(delivered)
        bridges[1].stop()
        with pytest.raises(BridgeUnavailable, match=r"127\.0\.0\.1"):
            hotline.push(matter())


def test_an_empty_address_is_an_error(linked: tuple[list[Running], SharedLink]) -> None:
    """The text says how several are written."""
    _, link = linked
    files = replace(read_gateway(link.config(CITY_110)), target="127.0.0.1:1,,127.0.0.1:2")
    with pytest.raises(ConfigurationError, match="commas between"):
        ExchangeClient.dial(files)


def test_another_bridge_is_told_everything_once_and_not_at_every_change(
    linked: tuple[list[Running], SharedLink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway cannot know a joined log from one that a restored bridge began; it remembers both."""
    bridges, link = linked
    told: list[int] = []
    again = Spool.push_all_again

    def count(spool: Spool, now: datetime) -> int:
        told.append(again(spool, now))
        return told[-1]

    monkeypatch.setattr(Spool, "push_all_again", count)
    desk, runner = link.linked(CITY_12345)
    for turn in (0, 1, 0, 1):
        bridges[1 - turn].stop()
        bridges[turn].start(port=bridges[turn].port)
        opened = desk.open_ticket(f"示例 {turn}", "示例内容。", matter="NM.P.01.02")
        desk.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。")
        exchange_once(runner)
        if len(told) == 1:  # remembered across restarts of the gateway
            runner = Runner(desk, runner.spool, link.client(CITY_12345))
    exchange_once(runner)

    assert 1 == len(told)
    assert not runner.spool.status().waiting


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")
def test_a_balancer_in_tcp_mode_leads_to_whichever_runs(
    linked: tuple[list[Running], SharedLink],
) -> None:
    """By the file in deploy/, with our addresses in it; a bridge that ends is left out."""
    bridges, link = linked
    file, front = link.folder / "haproxy.cfg", free_port()
    said = (Path(__file__).parents[2] / "deploy" / "haproxy.cfg").read_text("utf-8")
    said = said.replace(":5110\n", f"127.0.0.1:{front}\n", 1)
    for number, bridge in enumerate(bridges, 1):
        place = f"127.0.0.1:{bridge.port}"
        said = said.replace(f"bridge{number}.example:5110", place)
    file.write_text(said, "utf-8")
    patient = Patience(attempts=8, deadline=timedelta(seconds=20))
    with subprocess.Popen(["haproxy", "-q", "-db", "-f", str(file)]) as balancer:
        files = replace(read_gateway(link.config(CITY_12345)), target=f"127.0.0.1:{front}")
        with ExchangeClient.dial(files, patience=patient) as hotline:
            results = hotline.push(matter())
            bridges[0].stop()
            results += hotline.push(matter())
            bridges[0].start(port=bridges[0].port)
            bridges[1].stop()
            results += hotline.push(matter())
        balancer.terminate()

    assert all(result.stored is not None for result in results)
    origins = {result.stored.note.decode().split("\n")[0] for result in results if result.stored}
    assert origins == {bridge.settings.origin for bridge in bridges}
