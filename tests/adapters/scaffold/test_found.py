"""What is installed is found by its entry point, and a broken plug-in breaks nothing else."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from adapters.found import Found, examine, found, start_of
from exchange.doctor import surroundings
from exchange.doctor.findings import Status
from exchange.errors import ConfigurationError
from tests.adapters.scaffold.plugins import GROUP, exchange, plugin
from tests.documents import ROOT

GOOD = "def main(arguments):\n    print('good', *arguments)\n    return 7\n"
OURS = sorted(
    tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"][
        "exchange.adapters"
    ]
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, first on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def faults(adapters: list[Found]) -> dict[str, str]:
    """Return each adapter's fault, empty where it has none."""
    return {one.name: one.fault.en if one.fault else "" for one in adapters}


def test_our_own_are_registered_and_load() -> None:
    """Each adapter of ours stands in the group that vendors use, and can be started."""
    ours = [one for one in found() if one.distribution == "hotline-exchange"]

    assert OURS == [one.name for one in ours]
    assert dict.fromkeys(OURS, "") == faults(examine(ours))


def test_none_of_ours_is_forgotten() -> None:
    """Whatever of ours is started by `python -m adapters.NAME` is an adapter by that name."""
    started = {one.parent.name for one in (ROOT / "adapters").glob("*/__main__.py")}

    assert {*started, "jsonl"} == set(OURS)


def test_looking_imports_nothing(path: Path) -> None:
    """An adapter's module is not imported to be found, and never by this process to be examined."""
    plugin(path, "calm", f"{GROUP}\ncalm = calm_adapter:main\n", {"calm_adapter": GOOD})
    (calm,) = [one for one in found() if one.name == "calm"]

    assert (calm.distribution, calm.version, calm.target) == ("calm", "1.0", "calm_adapter:main")
    assert {"calm": ""} == faults(examine([calm]))
    assert "calm_adapter" not in sys.modules


BROKEN = {
    "no_module": ("absent_module:main", None, "ModuleNotFoundError: No module named 'absent_module'"),
    "no_function": ("p_nofunction:start", "main = 1\n", "AttributeError: module 'p_nofunction'"),
    "no_call": ("p_nocall:main", "main = 1\n", "p_nocall:main is not callable"),
    "raises": ("p_raises:main", "raise ValueError('line one\\nline two')\n", "ValueError: line one line two."),
    "syntax": ("p_syntax:main", "def main(:\n", "SyntaxError: "),
    "exits": ("p_exits:main", "raise SystemExit(0)\n", "SystemExit: 0"),
    "crashes": ("p_crashes:main", "import os\nos._exit(3)\n", "while it was loaded (status 3)"),
    "killed": ("p_killed:main", "import os\nos.kill(os.getpid(), 9)\n", "while it was loaded (status -9)"),
    "no_target": ("", None, "does not load"),
}  # fmt: skip


def test_each_broken_adapter_says_why_and_the_others_load(path: Path) -> None:
    """Whatever an import does, its own line has the reason, and those after it are still tried."""
    for name, (target, text, _) in BROKEN.items():
        modules = {} if text is None else {target.partition(":")[0]: text}
        plugin(path, f"d-{name}", f"{GROUP}\n{name} = {target}\n", modules)
    noisy = "print('noise'); import sys; print('noise', file=sys.stderr)\n" + GOOD
    plugin(path, "z-good", f"{GROUP}\nz_good = p_good:main\n", {"p_good": noisy})
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n"
    plugin(path, "z-late", f"{GROUP}\nz_late = p_late:main\n", {"p_late": threads + GOOD})
    judged = faults(examine([one for one in found() if one.distribution != "hotline-exchange"]))

    assert {*BROKEN, "z_good", "z_late"} == set(judged)
    assert judged["z_good"] == judged["z_late"] == ""
    assert {} == {
        name: judged[name] for name, (*_, reason) in BROKEN.items() if reason not in judged[name]
    }


def test_one_that_hangs_is_named(path: Path) -> None:
    """An import that does not end is given up after the limit."""
    hangs = "import time\ntime.sleep(3600)\n"
    plugin(path, "hanging", f"{GROUP}\nhangs = p_hangs:main\n", {"p_hangs": hangs})
    (one,) = examine([one for one in found() if one.name == "hangs"], limit=1)

    assert {"hangs": "It had not loaded after 1 s. Ask its vendor."} == faults([one])


def test_a_name_of_ours_is_not_taken(path: Path) -> None:
    """A plug-in that calls itself as one of ours does is shown and never started."""
    plugin(path, "taker", f"{GROUP}\njsonl = p_taker:main\n", {"p_taker": GOOD})
    ours, taker = [one for one in found() if one.name == "jsonl"]

    assert (ours.distribution, ours.fault) == ("hotline-exchange", None)
    assert taker.fault is not None
    assert "hotline-exchange, which keeps the name" in taker.fault.en
    assert start_of("jsonl").__module__ == "adapters.jsonl"


def test_a_name_that_two_have_is_nobodys(path: Path) -> None:
    """Which of two would be started must not depend on the order of a folder."""
    plugin(path, "one", f"{GROUP}\nsame = p_same:main\n", {"p_same": GOOD})
    plugin(path, "two", f"{GROUP}\nsame = p_same:main\n", {})
    with pytest.raises(
        ConfigurationError, match="two names an adapter 'same', too: neither is started"
    ):
        start_of("same")


