"""The relay as a process: killed, with either bridge, in the middle of the work; and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.relay.__main__ import main
from exchange.cli.root import run as exchange_command
from tests.adapters.kills import Process, Work, bridge, ended
from tests.adapters.province import (
    COUNTY_110,
    RELAY,
    Papers,
    Province,
    Site,
    standing,
    write_site,
)
from tests.adapters.relay.test_crossing import rows
from tests.pki import CITY_12345

pytestmark = pytest.mark.slow


def relay_toml(province: Province) -> Path:
    """Write the relay's configuration; return its path."""
    for site in (province.county, province.city):
        province.gateway(RELAY, site, "relay")
    path = province.folder / "relay.toml"
    path.write_text(
        'lower = "county/relay.toml"\nupper = "city/relay.toml"\nfolder = "relay"\n', "utf-8"
    )
    return path


def sites(papers: Papers, folder: Path) -> tuple[Site, Site]:
    """Write both bridges' configurations."""
    county = write_site(papers, folder / "county", city=False, lease_seconds=1)
    return county, write_site(papers, folder / "city", city=True, lease_seconds=1)


def test_whatever_is_killed_nothing_is_lost_or_doubled(
    papers: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL of relay, county bridge, city bridge and all three, while matters cross both ways."""
    county_site, city_site = sites(papers, tmp_path)
    county_bridge, city_bridge = bridge(county_site), bridge(city_site)
    province = Province(papers=papers, folder=tmp_path, county=county_site, city=city_site)
    carrier = Process(
        ["adapters.relay", "run", "--config", str(relay_toml(province))], folder=tmp_path
    )
    everything = (carrier, county_bridge, city_bridge)
    with ended(*everything), province.stack:
        carrier.start()
        county = province.post(COUNTY_110, county_site)
        city = province.post(CITY_12345, city_site)
        work = Work(county, city)
        work.begin(6)

        def again(*processes: Process) -> None:
            for process in processes:
                process.kill()
            for process in reversed(processes):
                process.start()

        work.until_closed(
            [
                lambda: again(carrier),
                lambda: again(county_bridge),
                lambda: work.begin(2),
                lambda: again(*everything),
            ]
        )
        tickets = set(work.handoffs.values())
        assert len(tickets) == 8
        for ticket in tickets:
            assert standing(county, ticket) == standing(city, ticket)
        # open, offer, take, result, close and close_ticket of each, once at either bridge.
        assert [[(48,)], [(48,)]] == [
            rows(site, "SELECT count(*) FROM message") for site in (county_site, city_site)
        ]
    for site in (county_site, city_site):
        province.verified(site, capsys)


def test_what_it_says_of_itself(
    papers: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status in both languages and as JSON: fine, failing with the reason, and not running."""
    county_site, city_site = sites(papers, tmp_path)
    province = Province(papers=papers, folder=tmp_path, county=county_site, city=city_site)
    county_bridge, city_bridge = bridge(county_site), bridge(city_site)
    config = str(relay_toml(province))
    assert main(["status", "--config", config, "--lang", "en"]) == 1
    assert "nothing has run with this configuration yet" in capsys.readouterr().err
    with ended(county_bridge, city_bridge):
        run = subprocess.Popen(
            [sys.executable, "-m", "adapters.relay", "run", "--config", config, "--lang", "en"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert run.stderr is not None
            said = [run.stderr.readline() for _ in range(3)]
            assert "The relay joins" in said[0]
            assert {"up: linked", "down: linked"} == {
                line.split(" ", 1)[1][: line.split(" ", 1)[1].index(" with")] for line in said[1:]
            }
            assert main(["status", "--config", config, "--lang", "en"]) == 0
            assert "passed on" in capsys.readouterr().out
            assert main(["status", "--config", config, "--lang", "zh"]) == 0
            assert "滞后 0 秒" in capsys.readouterr().out
            assert shown(province, capsys, config)[0] == 0
            city_bridge.kill()
            lost = run.stderr.readline()
            assert "It is tried again by itself" in lost
            assert main(["status", "--config", config, "--json"]) == 1
            facts = json.loads(capsys.readouterr().out)
            assert facts["running"]
            assert any(facts[way]["error"] for way in ("up", "down"))
            code, screen = shown(province, capsys, str(tmp_path / "relay"))
            assert code == 1
            assert "it fails: " in screen
        finally:
            run.terminate()
            rest = run.communicate(timeout=60)[1]
        assert run.returncode == 0
        assert "stopped: 0 messages passed on" in rest
    facts["time"] = "2026-01-01T00:00:00+00:00"
    (tmp_path / "relay" / "relay.json").write_text(json.dumps(facts), encoding="utf-8")
    assert main(["status", "--config", config, "--lang", "en"]) == 1
    assert "The relay does not run" in capsys.readouterr().out
    code, screen = shown(province, capsys, config, "--json")
    (row,) = json.loads(screen)
    assert code == 1
    assert ("relay", False, set(facts["up"])) == (
        row["adapter"],
        row["running"],
        set(row["ways"]["up"]),
    )
    assert row["errors"]


def shown(
    province: Province, capsys: pytest.CaptureFixture[str], place: str, *more: str
) -> tuple[int, str]:
    """Return what ``exchange adapter status`` says of the relay, and its exit code."""
    return province.shell(capsys, "adapter", "status", place, *more)


def test_a_file_that_configures_neither_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and what may be named."""
    path = tmp_path / "other.toml"
    path.write_text('lower = "a.toml"\n', encoding="utf-8")

    assert exchange_command(["adapter", "status", str(path)], {"EXCHANGE_LANG": "en"}) == 2
    assert "the configuration of a relay or ferry" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lower = 'a.toml'\n", "'folder' is missing"),
        ("lower = 'a'\nupper = 'b'\nfolder = 'c'\nuper = 'd'\n", "'uper' is not known here"),
        ("lower = \n", "cannot be read: line 1"),
        ("lower = 'a'\nupper = 'b'\nfolder = 'c'\n", "a.toml"),
    ],
)
def test_a_wrong_configuration_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """The key at fault, or the file that is not there."""
    path = tmp_path / "relay.toml"
    path.write_text(text.replace("'a'", "'a.toml'"), encoding="utf-8")

    assert main(["status", "--config", str(path), "--lang", "en"]) == 1
    assert said in capsys.readouterr().err
