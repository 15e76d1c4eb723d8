"""
The catalogue of matters (事项清单): what a ticket may be about, who handles it, and how.

The package's edition holds the two lists the seeds print: Inner Mongolia's (NM, S4 附件) and
Xiangcheng's (XC, S3 附件2), 275 matters in 50 categories.  A region uses one of them or both
(`Catalog.view`).

Twenty-two matters stand under more than one way of handling (井盖缺失 is 12345's, and also one 110
handles first).  A code alone therefore decides nothing: each such *overlap* has cases in order of
precedence, and the circumstances that are known choose among them (`Catalog.resolve`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from exchange.errors import NotFound
from exchange.matching import Index, flatten, parts
from exchange.matters import (
    Arrangements,
    Case,
    Entries,
    Exclusion,
    Item,
    Mode,
    Overlap,
    Unlisted,
    category_conditions,
    load_arrangements,
    load_entries,
)
from exchange.reading import Table, package_data
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An entry that fits a text, how well (0 to 1), and the words it rests on."""

    item: Item
    score: float
    term: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    The answer to "what is this and whose is it?".

    ``chosen`` is None when nothing fits, or the matter is excluded (``exclusion``).  ``facts`` are
    the circumstances used, those inferred from the text included; ``condition`` says under which
    others the choice would be another.
    """

    text: str
    matches: tuple[Match, ...]
    overlap: Overlap | None
    chosen: Item | None
    exclusion: Exclusion | None
    facts: frozenset[str]
    reason: Text
    condition: Text | None


class Catalog:
    """One edition of the catalogue, or a region's view of it."""

    def __init__(self, entries: Entries, arrangements: Arrangements) -> None:
        self.edition = entries.edition
        self.lists = entries.lists
        self.items = entries.items
        self.categories = {i.category.id: i.category for i in self.items.values()}
        self.overlaps = arrangements.overlaps
        self.conditions = arrangements.conditions
        self.exclusions = {exclusion.id: exclusion for exclusion in arrangements.exclusions}
        self.unlisted = arrangements.unlisted
        self._arrangements = arrangements
        self._excluded = {i: e for e in arrangements.exclusions for i in e.items}
        self._overlap_of = {i: overlap for overlap in self.overlaps for i in overlap.items}

    def view(self, lists: Collection[str], exclusions: Collection[str] = ()) -> Catalog:
        """Return the same edition with only these lists and exclusion lists (``NM.H.EXCL``)."""
        entries = Entries(
            edition=self.edition,
            lists=tuple(entry for entry in self.lists if entry.id in lists),
            items={i: item for i, item in self.items.items() if item.category.list_id in lists},
        )
        kept = tuple(e for e in self.exclusions.values() if e.list_id in exclusions)
        return Catalog(entries, replace(self._arrangements, exclusions=kept))

    @property
    def exclusion_lists(self) -> frozenset[str]:
        """The ids of the exclusion lists that this view holds."""
        return frozenset(e.list_id for e in self.exclusions.values())

    def get(self, item_id: str) -> Item | None:
        """Return the matter *item_id*, or None."""
        return self.items.get(item_id)

    def require(self, item_id: str) -> Item:
        """Return the matter *item_id*; raise `NotFound` if this view has none."""
        item = self.items.get(item_id)
        if item is None:
            raise NotFound(
                Text(
                    en=f"Matter '{item_id}' is not in catalogue edition {self.edition}.",
                    zh=f"事项清单 {self.edition} 版中没有“{item_id}”。",
                ),
                matter=item_id,
            )
        return item

    def excluded(self, matter_id: str) -> Exclusion | None:
        """Return the exclusion (R02) that *matter_id* is, or that takes this matter out."""
        return self.exclusions.get(matter_id) or self._excluded.get(matter_id)

    def overlap(self, item_id: str) -> Overlap | None:
        """Return the overlap that the matter *item_id* belongs to, or None."""
        return self._overlap_of.get(item_id)

    def members(self, overlap: Overlap) -> tuple[Item, ...]:
        """Return the overlap's matters that this view has."""
        return tuple(self.items[i] for i in overlap.items if i in self.items)

    def resolve(
        self, overlap: Overlap, facts: Collection[str] = (), liked: Sequence[str] = ()
    ) -> tuple[Item, Case]:
        """
        Return which matter of *overlap* holds under these circumstances, and by which case.

        *liked* orders the matters of one case (the nearest in words first).  Raises `NotFound` if
        the view has none of them or a circumstance is unknown.
        """
        self._check_facts(facts)
        members = self.members(overlap)
        rank = {item_id: number for number, item_id in enumerate(liked)}
        for case in overlap.cases:
            if case.when and not any(fact in facts for fact in case.when):
                continue
            fitting = [
                item
                for item in members
                if item.mode is case.mode and (not case.items or item.id in case.items)
            ]
            if fitting:
                return min(fitting, key=lambda item: rank.get(item.id, len(rank))), case
        if not members:
            raise NotFound(
                Text(
                    en=f"None of {', '.join(overlap.items)} is in the lists in use.",
                    zh=f"所用清单中没有 {'、'.join(overlap.items)}。",
                ),
                overlap=overlap.id,
            )
        # The view lacks every case's entry: the precedence of the modes decides.
        modes = list(Mode)
        chosen = min(members, key=lambda i: (modes.index(i.mode), rank.get(i.id, len(rank))))
        return chosen, Case(when=(), mode=chosen.mode, items=())

    def _check_facts(self, facts: Collection[str]) -> None:
        for fact in facts:
            if fact not in self.conditions:
                raise NotFound(
                    Text(
                        en=f"'{fact}' is no circumstance; known: {', '.join(self.conditions)}.",
                        zh=f"“{fact}”不是已知情形，可用：{'、'.join(self.conditions)}。",
                    ),
                    fact=fact,
                )

    # -- finding by words --------------------------------------------------------------------------

    @cached_property
    def _index(self) -> Index:
        names = {item_id: flatten(item.name.zh) for item_id, item in self.items.items()}
        also: dict[str, set[str]] = {}
        for words in self._arrangements.synonyms.values():
            for word in words:
                also.setdefault(flatten(word), set()).update(words)
        plain = self._arrangements.plain
        entries: dict[str, list[tuple[str, float]]] = {}
        for item_id, item in self.items.items():
            terms_of = {
                *self._arrangements.synonyms.get(item_id, ()),
                *also.get(names[item_id], ()),
            }
            terms = [(item.name.zh, 1.0), (item.name.en, 0.98)]
            terms += [(word, 0.98) for word in sorted(terms_of)]
            terms += [(p, 0.95) for p in parts(item.name.zh) if p not in plain]
            entries[item_id] = terms
        for exclusion in self.exclusions.values():
            entries[exclusion.id] = [(word, 1.0) for word in exclusion.words]
            entries[exclusion.id].append((exclusion.name.zh, 1.0))
        return Index(entries)

    def facts_in(self, text: str) -> frozenset[str]:
        """Return the circumstances that *text* states in so many words."""
        flat = flatten(text)
        return frozenset(
            condition.id
            for condition in self.conditions.values()
            if any(flatten(word) in flat for word in condition.words)
        )

    def find(self, text: str, facts: Collection[str] = (), limit: int = 8) -> Finding:
        """
        Return what *text* (a name, some words, or a citizen's message) is about and whose it is.

        *facts* are known circumstances (ids of `conditions`); those the text states are added.  At
        most *limit* matches are listed.  Raises `NotFound` for an unknown circumstance.
        """
        self._check_facts(facts)
        known = frozenset(facts) | self.facts_in(text)
        hits = self._index.rank(text)
        matches = tuple(
            Match(item=self.items[hit.key], score=hit.score, term=hit.term)
            for hit in hits
            if hit.key in self.items
        )
        liked = [match.item.id for match in matches]
        overlap = self._overlap_of.get(liked[0]) if liked else None
        exclusion = self.exclusions.get(hits[0].key) if hits else None
        if exclusion is None and matches:
            exclusion = self._excluded.get(liked[0])
        chosen: Item | None = None
        condition: Text | None = None
        if exclusion is not None:
            reason = _excluded_reason(exclusion)
            overlap = None
        elif not matches:
            reason = _unlisted_reason(self.unlisted)
        elif overlap is None:
            chosen = matches[0].item
            reason, condition = _plain_reason(matches[0]), chosen.category.condition
        else:
            chosen, case = self.resolve(overlap, known, liked)
            reason = self._overlap_reason(overlap, chosen, case, known)
            condition = self._otherwise(overlap, chosen, known, liked)
        shown = self._shown(matches, overlap, limit)
        return Finding(
            text=text,
            matches=shown,
            overlap=overlap,
            chosen=chosen,
            exclusion=exclusion,
            facts=known,
            reason=reason,
            condition=condition,
        )

    def _shown(
        self, matches: tuple[Match, ...], overlap: Overlap | None, limit: int
    ) -> tuple[Match, ...]:
        # Whoever asks about one side of an overlap is shown its other sides too.
        if overlap is None:
            return matches[:limit]
        listed = {match.item.id for match in matches}
        others = [
            Match(item=item, score=0.0, term=overlap.name.zh)
            for item in self.members(overlap)
            if item.id not in listed
        ]
        return (*matches[:limit], *others)

    def _phrase(self, facts: Collection[str]) -> Text:
        texts = [c.text for c in self.conditions.values() if c.id in facts]
        return Text(en=" or ".join(t.en for t in texts), zh="或".join(t.zh for t in texts))

    def _overlap_reason(
        self, overlap: Overlap, chosen: Item, case: Case, known: frozenset[str]
    ) -> Text:
        places = [item.id for item in self.members(overlap)]
        because = self._phrase([fact for fact in case.when if fact in known])
        if not case.when:
            because = Text(en="no circumstance says otherwise", zh="没有其他情形")
        note = overlap.note or Text(en="", zh="")
        return Text(
            en=f"'{overlap.name.en}' stands in {', '.join(places)}; because {because.en}, "
            f"{chosen.id} holds: {chosen.mode.text.en}."
            + (f" Note: {note.en}." if note.en else ""),
            zh=f"“{overlap.name.zh}”同时列于 {'、'.join(places)}；因{because.zh}，"
            f"适用 {chosen.id}：{chosen.mode.text.zh}。"
            + (f"说明：{note.zh}。" if note.zh else ""),
        )

    def _otherwise(
        self, overlap: Overlap, chosen: Item, known: frozenset[str], liked: Sequence[str]
    ) -> Text | None:
        said: list[Text] = []
        for case in overlap.cases:
            other, used = self.resolve(overlap, {*known, *case.when[:1]}, liked)
            if used is not case or other is chosen:
                continue
            when = self._phrase(case.when)
            said.append(
                Text(
                    en=f"If {when.en}: {other.id}, {other.mode.text.en}.",
                    zh=f"如{when.zh}：适用 {other.id}，{other.mode.text.zh}。",
                )
            )
        if not said:
            return None
        return Text(en=" ".join(t.en for t in said), zh="".join(t.zh for t in said))


