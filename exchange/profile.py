"""
Profiles (方案): one region's rules of linkage as data.

Five profiles are the five seeds; ``national`` holds what the State Council's document (国办发
〔2022〕12号) and the seeds have in common, and our own choices where all are silent (deadlines:
no seed gives a number).  A region's file states its own rules and takes the rest from
``national``.  Every rule cites its R-number and the seed it stands in, with the seed's words, or
``ours``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from exchange.catalog import Catalog, catalog
from exchange.divisions import COUNTRY, divisions, is_within, prefix_of
from exchange.errors import DataError
from exchange.organisations import Direction, Service
from exchange.provisions import (
    SEEDS,
    Citation,
    DeadlineRule,
    RuleReader,
    Ruling,
    ShareScope,
    read_assessors,
    read_deadlines,
)
from exchange.reading import Table, nearest, package_data
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """
    One region's rules.

    ``catalogue_source`` says whose list of matters is used: a seed, or ``default (ours)``.
    ``citations`` has one entry per rule, under the rule's name; ``assess.<direction>.<owner>`` for
    the assessors.
    """

    name: str
    edition: str
    region: str
    title: Text
    seed: str
    document: str

    catalogue: Catalog = field(compare=False, repr=False)
    catalogue_lists: frozenset[str]
    catalogue_source: str
    exclusions: frozenset[str]

    #: R30: both desks negotiate an unclear matter; without it the first receiver keeps it.
    negotiation: bool
    first_receiver_may_return: bool
    dispute_default: Ruling
    #: R14: the sender reviews internally before it offers; R14, R15: it states its reason.
    review_required: frozenset[Direction]
    reason_required: frozenset[Direction]
    #: R05: a county's 110 reaches 12345 only through the city's 110.
    county_relay: bool
    #: R40: emergency levels (1 to 4) that 110 handles first, and of which it notifies 12345.
    levels_110_first: frozenset[int]
    levels_notify_hotline: frozenset[int]
    #: R24: categories handed to 110 at once with a parallel own duty of the hotline.
    immediate_categories: frozenset[str]
    #: R12, R13, S4 附件四: categories 110 disposes of before it hands them to 12345.
    prior_disposal_categories: frozenset[str]
    #: R13: categories that cross only if no case was opened.
    no_case_categories: frozenset[str]
    #: R22: leads touching social stability go to 110 at once.
    leads_to_110: bool
    #: R23: grounds on which a unit calls 110 while it handles an order.
    escalation_grounds: frozenset[str]
    #: R31: where there is danger 110 acts at once whatever the dispute.
    danger_to_110: bool
    #: R21, R32: a return states the emergency measures taken.
    return_needs_measures: bool
    #: R07, R04: allowed forms of linkage; R06: matters from the internet cross by system.
    linkage: frozenset[str]
    internet_by_system: bool
    #: R50, R53, R54: what is counted, and for which periods; R50: published or not.
    indicators: tuple[str, ...]
    periods: tuple[str, ...]
    bulletin_public: bool
    supervision_forms: tuple[str, ...]
    #: R48: what both sides see by default.
    share_scope: ShareScope
    #: The citizen is visited after the hand-off is closed (S3, S4) or before.
    visit_after_close: bool
    #: R51: who assesses, by direction and by whose matter it is.
    assessors: Mapping[tuple[Direction, Service], Service]
    #: In order of precedence: the first that fits holds.
    deadlines: tuple[DeadlineRule, ...]
    #: A reminder is due when this percentage of a limit has run.
    remind_at_percent: int
    citations: Mapping[str, Citation]

    def assessor(self, direction: Direction, owner: Service) -> Service:
        """Return who assesses a hand-off of a matter that is *owner*'s (R51)."""
        return self.assessors.get((direction, owner), Service.HOTLINE)

    def assessor_of(self, matter: str, direction: Direction) -> Service:
        """Return who assesses a hand-off of *matter*; one that no list has is the hotline's."""
        item = self.catalogue.get(matter)
        return self.assessor(
            direction, item.category.owner if item is not None else Service.HOTLINE
        )

    def applies_to(self, region: str) -> bool:
        """Return whether the division *region* lies in the profile's."""
        return is_within(region, self.region)


