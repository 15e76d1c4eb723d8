"""
Finding entries by their words: a small ranking of names and synonyms against a free text.

Chinese has no spaces, so a text is cut into pairs of neighbouring characters; English into words.
A pair that few entries have says more than one that many have.  No dictionary, no dependency, the
same answer every time, and every hit can say which words it rests on.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_HAN = r"\u3400-\u9fff"
_RUN = re.compile(rf"[{_HAN}]+|[a-z0-9]+")
_BREAK = re.compile(r"[、，,；;：:。（）()“”\"/]+")

# A term is a hit when this share of it (weighed by rarity) stands in the text.
THRESHOLD = 0.6
# Up to this many characters a text is a search, not a story: it may also be a part of the term.
_SEARCH_LENGTH = 16


def flatten(text: str) -> str:
    """Return *text* in one width and case, without spaces and punctuation."""
    return "".join(_RUN.findall(unicodedata.normalize("NFKC", text).lower()))


def tokens(text: str) -> list[str]:
    """Return the pairs of Chinese characters and the English words of *text*."""
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if run.isascii():
            found.append(run.removesuffix("s") if len(run) > 3 else run)
        elif len(run) == 1:
            found.append(run)
        else:
            found.extend(run[i : i + 2] for i in range(len(run) - 1))
    return found


def parts(name: str) -> tuple[str, ...]:
    """Return the pieces of a name between its punctuation, of two characters and more."""
    return tuple(piece for piece in (p.strip() for p in _BREAK.split(name)) if len(piece) > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An entry that fits: its key, how well (0 to 1), and the term the text was found to hold."""

    key: str
    score: float
    term: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    key: str
    text: str
    flat: str
    weight: float  # of the term as evidence: a whole name says more than a part of it
    tokens: frozenset[str]


class Index:
    """
    The terms of all entries, ready to be searched.

    *entries* gives for each key its terms with their weights (0 to 1).
    """

    def __init__(self, entries: Mapping[str, Iterable[tuple[str, float]]]) -> None:
        self._terms: list[_Term] = []
        self._order = {key: number for number, key in enumerate(entries)}
        for key, terms in entries.items():
            for text, weight in terms:
                flat = flatten(text)
                if flat:
                    self._terms.append(
                        _Term(
                            key=key,
                            text=text,
                            flat=flat,
                            weight=weight,
                            tokens=frozenset(tokens(text)),
                        )
                    )
        counts = Counter(token for term in self._terms for token in term.tokens)
        self._rarity = {t: math.log(1 + len(self._terms) / n) for t, n in counts.items()}
        self._unseen = math.log(1 + len(self._terms))
        self._holding: dict[str, list[int]] = defaultdict(list)
        for number, term in enumerate(self._terms):
            for token in term.tokens:
                self._holding[token].append(number)

    def rank(self, text: str) -> list[Hit]:
        """Return the entries that fit *text*, the best first; ties keep the entries' order."""
        flat = flatten(text)
        asked = frozenset(tokens(text))
        candidates = {number for token in asked for number in self._holding.get(token, ())}
        best: dict[str, Hit] = {}
        for number in candidates:
            term = self._terms[number]
            score = self._score(term, flat, asked) * term.weight
            known = best.get(term.key)
            if score >= THRESHOLD and (known is None or score > known.score):
                best[term.key] = Hit(key=term.key, score=round(score, 4), term=term.text)
        return sorted(best.values(), key=lambda hit: (-hit.score, self._order[hit.key]))

    def _score(self, term: _Term, flat: str, asked: frozenset[str]) -> float:
        if term.flat == flat:
            return 1.0
        if term.flat in flat:
            # A longer term found whole in a story is the better evidence.
            return 0.88 + 0.01 * min(len(term.flat), 10)
        common = self._weigh(term.tokens & asked)
        score = 0.85 * common / self._weigh(term.tokens)
        if len(flat) <= _SEARCH_LENGTH or all(token.isascii() for token in asked):
            share = 0.9 if flat in term.flat else 0.8
            score = max(score, share * common / self._weigh(asked))
        return score

    def _weigh(self, these: Iterable[str]) -> float:
        return sum(self._rarity.get(token, self._unseen) for token in these)