def test_of_a_distribution_that_is_there_twice_the_first_counts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an import: an older copy further on the path changes nothing."""
    plugin(path, "Twice_Here", f"{GROUP}\ntwice = p_twice:main\n", {"p_twice": GOOD}, version="2.0")
    plugin(tmp_path / "later", "twice-here", f"{GROUP}\ntwice = p_none:main\n", {})
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    monkeypatch.syspath_prepend(str(path))

    assert [("2.0", None)] == [(one.version, one.fault) for one in found() if one.name == "twice"]


def test_spoilt_metadata_hides_nobody(path: Path) -> None:
    """A distribution whose entry points or metadata cannot be read is named; the others are found."""
    plugin(path, "spoilt", f"{GROUP}\nno equals sign\n", {})
    plugin(path, "nameless", f"{GROUP}\nnameless = p_nameless:main\n", {"p_nameless": GOOD})
    (path / "nameless-1.0.dist-info" / "METADATA").unlink()
    adapters = found()
    spoilt = next(one for one in adapters if one.distribution == "spoilt")

    assert spoilt.fault is not None
    assert "entry points cannot be read" in spoilt.fault.en
    assert {*OURS, "nameless"} <= {one.name for one in adapters}


def test_list_shows_all_in_both_languages(path: Path) -> None:
    """From where each comes, and why one cannot be started; the exit status says that there is one."""
    plugin(path, "city-good", f"{GROUP}\ncity = p_city:main\n", {"p_city": GOOD}, version="2.3")
    well = exchange("adapter", "list", path=path)
    plugin(path, "bad", f"{GROUP}\nbad = p_bad:main\n", {"p_bad": "import absent_library\n"})
    english, chinese = (
        exchange("adapter", "list", path=path, language=one) for one in ("en", "zh")
    )
    data = exchange("adapter", "list", "--json", path=path)

    assert (well.returncode, english.returncode, chinese.returncode) == (0, 1, 1), english
    assert ["city", "city-good", "2.3", "ready"] in [
        line.split() for line in well.stdout.splitlines()
    ]
    assert (
        "bad: It does not load: ModuleNotFoundError: No module named 'absent_library'."
        in english.stdout
    )
    assert "bad: 无法加载：ModuleNotFoundError" in chinese.stdout
    by_name = {one["name"]: one for one in json.loads(data.stdout)}
    assert by_name["city"] == {
        "name": "city", "distribution": "city-good", "version": "2.3",
        "target": "p_city:main", "fault": "",
    }  # fmt: skip
    assert "absent_library" in by_name["bad"]["fault"]
    assert set(OURS) <= set(by_name)


def test_run_starts_one_with_what_follows_its_name(path: Path) -> None:
    """`main` is given ``run`` and the rest as it stands; its status is the command's."""
    plugin(path, "city-good", f"{GROUP}\ncity = p_city:main\n", {"p_city": GOOD})
    ran = exchange("adapter", "run", "city", "folder", "--config", "x", "--help", path=path)

    assert (7, "good run folder --config x --help\n") == (ran.returncode, ran.stdout)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad", "The adapter 'bad' of bad 1.0 does not load: ModuleNotFoundError: No module named 'absent_library'."),
        ("ends", "The adapter 'ends' of ends 1.0 does not load: SystemExit: 0."),
        ("none", "No adapter 'none' is installed here. There are: bad, ends, "),
    ],
)  # fmt: skip
def test_run_says_why_it_cannot(path: Path, name: str, said: str) -> None:
    """One that is not there, and one that does not load, end with a sentence and status 2."""
    plugin(path, "bad", f"{GROUP}\nbad = p_bad:main\n", {"p_bad": "import absent_library\n"})
    plugin(path, "ends", f"{GROUP}\nends = p_ends:main\n", {"p_ends": "raise SystemExit(0)\n"})
    ran = exchange("adapter", "run", name, path=path)

    assert ran.returncode == 2
    assert ran.stderr.startswith(said)
    assert ran.stderr.count("\n") == 1


DESK = (
    "--service",
    "110",
    "--region",
    "140400",
    "--profile",
    "national@2026.1",
    "--catalogue",
    "2026.1",
)
#: What each of ours needs beside its configuration.
WORDS = {
    "ferry": (),
    "folder": ("FOLDER", "--mapping", "m.toml"),
    "http": ("FOLDER", "--mapping", "m.toml"),
    "jsonl": ("FOLDER",),
    "open311": ("FOLDER", "--publish", "p.toml"),
    "relay": (),
    "sqlite_desk": ("FOLDER", *DESK),
    "table": ("FOLDER", "--mapping", "m.toml"),
}  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_our_adapters_take_the_common_way(name: str, tmp_path: Path) -> None:
    """`exchange adapter run NAME … --config FILE` reaches each of ours, which reads that file."""
    config = tmp_path / "gateway.toml"
    words = (*WORDS[name], "--config", config)
    ran = exchange("adapter", "run", name, *words, path=ROOT, cwd=tmp_path)

    assert ran.returncode == 1
    assert str(config) in ran.stderr
    assert "usage" not in ran.stderr


def test_the_doctor_warns_of_what_cannot_be_started(path: Path) -> None:
    """A plug-in that is broken or shadowed is a warning; with none installed nothing is said."""
    assert [] == list(surroundings.adapters())
    plugin(path, "bad", f"{GROUP}\nbad = p_bad:main\n", {"p_bad": "import absent_library\n"})
    plugin(path, "city-good", f"{GROUP}\ncity = p_city:main\n", {"p_city": GOOD})
    plugin(path, "taker", f"{GROUP}\njsonl = p_city:main\n", {})
    findings = list(surroundings.adapters())

    assert {"bad": Status.WARN, "city": Status.OK, "jsonl": Status.WARN} == {
        one.what.en.split("'")[1]: one.status for one in findings
    }
    assert {"adapter"} == {one.probe for one in findings}
