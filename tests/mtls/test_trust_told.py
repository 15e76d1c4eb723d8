"""Which trust is in force is told to whoever runs the bridge: `exchange status`, `exchange doctor`, `deny`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.cli import run as certs
from certs.denylist import LONGEST, changing, read_denylist
from certs.development import GOVERNMENT
from certs.errors import Refused
from exchange.cli.root import run
from tests.mtls.living import Living, leaf_of, lists_of, living
from tests.pki import CITY_12345, Pki


@pytest.fixture
def site(pki: Pki, tmp_path: Path) -> Iterator[Living]:
    """A bridge with an empty list of the hotlines' network."""
    with living(pki, tmp_path, lists=True) as found:
        yield found


def status(site: Living, capsys: pytest.CaptureFixture[str], lang: str = "en") -> tuple[int, Any]:
    """Return the exit code and what `exchange status --json` says."""
    capsys.readouterr()
    config = str(site.folder / "exchange.toml")
    code = run(["status", "--json", "--config", config], {"EXCHANGE_LANG": lang})
    return code, json.loads(capsys.readouterr().out)


def findings(said: Any, name: str) -> list[str]:
    """Return the gravity of the findings of one kind."""
    return [one["status"] for one in said["findings"] if one["name"] == name]


def test_status_shows_the_generation_in_force(
    pki: Pki, site: Living, capsys: pytest.CaptureFixture[str]
) -> None:
    """Generation, digest, when each list is due, and how many are denied: of the running bridge."""
    _, before = status(site, capsys)
    site.change(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=2))
    code = certs(
        ["deny", "add", "--organisation", CITY_12345.organisation, "--reason", "演练",
         "--by", "li", "--file", str(site.folder / "deny.toml")], {"EXCHANGE_LANG": "en"},
    )  # fmt: skip
    site.until("trust-in-force", 3)
    _, after = status(site, capsys)

    assert code == 0
    assert (before["trust"]["generation"], after["trust"]["generation"]) == (1, 3)
    assert before["trust"]["digest"] != after["trust"]["digest"]
    assert (before["trust"]["denied"], after["trust"]["denied"]) == (0, 1)
    assert list(after["trust"]["lists"]) == [GOVERNMENT]
    config = str(site.folder / "exchange.toml")
    run(["status", "--config", config], {"EXCHANGE_LANG": "zh"})
    assert "第 3 代" in capsys.readouterr().out


def test_what_the_bridge_refuses_is_a_finding(
    site: Living, capsys: pytest.CaptureFixture[str]
) -> None:
    """Broken, with the file and the mend; the doctor says the same of the files themselves."""
    good = (site.folder / f"{GOVERNMENT}.pem").read_bytes()
    site.refuse(f"{GOVERNMENT}.pem", b"")
    code, said = status(site, capsys, "zh")

    assert code == 2
    assert findings(said, "trust") == ["fail"]
    assert "不可用" in said["trust"]["refused"]
    config = str(site.folder / "exchange.toml")
    assert run(["doctor", "--config", config], {"EXCHANGE_LANG": "en"}) != 0
    assert "holds no certificate" in capsys.readouterr().out
    site.put(f"{GOVERNMENT}.pem", good)
    site.until("trust-restored")
    assert findings(status(site, capsys)[1], "trust") == []


@pytest.mark.parametrize(("ago", "grave"), [(1, "warn"), (3, "fail")])
def test_an_old_list_is_due_and_then_broken(
    pki: Pki, site: Living, capsys: pytest.CaptureFixture[str], ago: int, grave: str
) -> None:
    """Within the two hours of grace a warning, after them a failure; both name the network."""
    begins = datetime.now(UTC) - timedelta(hours=24 + ago)
    old = lists_of(pki, number=2, begins=begins, life=timedelta(hours=24))
    site.change(f"{GOVERNMENT}.crl.pem", old)
    _, said = status(site, capsys)

    assert findings(said, "revocation") == [grave]


def test_a_state_that_cannot_be_written_stops_nobody(pki: Pki, site: Living) -> None:
    """The bridge says so in its journal, and obeys all the same."""
    (site.folder / "bridge.state.json").unlink()
    (site.folder / "bridge.state.json").mkdir()
    site.change(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=2))

    assert site.until("state-unwritten")["file"].endswith("bridge.state.json")


_ADDS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from certs.denylist import changing, make_entry
for digit in range(5):
    network = f"n{sys.argv[2]}{digit}.example"
    entry = make_entry(reason="x", since=datetime.now(UTC), by="li", network=network)
    with changing(Path(sys.argv[1])) as entries:
        entries[entry.id] = entry
