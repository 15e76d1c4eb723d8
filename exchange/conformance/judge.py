"""The run: which cases are played, what came of each, and what that says of the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from exchange.causes import cause
from exchange.conformance.cases import Case, Profile, Unmet
from exchange.conformance.trace import Trace
from exchange.errors import ConfigurationError, ExchangeError
from exchange.reading import nearest
from exchange.text import Text


class Verdict(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    #: It failed, and the list of known failures says so.
    KNOWN = "known-failing"
    #: It passed, though the list says that it fails: the list is out of date, which is an error.
    SURPRISE = "passed-though-listed"
    SKIPPED = "skipped"

    @property
    def is_good(self) -> bool:
        """Whether a run with this verdict may end well."""
        return self not in {Verdict.FAILED, Verdict.SURPRISE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One case's verdict; *why* says what was seen, or what is lacking."""

    case: Case
    verdict: Verdict
    seconds: float = 0.0
    why: Text | None = None


class Stage(Protocol):
    """What the cases of a profile play on."""

    def reset(self) -> None:
        """Clear away what the case before left behind."""


def select(cases: Iterable[Case], profile: Profile, only: Sequence[str] = ()) -> list[Case]:
    """
    Return *profile*'s cases; with *only*, those whose id is or begins with one of these.

    Raises `ConfigurationError` for a word of *only* that no case's id begins with.
    """
    found = [case for case in cases if case.profile is profile]
    for word in only:
        if not any(_fits(case, word) for case in found):
            hint = nearest(word, [case.id for case in found])
            raise ConfigurationError(_NO_CASE.fill(word=word, en=hint.en, zh=hint.zh))
    return [case for case in found if not only or any(_fits(case, word) for word in only)]


def _fits(case: Case, word: str) -> bool:
    return case.id == word or case.id.startswith(word + ".")


def read_known(path: Path | None, cases: Iterable[Case]) -> frozenset[str]:
    """
    Return the ids in the list of known failures: one a line, ``#`` begins a comment.

    Raises `ConfigurationError` where the file cannot be read or names a case that there is not.
    """
    if path is None:
        return frozenset()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        why = cause(error)
        raise ConfigurationError(
            Text(en=f"{path}: {why.en}.", zh=f"{path}：{why.zh}。"), file=str(path)
        ) from error
    known = [case.id for case in cases]
    found = set()
    for number, line in enumerate(lines, 1):
        word = line.partition("#")[0].strip()
        if word and word not in known:
            hint = nearest(word, known)
            text = _UNLISTED.fill(file=path, line=number, word=word, en=hint.en, zh=hint.zh)
            raise ConfigurationError(text, file=str(path))
        found |= {word} if word else set()
    return frozenset(found)


def run(
    cases: Sequence[Case],
    stage: Stage,
    provides: Collection[str],
    *,
    known: Collection[str] = (),
    trace: Trace,
    told: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Play *cases* one after the other; *told* hears each result as it is there."""
    results = []
    for case in cases:
        result = _play(case, stage, provides, known, trace)
        results.append(result)
        if told is not None:
            told(result)
    return results


def _play(
    case: Case, stage: Stage, provides: Collection[str], known: Collection[str], trace: Trace
) -> Result:
    lacking = sorted(case.needs - set(provides))
    if lacking:
        return Result(case=case, verdict=Verdict.SKIPPED, why=_LACKS.fill(what=", ".join(lacking)))
    begun = time.monotonic()
    trace.case = case.id
    why: Text | None = None
    try:
        stage.reset()
        case.play(stage)
    except Unmet as failed:
        why = failed.text
    except ConfigurationError:
        raise
    except ExchangeError as failed:
        why = failed.text
    seconds = time.monotonic() - begun
    if why is None:
        verdict = Verdict.SURPRISE if case.id in known else Verdict.PASSED
        return Result(
            case=case,
            verdict=verdict,
            seconds=seconds,
            why=_SURPRISE if case.id in known else None,
        )
    verdict = Verdict.KNOWN if case.id in known else Verdict.FAILED
    return Result(case=case, verdict=verdict, seconds=seconds, why=why)


def counts(results: Iterable[Result]) -> Mapping[str, int]:
    """Return how often each verdict was given."""
    found = dict.fromkeys((verdict.value for verdict in Verdict), 0)
    for result in results:
        found[result.verdict.value] += 1
    return found


def holds(results: Sequence[Result]) -> bool:
    """Return whether the program under test conforms: something was played, and all is good."""
    return all(result.verdict.is_good for result in results) and any(
        result.verdict is not Verdict.SKIPPED for result in results
    )


_LACKS = Text(en="The capability file does not offer: {what}.", zh="能力文件未提供：{what}。")
_SURPRISE = Text(
    en="It passes, though the list of known failures names it: take it off the list.",
    zh="该用例已通过，却仍在已知失败清单中，请将其移出。",
)
_NO_CASE = Text(
    en="No case is called '{word}'; {en} See them all: exchange conformance list",
    zh="没有用例“{word}”；{zh} 全部用例：exchange conformance list",
)
_UNLISTED = Text(
    en="{file}:{line}: no case is called '{word}'; {en}",
    zh="{file}:{line}：没有用例“{word}”；{zh}",
)
