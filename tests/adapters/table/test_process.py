"""The table adapter as a process of its own: killed in the middle, restarted, its standing shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import create_engine, text

from adapters.table.__main__ import main
from adapters.table.database import open_engine
from certs.development import Desk as Party
from exchange.cli.root import run
from tests.adapters.linked import Link
from tests.adapters.table.city import MAPPINGS, WORK_ORDER, create
from tests.pki import CITY_110, CITY_12345


class Ran(NamedTuple):
    """What a command answered."""

    returncode: int
    stdout: str
    stderr: str


#: A guard against a hang, not a measure.
PATIENCE = 60


def begun(link: Link, party: Party, url: str, *more: str) -> subprocess.Popen[str]:
    """Start the adapter of *party*'s tables."""
    folder = link.folder / party.organisation
    return subprocess.Popen(
        [
            sys.executable, "-m", "adapters.table", "run", str(folder), "--config", str(link.config(party)),
            "--mapping", str(MAPPINGS[party]), *more,
        ],
        env={**os.environ, "EXCHANGE_PLATFORM_DATABASE": url, "EXCHANGE_LANG": "en"},
        stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


@contextmanager
def running(link: Link, party: Party, url: str) -> Iterator[subprocess.Popen[str]]:
    """Run the adapter; it must end well on SIGTERM."""
    process = begun(link, party, url)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert process.returncode in {0, -signal.SIGKILL}


def until(url: str, query: str, expected: Any) -> None:
    """Wait until *query* gives *expected*."""
    engine = create_engine(url)
    end = time.monotonic() + PATIENCE
    found: Any = None
    while time.monotonic() < end:
        with engine.connect() as connection:
            found = connection.execute(text(query)).scalar()
        if found == expected:
            engine.dispose()
            return
        threading.Event().wait(0.05)
    pytest.fail(f"{query} gives {found}, not {expected}")


@pytest.mark.slow
def test_both_sides_killed_lose_and_double_nothing(link: Link, tmp_path: Path) -> None:
    """Forty tickets cross while both adapters are killed by SIGKILL again and again: forty records."""
    urls = {
        party: f"sqlite:///{tmp_path / party.organisation}.db" for party in (CITY_12345, CITY_110)
    }
    for party, url in urls.items():
        engine = open_engine(url)
        create(engine, party)
        engine.dispose()
    names = ", ".join(WORK_ORDER)
    places = ", ".join(f":{name}" for name in WORK_ORDER)
    engine = open_engine(urls[CITY_12345])
    with engine.begin() as connection:
        for number in range(40):
            connection.execute(
                text(f"INSERT INTO T_GD ({names}) VALUES ({places})"),
                {**WORK_ORDER, "GDBH": f"A{number:02}"},
            )
    engine.dispose()
    for count in (1, 2):
        with (
            running(link, CITY_12345, urls[CITY_12345]) as one,
            running(link, CITY_110, urls[CITY_110]) as two,
        ):
            until(
                urls[CITY_12345],
                "SELECT count(*) > 0 FROM sqlite_master WHERE name = 'exchange_said'",
                1,
            )
            until(
                urls[CITY_12345],
                f"SELECT count(*) > {count * 10} FROM exchange_said WHERE state <> 'waiting'",
                1,
            )
            one.kill()
            two.kill()
    with running(link, CITY_12345, urls[CITY_12345]), running(link, CITY_110, urls[CITY_110]):
        until(urls[CITY_12345], "SELECT count(*) FROM T_GD WHERE TSZT = '2'", 40)

    until(urls[CITY_110], "SELECT count(*) FROM JJD", 40)
    until(urls[CITY_110], "SELECT count(DISTINCT LYDH) FROM JJD", 40)
    until(urls[CITY_110], "SELECT count(*) FROM exchange_marker", 80)


@pytest.mark.slow
def test_a_stranger_sees_what_is_wrong(
    link: Link, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database, no URL, a wrong mapping, a row put aside: each is said, in either language."""
    folder = tmp_path / "adapter"
    common = ["--config", str(link.config(CITY_12345)), "--mapping", str(MAPPINGS[CITY_12345])]
    monkeypatch.delenv("EXCHANGE_PLATFORM_DATABASE", raising=False)

    def ran(*words: str, lang: str = "en") -> Ran:
        code = main([*words, *common, "--lang", lang])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    url = f"sqlite:///{tmp_path / 'gd.db'}"
    no_url = ran("run", str(folder))
    no_file = ran("run", str(folder), "--database", url)
    (tmp_path / "gd.db").touch()
    no_table = ran("run", str(folder), "--database", url, lang="zh")
    no_engine = ran("run", str(folder), "--database", "oracle9://x")
    engine = open_engine(url)
    create(engine, CITY_12345)
    engine.dispose()
    nothing = ran("quarantine", str(folder), "--database", url)
    ddl = ran("ddl", str(folder), "--database", url)

    assert [1, 1, 1, 0, 0] == [
        one.returncode for one in (no_url, no_table, no_engine, nothing, ddl)
    ]
    assert "EXCHANGE_PLATFORM_DATABASE" in no_url.stderr
    assert "no database file" in no_file.stderr  # and none was made
    assert "数据库中没有表“T_GD”" in no_table.stderr
    assert "postgresql://user@host/name" in no_engine.stderr
    assert "Nothing is put aside.\n" == nothing.stdout
    assert "CREATE TABLE exchange_marker" in ddl.stdout
    assert not any("Traceback" in one.stderr for one in (no_url, no_table, no_engine))

    with engine.begin() as connection:
        connection.execute(text("INSERT INTO T_GD (GDBH, BT) VALUES ('A', '无时间')"))
    engine.dispose()
    with running(link, CITY_12345, url):
        until(url, "SELECT TSZT FROM T_GD", "9")
    shown = ran("quarantine", str(folder), "--database", url, "--json")
    adapter = str(link.folder / CITY_12345.organisation)
    code = run(
        ["adapter", "status", adapter, "--config", str(link.config(CITY_12345)), "--json"], {}
    )
    status = json.loads(capsys.readouterr().out)[0]

    assert [("gd:A", "无时间")] == [
        (row["record"], row["original"]["BT"]) for row in json.loads(shown.stdout)
    ]
    assert ["table", "1"] == [status[key] for key in ("adapter", "quarantine")]
    assert 1 == code
    again = ran("retry", str(folder), "--database", url, lang="zh")
    assert "已放回 1 行" in again.stdout