"""


class TestDenyCommands:
    def test_add_list_remove(
        self, pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A certificate is named by its file; what was added is listed, and removed by its id."""
        file = ["--file", str(tmp_path / "deny.toml")]
        pem = str(pki.gateway(CITY_12345).certificate)
        words = ["add", "--certificate", pem, "--reason", '丢失 "7"', "--by", "li", "--json"]
        assert self.deny(*words, *file) == 0
        added = json.loads(capsys.readouterr().out)
        assert (added["added"], added["reason"]) == (True, '丢失 "7"')
        assert self.deny(*words, *file) == 0
        assert json.loads(capsys.readouterr().out)["added"] is False
        assert self.deny("list", "--json", *file) == 0
        (listed,) = json.loads(capsys.readouterr().out)
        assert listed["id"] == added["id"]
        leaf = leaf_of(pki.gateway(CITY_12345))
        entry = read_denylist(tmp_path / "deny.toml").denies("", "", [leaf])
        assert entry is not None
        assert self.deny("remove", added["id"], *file) == 0
        assert self.deny("list", *file) == 0
        assert "nobody" in capsys.readouterr().out

    def deny(self, *words: str, lang: str = "en") -> int:
        """Run one of the commands."""
        return certs(["deny", *words], {"EXCHANGE_LANG": lang})

    @pytest.mark.parametrize(
        ("words", "en", "zh"),
        [
            (["add", "--reason", "x"], "one thing", "一项"),
            (["add", "--reason", "x", "--serial", "1"], "one thing", "一项"),
            (["add", "--reason", "x", "--network", "A b"], "lower-case domain", "小写域名"),
            (["add", "--reason", "x", "--sha256", "12"], "64 hexadecimal", "64 位"),
            (["add", "--reason", "", "--network", "a.example"], "'reason' is missing", "缺少"),
            (["add", "--reason", "a\nb", "--network", "a.example"], "one line", "一行"),
            (["add", "--reason", "x" * (LONGEST + 1), "--network", "a.example"], "at most", "至多"),
            (["remove", "12345678"], "no entry 12345678", "没有编号"),
        ],
    )
    def test_bad_input_changes_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], en: str, zh: str
    ) -> None:
        """It is said in both languages what would be right, and no file is made."""
        path = tmp_path / "deny.toml"
        for lang, expected in (("en", en), ("zh", zh)):
            assert self.deny(*words, "--file", str(path), lang=lang) == 1
            assert expected in capsys.readouterr().err
        assert not path.exists()

    def test_the_longest_reason_fits(self, tmp_path: Path) -> None:
        """The limit's edge."""
        reason = "x" * LONGEST
        words = ("add", "--reason", reason, "--network", "a.example", "--file", str(tmp_path / "d"))
        assert self.deny(*words) == 0

    def test_two_operators_take_turns(self, tmp_path: Path) -> None:
        """Processes that add at once lose none of each other's entries."""
        path = tmp_path / "deny.toml"
        children = [
            subprocess.Popen([sys.executable, "-c", _ADDS, str(path), str(number)], cwd=Path.cwd())
            for number in range(3)
        ]
        assert [child.wait() for child in children] == [0, 0, 0]

        assert len(read_denylist(path).entries) == 15

    def test_a_folder_that_is_not_there_or_full_is_said(self, tmp_path: Path) -> None:
        """What cannot be written denies nobody, and says so."""
        (tmp_path / "file").touch()
        with (
            pytest.raises(Refused, match="nobody is shut out"),
            changing(tmp_path / "file" / "deny.toml"),
        ):
            raise AssertionError("not reached")

    @pytest.mark.parametrize(
        "text",
        ["deny = 3", "[[deny]]\nwho = 1", "x", "\xff", "[[deny]]\nnetwork = 'a.example'\nreason = 'x'\nby = 'li'\nsince = 2026-01-01",
         "[[deny]]\nnetwork = 'a.example'\nserial = '1'\nreason = 'x'\nby = 'li'\nsince = 2026-01-01T00:00:00Z"],
    )  # fmt: skip
    def test_a_file_that_is_wrong_is_refused_as_a_whole(self, tmp_path: Path, text: str) -> None:
        """Half a list would let somebody in."""
        path = tmp_path / "deny.toml"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(Refused, match=r"deny\.toml") as raised:
            read_denylist(path)
        assert raised.value.sentence.zh != raised.value.sentence.en
