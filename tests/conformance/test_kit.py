"""The kit itself: its table, its lists, its exit codes, its report."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.cli.root import run as command
from exchange.conformance.cases import Case, Profile, unmet
from exchange.conformance.edge import Edge, dial_behind
from exchange.conformance.embedded import EmbeddedBridge
from exchange.conformance.ground import Ground
from exchange.conformance.judge import Verdict, holds, read_known, run, select
from exchange.conformance.table import CASES
from exchange.conformance.trace import Trace
from exchange.errors import ConfigurationError, RefusalCode
from exchange.text import Text
from exchange.trust import TrustStore

ENVIRONMENT = {"EXCHANGE_LANG": "en"}


class TestTable:
    def test_ids_are_unique_and_say_their_profile(self) -> None:
        """Reports and lists name each case by one id."""
        names = [case.id for case in CASES]

        assert sorted(set(names)) == sorted(names)
        assert set(Profile) == {case.profile for case in CASES}

    def test_every_case_says_what_it_rests_on_in_both_languages(self) -> None:
        """No case without its rule or clause, nor without a sentence."""
        assert [] == [c.id for c in CASES if not (c.rests and c.text.en and c.text.zh)]

    def test_each_refusal_code_is_asked_for(self) -> None:
        """Every code of the contract is provoked by some case; FIELD_INVALID by the vectors alone."""
        asked = {case.id.rpartition(".")[2].upper() for case in CASES if ".refusal." in case.id}
        asked |= {code.name for code in RefusalCode for case in CASES if code.name in case.rests}
        by_hand = {"MALFORMED", "SIGNER_NOT_TRUSTED", "FIELD_INVALID"}

        assert {code.name for code in RefusalCode} - asked <= by_hand


class Nothing:
    """A stage on which made-up cases play."""

    def reset(self) -> None:
        """There is nothing to clear away."""


def case(name: str, *needs: str, fails: bool = False) -> Case:
    """Return a made-up case."""

    def play(stage: object) -> None:
        if fails:
            raise unmet("It was seen to fail.", "失败。")

    return Case(
        id=name,
        rests="R50",
        text=Text(en="A case.", zh="用例。"),
        play=play,
        needs=frozenset(needs),
    )


class TestJudge:
    @pytest.mark.parametrize(
        ("fails", "listed", "verdict", "good"),
        [
            (False, False, Verdict.PASSED, True),
            (True, False, Verdict.FAILED, False),
            (True, True, Verdict.KNOWN, True),
            (False, True, Verdict.SURPRISE, False),
        ],
    )
    def test_a_list_of_known_failures_is_exact(
        self, *, fails: bool, listed: bool, verdict: Verdict, good: bool
    ) -> None:
        """A listed case must fail, and one that is not listed must pass."""
        one = case("bridge.made.up", fails=fails)
        known = {one.id} if listed else set()

        (result,) = run([one], Nothing(), (), known=known, trace=Trace())

        assert verdict is result.verdict
        assert good is holds([result])

    def test_what_the_file_does_not_offer_is_skipped_and_named(self) -> None:
        """A skipped case says what is lacking; nothing but skips is no conformance."""
        results = run([case("bridge.made.up", "restart")], Nothing(), {"defects"}, trace=Trace())

        assert [Verdict.SKIPPED] == [result.verdict for result in results]
        assert "restart" in str(results[0].why)
        assert not holds(results)

    def test_a_list_that_names_no_case_is_an_error(self, tmp_path: Path) -> None:
        """A misspelt id is named with its line and the nearest right one."""
        path = tmp_path / "known.txt"
        path.write_text("# what we mend next\nbridge.push.stord  # soon\n", encoding="utf-8")

        with pytest.raises(ConfigurationError, match=r"known\.txt:2.*bridge\.push\.stored"):
            read_known(path, CASES)

    def test_cases_are_selected_by_id_or_section(self) -> None:
        """A word takes the case of that name, or the whole section."""
        one = select(CASES, Profile.BRIDGE, ["bridge.push.stored"])
        section = select(CASES, Profile.BRIDGE, ["bridge.push"])

        assert ["bridge.push.stored"] == [found.id for found in one]
        assert {"bridge.push"} == {found.id.rpartition(".")[0] for found in section}


@pytest.fixture(scope="module")
def address(ground: Ground) -> Iterator[str]:
    """Return where a conforming bridge listens."""
    made = ground.made
    with EmbeddedBridge(ground.folder, made.folder, made.trust) as bridge:
        yield f"127.0.0.1:{bridge.port}"


def judge(ground: Ground, address: str, *more: str) -> int:
    """Run the command against the bridge at *address*; return its exit code."""
    arguments = ["conformance", "run", "--profile", "bridge", "--target", address]
    return command([*arguments, "--capabilities", str(ground.capabilities), *more], ENVIRONMENT)


class TestCommand:
    def test_a_good_run_leaves_trace_junit_and_a_report_that_proves_itself(
        self, ground: Ground, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit 0; what was sent is written down; the signed report verifies offline."""
        trace, junit, report = (tmp_path / name for name in ("t.jsonl", "j.xml", "r.json"))
        files = ["--trace", str(trace), "--junit", str(junit), "--report", str(report)]

        assert 0 == judge(ground, address, "--case", "bridge.push", *files)
        lines = [json.loads(line) for line in trace.read_text("utf-8").splitlines()]
        assert {"PushMessages", "PullMessages"} <= {line.get("call") for line in lines}
        assert "bridge.push.repeat" in {line["case"] for line in lines}
        suite = ET.parse(junit).getroot()
        assert (str(len(suite)), "0") == (suite.get("tests"), suite.get("failures"))
        capsys.readouterr()
        trust = ["--trust", str(ground.made.folder / "trust")]
        assert 0 == command(["conformance", "verify", str(report), *trust], ENVIRONMENT)
        assert "conforms as bridge" in capsys.readouterr().out

    def test_a_report_that_was_changed_proves_nothing(
        self, ground: Ground, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One flipped byte, or a signer that nobody trusts: exit 1."""
        report = tmp_path / "report.json"
        judge(ground, address, "--case", "bridge.push.stored", "--report", str(report))
        whole = json.loads(report.read_text("utf-8"))
        changed = whole["payload"]
        whole["payload"] = changed[:100] + ("A" if changed[100] != "A" else "B") + changed[101:]
        forged = tmp_path / "forged.json"
        forged.write_text(json.dumps(whole), encoding="utf-8")
        made = ground.made
        other = (
            f"hotline12345.example={made.authorities['police110.example'] / 'root' / 'root.pem'}"
        )

        trust = ["--trust", str(made.folder / "trust")]
        assert 1 == command(["conformance", "verify", str(forged), *trust], ENVIRONMENT)
        assert 2 == command(["conformance", "verify", str(report), "--trust", other], ENVIRONMENT)
        assert 1 == command(["conformance", "verify", str(made.bridge_trust), *trust], ENVIRONMENT)

    def test_a_failed_case_is_named_with_what_was_seen(
        self, ground: Ground, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit 1; id, sentence, rule and what was seen, in the language asked for."""
        made, police = ground.made, ground.made.desks["140400000000"].gateway

        def behind(who: str) -> object:
            files = made.desks[who].gateway if who in made.desks else police
            roots = made.bridge_trust.read_bytes()
            return dial_behind(
                address, roots, files.key.read_bytes(), files.certificate.read_bytes()
            )

        with Edge(
            key=made.bridge.key.read_bytes(),
            chain=made.bridge.certificate.read_bytes(),
            trust=TrustStore.load(made.trust),
            behind=behind,  # type: ignore[arg-type]
        ) as edge:

            def rename(call: object) -> None:
                for outcome in getattr(getattr(call, "answer", None), "outcomes", ()):
                    if hasattr(outcome, "stored") and outcome.HasField("stored"):
                        outcome.stored.message_id = "another"

            edge.answering.append(rename)
            broken = f"127.0.0.1:{edge.start('127.0.0.1:0')}"

            assert 1 == judge(ground, broken, "--case", "bridge.push.stored")
            said = capsys.readouterr().out
            assert "✗ bridge.push.stored" in said
            assert "names the message another" in said
            known = ground.folder / "known.txt"
            known.write_text("bridge.push.stored\n", encoding="utf-8")
            only = ["--case", "bridge.push.stored", "--known-failing", str(known)]
            assert 0 == judge(ground, broken, *only)
            assert 1 == judge(ground, address, *only)

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--case", "bridge.push.stord"], "did you mean 'bridge.push.stored'"),
            (["--capabilities", "/nowhere.toml"], "exchange conformance prepare"),
            (["--target", "127.0.0.1:1"], "Nothing was judged"),
        ],
    )
    def test_what_cannot_be_judged_is_told(
        self,
        ground: Ground,
        address: str,
        more: list[str],
        said: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Exit 2, with a sentence that says what to do."""
        assert 2 == judge(ground, address, *more)
        assert said in capsys.readouterr().err

    def test_the_list_shows_every_case(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The ids are what a list of known failures takes."""
        assert 0 == command(["conformance", "list", "--json"], ENVIRONMENT)
        assert [c.id for c in CASES] == [one["id"] for one in json.loads(capsys.readouterr().out)]
