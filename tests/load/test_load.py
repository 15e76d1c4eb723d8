"""The load tests themselves: what they judge, and that small ones end with their table."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.processes import Service
from tests.load import overload, soak
from tests.load.bridge import Running, Sample
from tests.load.claims import Claim, sparkline, table
from tests.load.desks import Answered
from tests.load.judging import Measured, Phase, judge
from tests.load.lives import Slice
from tests.load.soak import Soaked

MIB = 1 << 20


def watched(keeper: tuple[int, ...] = (100, 100, 100, 100)) -> Running:
    """Return a bridge that is not running, seen once a second; MiB of the keeper, 150 of the other."""
    samples = [
        Sample(time=at + 10.5, resident={"serving": 150 * MIB, "keeper": size * MIB})
        for at, size in enumerate(keeper)
    ]
    service = Service("bridge", ["exchange"], log=Path("unused"))
    return Running(service=service, port=0, settings=Path("unused"), samples=samples)


def calls(seconds: float, begun: float, *, count: int = 16) -> list[Answered]:
    """Return stored calls of two messages that took so long each, four a second."""
    return [Answered((), begun + at / 4, begun + at / 4 + seconds, stored=2) for at in range(count)]


def measured(*, quiet: float = 0.1, after: float = 0.1, urgent_ms: float = 50) -> Measured:
    """Return a run in which everything holds unless told otherwise; a calm call takes 0.1 s."""
    taken = [replace(call, ticket_ids=("u1", "u2")) for call in calls(0.05, 10.0, count=1)]
    found = Measured(database="sqlite", capacity=1000, stored={"u1", "u2"}, came={"u1", "u2"})
    found.urgent = {"u1": 10.0, "u2": 10.0 + urgent_ms / 1000}
    for name, begun, seconds, urgent in (
        ("calm", 0.0, 0.1, []),
        ("overload", 10.0, quiet, taken),
        ("after", 20.0, after, []),
    ):
        found.phases[name] = Phase(name, begun, begun + 4, [], calls(seconds, begun), urgent)
    return found


def missed(claims: list[Claim]) -> list[str]:
    """Return the beginnings of the sentences that do not hold."""
    return [" ".join(claim.sentence.split()[:3]) for claim in claims if not claim.met]


def test_a_run_in_which_everything_holds_meets_every_claim() -> None:
    """On the bounds themselves, too: twice the p99, a tenth more memory."""
    assert [] == missed(judge(measured(quiet=0.2, urgent_ms=99), watched((100, 100, 110, 110))))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"quiet": 0.21}, "a noisy organisation"),
        ({"urgent_ms": 101}, "urgent tickets cross:"),
        ({"after": 0.3}, "5 s after"),
    ],
)
def test_what_is_too_slow_is_not_met(given: dict[str, float], sentence: str) -> None:
    """Each bound is its own claim's."""
    assert [sentence] == missed(judge(measured(**given), watched()))


def test_memory_that_grows_is_not_met() -> None:
    """It is the second half of the overload beside the first, process by process."""
    assert ["memory of the"] == missed(judge(measured(), watched((100, 100, 112, 112))))


def test_a_process_that_was_not_seen_is_not_met() -> None:
    """Nothing measured is no success."""
    assert "memory, serving" in missed(judge(measured(), watched(())))


def test_a_machine_that_stood_still_is_noticed() -> None:
    """Seconds without a look are counted; the usual second between two is not."""
    bridge = watched()

    assert bridge.stood_still() == 0
    bridge.samples.append(Sample(time=bridge.samples[-1].time + 7, resident={}))
    assert bridge.stood_still() == 7


def test_a_refusal_without_advice_is_not_honest() -> None:
    """One message that nobody told when to come again is enough."""
    found = measured()
    found.phases["overload"].noisy.append(Answered((), 10.0, 10.1, advised=127, unadvised=1))

    assert ["everything that is"] == missed(judge(found, watched()))