def _read(source: Traversable | Path, base: Table | None) -> Profile:
    whole = Table.read(source)
    region = whole.text("region")
    if region != COUNTRY and divisions().find(region) is None:
        raise whole.fault("region", Text(en=f"no division {region}.", zh=f"没有区划 {region}。"))
    matters = (whole if base is None or "catalogue" in whole else base).table("catalogue")
    lists = matters.some_of("lists", (entry.id for entry in catalog().lists))
    exclusions = matters.some_of("exclusions", catalog().exclusion_lists)
    catalogue_source = matters.text("source")
    matters.done()
    view = catalog().view(lists, exclusions)
    own, other = whole.table("rules"), base.table("rules") if base is not None else None
    rules = RuleReader(own, other, view)
    deadlines = read_deadlines(whole.tables("deadlines"))
    assess = whole.tables("assess")
    if base is not None:
        deadlines += read_deadlines(base.tables("deadlines"))
        assess = assess or base.tables("assess")
    profile = Profile(
        name=whole.text("name"),
        edition=whole.text("edition"),
        region=region,
        title=whole.bilingual("title_zh", "title_en"),
        seed=whole.one_of("seed", SEEDS),
        document=whole.text("document"),
        catalogue=view,
        catalogue_lists=frozenset(lists),
        catalogue_source=catalogue_source,
        exclusions=frozenset(exclusions),
        negotiation=rules.flag("negotiation"),
        first_receiver_may_return=rules.flag("first_receiver_may_return"),
        dispute_default=Ruling(rules.word("dispute_default", (r.value for r in Ruling))),
        review_required=rules.directions("review_required"),
        reason_required=rules.directions("reason_required"),
        county_relay=rules.flag("county_relay"),
        levels_110_first=rules.levels("levels_110_first"),
        levels_notify_hotline=rules.levels("levels_notify_hotline"),
        immediate_categories=rules.categories("immediate_categories"),
        prior_disposal_categories=rules.categories("prior_disposal_categories"),
        no_case_categories=rules.categories("no_case_categories"),
        leads_to_110=rules.flag("leads_to_110"),
        escalation_grounds=frozenset(rules.codes("escalation_grounds", "escalation-ground")),
        danger_to_110=rules.flag("danger_to_110"),
        return_needs_measures=rules.flag("return_needs_measures"),
        linkage=frozenset(rules.codes("linkage", "linkage")),
        internet_by_system=rules.flag("internet_by_system"),
        indicators=rules.codes("indicators", "indicator"),
        periods=rules.codes("periods", "period"),
        bulletin_public=rules.flag("bulletin_public"),
        supervision_forms=rules.codes("supervision_forms", "supervision-form"),
        share_scope=ShareScope(rules.word("share_scope", (s.value for s in ShareScope))),
        visit_after_close=rules.flag("visit_after_close"),
        assessors=read_assessors(assess, rules.citations),
        deadlines=deadlines,
        remind_at_percent=rules.percent("remind_at_percent"),
        citations=rules.citations,
    )
    own.done()
    whole.done()
    return profile


def names() -> tuple[str, ...]:
    """Return the names of the package's profiles."""
    folder = package_data("profiles").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder if f.name.endswith(".toml")))


def load(name_or_path: str | Path) -> Profile:
    """
    Return a profile of the package by its name, or a site's own by its path (``….toml``).

    Raises `DataError` naming file, key and the nearest valid word for anything unknown in it.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        return _read(Path(name_or_path), Table.read(package_data("profiles", "national.toml")))
    return _packaged(name_or_path)


@lru_cache(maxsize=64)
def _packaged(name: str) -> Profile:
    known = names()
    if name not in known:
        hint = nearest(name, known)
        raise DataError(
            Text(en=f"There is no profile '{name}'; {hint.en}", zh=f"没有方案“{name}”；{hint.zh}"),
            profile=name,
        )
    national = package_data("profiles", "national.toml")
    if name == "national":
        return _read(national, None)
    return _read(package_data("profiles", f"{name}.toml"), Table.read(national))


@lru_cache(maxsize=1)
def installed() -> Mapping[str, Profile]:
    """Return the package's profiles by name, loaded once."""
    return {name: load(name) for name in names()}


def for_region(region: str, profiles: Iterable[Profile] | None = None) -> Profile:
    """
    Return the profile of the smallest region that holds the division *region*.

    Raises `DataError` if none does; the package's ``national`` holds all.
    """
    known = installed().values() if profiles is None else profiles
    fitting = [profile for profile in known if profile.applies_to(region)]
    if not fitting:
        raise DataError(
            Text(en=f"No profile is for region {region}.", zh=f"没有适用于 {region} 的方案。"),
            region=region,
        )
    return max(fitting, key=lambda profile: len(prefix_of(profile.region)))
