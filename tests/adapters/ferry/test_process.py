"""The ferry's commands, and two ferries as processes that are killed in the middle of the work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.ferry.__main__ import main
from tests.adapters.ferry.gap import Gap
from tests.adapters.kills import Process, Work, bridge, ended
from tests.adapters.province import (
    CITY,
    COUNTY,
    COUNTY_110,
    RELAY,
    SECOND,
    Papers,
    Province,
    Site,
    standing,
    write_site,
)
from tests.adapters.relay.test_crossing import hand_over, rows
from tests.pki import CITY_12345


def ferry_toml(province: Province, site: Site, **changes: str) -> Path:
    """Write a ferry's configuration beside *site*: each one's outgoing is the other's incoming."""
    us, peer = (RELAY, SECOND) if site is province.county else (SECOND, RELAY)
    out, back = ("up", "down") if site is province.county else ("down", "up")
    gateway = province.gateway(us, site, "ferry")
    values = {
        "gateway": f'"{gateway}"',
        "peer": f'"{peer.organisation}"',
        "outgoing": f'"../{out}"',
        "incoming": f'"../{back}"',
        "quarantine": '"bad"',
        "journal": '"ferry.db"',
        "look_seconds": "1",
        **changes,
    }
    path = site.folder / "ferrying.toml"
    path.write_text(
        "".join(f"{key} = {value}\n" for key, value in values.items() if value), "utf-8"
    )
    return path