def test_a_stored_message_that_does_not_come_is_lost() -> None:
    """A receipt is a promise to deliver."""
    found = measured()
    found.stored.add("receipted")

    assert ["what has a"] == missed(judge(found, watched()))


def test_a_refused_urgent_ticket_is_not_met() -> None:
    """However fast the others were."""
    found = measured()
    found.phases["overload"].urgent.append(Answered(("a", "b"), 10.0, 10.1, advised=2))

    assert ["urgent tickets cross:"] == missed(judge(found, watched()))


def test_calls_that_are_never_stored_count_as_the_slowest() -> None:
    """A noisy neighbour that has another's calls refused has slowed it beyond measure."""
    found = measured()
    found.phases["overload"].quiet += [Answered((), 10.0, 10.01, advised=2)]

    assert ["a noisy organisation"] == missed(judge(found, watched()))


def test_soaking_is_judged_against_its_own_beginning() -> None:
    """Memory, calls and lives of the last quarter beside those of the second."""
    slices = [
        Slice(begun=10.0 + at, ended=11.0 + at, tickets=5, calls=(took,), lives=(took * 10,))
        for at, took in enumerate((9.0, 0.1, 0.1, 0.126))
    ]
    soaked = Soaked(database="sqlite", tickets=20, slices=slices, archived=[5, 15], closed=20)
    soaked.verified = True
    grown = soak.judge(soaked, watched((1, 100, 100, 120)))

    assert ["the keeper process", "opening 64 tickets", "so does a"] == missed(grown)
    soaked.slices[3] = replace(slices[3], calls=(0.12,), lives=(1.2,))
    assert [] == missed(soak.judge(soaked, watched((1, 100, 100, 115))))
    soaked.verified, soaked.closed, soaked.archived = False, 19, [5]
    wrong = missed(soak.judge(soaked, watched((1, 100, 100, 115))))
    assert ["every ticket was", "closed tickets were", "the log verifies,"] == wrong


def test_the_table_names_what_does_not_hold() -> None:
    """Aligned, and in words."""
    text = table(
        [
            Claim(where="sqlite", sentence="it holds", measured="1", met=True),
            Claim(where="postgresql", sentence="it does not", measured="12", met=False),
        ]
    )

    assert re.search(r"^sqlite +it holds +1 +met$", text, re.MULTILINE)
    assert re.search(r"^postgresql +it does not +12 +NOT MET$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("values", "expected"), [([], ""), ([0, 4, 8], "▁▅█"), ([0.0], "▁"), ([1] * 200, "█" * 60)]
)
def test_a_curve_fits_its_line(values: list[float], expected: str) -> None:
    """From nothing to the highest."""
    assert expected == sparkline(values)


@pytest.mark.slow
def test_a_tiny_overload_ends_with_its_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Real processes: receipts are kept, refusals are honest, and the exit code is the table's."""
    monkeypatch.chdir(tmp_path)
    asked = ["--minutes", "0.03", "--database", "sqlite", "--capacity", "256", "--least", "1"]
    code = overload.main(asked)
    text = capsys.readouterr().out

    assert code == ("NOT MET" in text)
    assert re.search(r"told so, with advice.* met$", text, re.MULTILINE)
    assert re.search(r"what has a receipt.*, 0 did not come.* met$", text, re.MULTILINE)
    assert (tmp_path / "build/overload/sqlite-memory.csv").exists()


@pytest.mark.slow
def test_a_tiny_soak_ends_with_a_log_that_verifies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every ticket that was opened in time goes its whole way and into an archive."""
    monkeypatch.chdir(tmp_path)
    # No time at all: what one call opens, of a million.
    code = soak.main(["--tickets", "1000000", "--minutes", "0", "--database", "sqlite"])
    text = capsys.readouterr().out

    assert code == ("NOT MET" in text)
    assert re.search(r"every ticket was closed +64 of 64, .* met$", text, re.MULTILINE)
    assert re.search(r"were archived.* 64 in \d+ times +met$", text, re.MULTILINE)
    assert re.search(r"the log verifies.* met$", text, re.MULTILINE)