def _plain_reason(match: Match) -> Text:
    item = match.item
    return Text(
        en=f"'{match.term}' is in {item.id} '{item.name.en}' ({item.category.seed} "
        f"{item.category.section}): {item.mode.text.en}.",
        zh=f"“{match.term}”列于 {item.id}“{item.name.zh}”（{item.category.seed} "
        f"{item.category.section}）：{item.mode.text.zh}。",
    )


def _excluded_reason(exclusion: Exclusion) -> Text:
    return Text(
        en=f"{exclusion.id}: {exclusion.name.en}; the hotline does not take it (R02, "
        f"{exclusion.seed}): explain and guide the citizen.",
        zh=f"{exclusion.id}：{exclusion.name.zh}，不纳入12345受理范围（R02，{exclusion.seed}），"
        "请做好解释引导。",
    )


def _unlisted_reason(unlisted: Unlisted) -> Text:
    return Text(
        en=f"No entry fits. {unlisted.text.en} ({unlisted.rule}, {unlisted.seed}); "
        f"file it under {' or '.join(unlisted.items)}.",
        zh=f"清单中没有相符事项。{unlisted.text.zh}（{unlisted.rule}，{unlisted.seed}），"
        f"可归入 {'或'.join(unlisted.items)}。",
    )


def load_catalog(entries: Traversable | Path, rules: Traversable | Path) -> Catalog:
    """Return the catalogue of two data files; raise `DataError` naming the key at fault."""
    table = Table.read(rules)
    loaded = load_entries(entries, category_conditions(table))
    return Catalog(loaded, load_arrangements(table, loaded.items))


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """Return the package's own catalogue, all lists and exclusions in it, loaded once."""
    return load_catalog(package_data("catalogue.json"), package_data("catalogue_rules.toml"))