@pytest.mark.slow
def test_whatever_is_killed_nothing_is_lost_or_doubled(
    papers: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL of either ferry, either bridge and all of them, while matters cross by files alone."""
    county_site = write_site(
        papers, tmp_path / "county", city=False, relays={RELAY.organisation: CITY}, lease_seconds=1
    )
    city_site = write_site(
        papers, tmp_path / "city", city=True, relays={SECOND.organisation: COUNTY}, lease_seconds=1
    )
    bridges = bridge(county_site), bridge(city_site)
    province = Province(papers=papers, folder=tmp_path, county=county_site, city=city_site)
    ferries = tuple(
        Process(["adapters.ferry", "run", "--config", str(ferry_toml(province, site))],
                folder=site.folder)
        for site in (county_site, city_site)
    )  # fmt: skip
    with ended(*ferries, *bridges), province.stack:
        for one in ferries:
            one.start()
        county = province.post(COUNTY_110, county_site)
        city = province.post(CITY_12345, city_site)
        work = Work(county, city)
        work.begin(4)

        def again(*processes: Process) -> None:
            for process in processes:
                process.kill()
            for process in reversed(processes):
                process.start()

        work.until_closed(
            [
                lambda: again(ferries[0], bridges[1]),
                lambda: work.begin(2),
                lambda: again(*ferries, *bridges),
            ]
        )
        for ticket in set(work.handoffs.values()):
            assert standing(county, ticket) == standing(city, ticket)
        assert [[(36,)], [(36,)]] == [
            rows(site, "SELECT count(*) FROM message") for site in (county_site, city_site)
        ]
    for site in (county_site, city_site):
        province.verified(site, capsys)


def test_one_turn_at_a_time_by_command(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    """`send` here and `receive` there, as a timer would: a matter crosses, and status says so."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    lower, upper = (str(ferry_toml(province, s)) for s in (province.county, province.city))
    assert main(["status", "--config", lower, "--lang", "en"]) == 1
    assert "no ferry has run with this configuration yet" in capsys.readouterr().err
    ticket, _ = hand_over(county)
    for _ in range(3):
        for post in (county, city):
            for step in (post.runner.collect, post.runner.push, post.runner.tell, post.runner.pull):
                step()
        assert main(["send", "--config", lower, "--lang", "en"]) == 0
        assert main(["receive", "--config", upper, "--lang", "en"]) == 0
        assert main(["send", "--config", upper, "--lang", "en"]) == 0
        assert main(["receive", "--config", lower, "--lang", "en"]) == 0
    said = capsys.readouterr().err
    assert "out: bundle 1 with 2 things" in said
    assert "in: bundle 1 with 2 things is at the bridge" in said

    assert standing(county, ticket) == standing(city, ticket)
    for site in (province.county, province.city):
        assert [] == rows(site, "SELECT * FROM mailbox")
    assert main(["status", "--config", lower, "--lang", "en"]) == 0
    assert "out: 1 bundles, 1 confirmed, 0 under way, lag 0 s" in capsys.readouterr().out
    assert main(["status", "--config", upper, "--lang", "zh"]) == 0
    assert "收取：已处理 1 包" in capsys.readouterr().out
    assert main(["status", "--config", upper, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["applied"], facts["missing"], facts["error"]) == (1, [], None)
    code, said = province.shell(capsys, "adapter", "status", lower)
    assert code == 0
    assert "(ferry)\nout: 1 bundles, 1 confirmed" in said


def test_status_says_what_is_wrong(gap: Gap, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle is missing, or the bridge is away: told in both languages, exit status 1."""
    county = gap.lower.province.post(COUNTY_110, gap.lower.site)
    for _ in range(2):
        hand_over(county)
        county.runner.collect()
        county.runner.push()
        gap.lower.ferry.send()
    first, second = sorted(gap.lower.outgoing.iterdir())
    first.unlink()
    gap.upper.incoming.mkdir()
    second.rename(gap.upper.incoming / second.name)
    gap.upper.ferry.turn()
    config = str(gap.upper.config)
    assert main(["status", "--config", config, "--lang", "en"]) == 1
    assert "missing, and asked for: 1" in capsys.readouterr().out
    gap.upper.site.stop()
    gap.upper.ferry.turn()
    assert main(["status", "--config", config, "--lang", "zh"]) == 1
    said = capsys.readouterr().out
    assert "缺失并已请求重发：1" in said
    assert "故障：" in said
    code, said = gap.lower.province.shell(capsys, "adapter", "status", config, "--json")
    (row,) = json.loads(said)
    assert (code, row["adapter"], row["ferry"]["missing"]) == (1, "ferry", [1])
    assert row["errors"]


def test_ctrl_c_ends_it(province: Province) -> None:
    """It says where it works, and ends at once and well."""
    config = ferry_toml(province, province.county, look_seconds="3600")
    run = subprocess.Popen(
        [sys.executable, "-m", "adapters.ferry", "run", "--config", str(config), "--lang", "en"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    first = run.stderr.readline()
    run.terminate()
    run.communicate(timeout=60)

    assert "runs beside the bridge" in first
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peer": ""}, "'peer' is missing"),
        ({"gateway": '"nowhere.toml"'}, "nowhere.toml"),
        ({"bundlebytes": "5"}, "'bundlebytes' is not known here"),
        ({"bundle_bytes": "262143"}, "must be 262144 to 67108864"),
        ({"bundle_bytes": "67108865"}, "must be 262144 to 67108864"),
        ({"repeat_minutes": "0"}, "must be 1 to 10080"),
        ({"look_seconds": '"often"'}, "must be of type int"),
        ({"form": '"yaml"'}, "one of bundle, json, xml"),
        ({"incoming": '"../up"'}, "must be three folders"),
        ({"peer": f'"{RELAY.organisation}"'}, "this ferry's own organisation"),
        ({"journal": "= 1"}, "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_named(
    province: Province, capsys: pytest.CaptureFixture[str], changes: dict[str, str], said: str
) -> None:
    """The key at fault, and what would be right."""
    path = ferry_toml(province, province.county, **changes)

    assert main(["status", "--config", str(path), "--lang", "en"]) == 1
    assert said in capsys.readouterr().err
    assert main(["status", "--config", str(path), "--lang", "zh"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_limits_themselves_are_allowed(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    """The least and the most bytes of a bundle are sizes one can set."""
    for size in ("262144", "67108864"):
        path = ferry_toml(province, province.county, bundle_bytes=size)
        assert main(["status", "--config", str(path), "--lang", "en"]) == 1
        assert "no ferry has run" in capsys.readouterr().err
