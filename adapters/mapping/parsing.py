"""
A mapping file's way out of TOML.

Whatever is wrong is a `DataError` that names file, line and key, what is wrong and the nearest right
word.  `load` raises the first; `read` gives them all, for who mends a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

from adapters.mapping.document import (
    DUTY_KINDS,
    About,
    Document,
    Field,
    HearRule,
    SayRule,
    Sheet,
    Status,
    Writing,
)
from adapters.mapping.lines import line_of
from adapters.mapping.parsing_codes import read_codes
from adapters.mapping.parsing_fields import Surroundings, read_column, read_condition, read_field
from adapters.mapping.parsing_files import read_attachments, read_said
from adapters.mapping.times import zone
from exchange.acts import TICKET_KINDS, Kind
from exchange.client.shapes import groups_needed
from exchange.errors import DataError
from exchange.reading import Table
from exchange.text import Text

#: A mapping file may have this many bytes; a province's largest has some 200 KB.
MAX_BYTES = 4_194_304

_SHEET_KEYS = ("table", "key", "status", "changed", "overlap", "order", "ready", "settle", "about")
_SECTIONS = ("http", "folder")
_RULE_KEYS = (
    "kind", "sheet", "when", "also", "after", "duty", "revision", "use", "fields", "columns", "write",
    "attachments",
)  # fmt: skip
_KINDS = [kind.value for kind in Kind]
_OPENERS = [kind.value for kind in DUTY_KINDS]
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a file, and where."""

    file: str
    line: int
    key: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A file as far as it could be read; *document* is None where nothing came of it."""

    document: Document | None
    faults: tuple[Fault, ...]


def load(path: Path) -> Document:
    """Return the mapping in a file; raises `DataError` for the first thing that is wrong."""
    found = read(path)
    if found.faults or found.document is None:
        first = found.faults[0]
        raise DataError(first.text, file=first.file, key=first.key)
    return found.document


def read(path: Path) -> Read:
    """Return the mapping in a file and everything that is wrong with it; raises nothing."""
    reader = _Reader(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(_LARGE.fill(file=path, limit=MAX_BYTES), file=str(path))
        whole = Table.read(path)
        reader.source = path.read_text(encoding="utf-8")
        document = reader.document(whole)
    except OSError:
        document = None
        with reader.noting():
            Table.read(path)  # says why in both languages
    except DataError as error:
        reader.note(error)
        document = None
    return Read(document=document, faults=tuple(dict.fromkeys(reader.faults)))


def fault_of(error: DataError, path: Path, source: str) -> Fault:
    """Return what is wrong with the mapping at *path*, whose text is *source*, with the line of its key."""
    key, file = str(error.facts.get("key", "")), str(path)
    line = line_of(source, key) if key else 1
    text = error.text
    if key:
        text = Text(
            en=text.en.replace(f"{file}: ", f"{file}:{line}: ", 1),
            zh=text.zh.replace(f"{file}：", f"{file}:{line}：", 1),
        )
    return Fault(file=file, line=line, key=key, text=text)


class _Reader:
    """Reads one file; notes what is wrong and goes on with the next rule."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = ""
        self.faults: list[Fault] = []
        self._sheets: dict[str, Sheet] = {}
        self._sets: dict[str, Table] = {}
        self._around: Surroundings

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what goes wrong inside."""
        try:
            yield
        except DataError as error:
            self.note(error)

    def note(self, error: DataError) -> None:
        """Note *error* with the line of its key."""
        self.faults.append(fault_of(error, self.path, self.source))

    def document(self, whole: Table) -> Document:
        """Return the document; raises `DataError` where the platform's own table is wrong."""
        platform = whole.table("platform")
        name = platform.text("name")
        zone_name = platform.text("zone")
        home = zone(zone_name)
        if home is None:
            raise platform.fault("zone", _NO_ZONE.fill(zone=zone_name))
        unheard = frozenset(Kind(word) for word in platform.some_of("unheard", _KINDS, ()))
        platform.done()
        codes = self._named(whole, "codes", read_codes)
        self._around = Surroundings(home, codes)
        self._sheets = self._named(whole, "sheets", self._sheet)
        for sheet in self._sheets.values():
            with self.noting():
                self._require_about(whole, sheet)
        if "fields" in whole:
            sets = whole.table("fields")
            self._sets = {one: sets.table(one) for one in sets}
        say = [rule for given in whole.tables("say") for rule in self._one(given, self._say)]
        hear = [rule for given in whole.tables("hear") for rule in self._one(given, self._hear)]
        attachments = None
        with self.noting():
            for adapter in _SECTIONS:  # read by the adapters that are named so
                whole.ask(adapter)
            attachments = read_attachments(
                whole, self._sheets, [file for rule in say for file in rule.files]
            )
            whole.done(("platform", "sheets", "codes", "fields", "say", "hear", "attachments"))
        return Document(
            file=str(self.path),
            name=name,
            zone=home,
            zone_name=zone_name,
            sheets=self._sheets,
            codes=codes,
            say=tuple(say),
            hear=tuple(hear),
            unheard=unheard,
            attachments=attachments,
            digest=sha256(self.source.encode()).hexdigest()[:16],
            section=next((one for one in _SECTIONS if one in whole), ""),
        )

    def _named(self, whole: Table, key: str, reads: Reads[_T]) -> dict[str, _T]:
        found: dict[str, _T] = {}
        if key in whole:
            given = whole.table(key)
            for name in given:
                with self.noting():
                    found[name] = reads(given.table(name), name)
        return found

    def _one(self, given: Table, reads: Reads[_T]) -> list[_T]:
        with self.noting():
            return [reads(given, given.at("").removesuffix("."))]
        return []

    def _sheet(self, given: Table, name: str) -> Sheet:
        key = given.words("key")
        if not key:
            raise given.fault("key", _NO_KEY)
        about = None
        if "about" in given:
            inner = given.table("about")
            about = About(sheet=inner.text("sheet"), columns=inner.words("columns"))
            inner.done()
        found = Sheet(
            name=name,
            table=given.text("table", name),
            key=key,
            status=_status(given),
            changed=given.text("changed", ""),
            overlap=_seconds(given, "overlap", 600.0),
            order=given.words("order", ()),
            ready=read_condition(given, "ready", frozenset({"row"})),
            settle=_seconds(given, "settle", 0.0),
            about=about,
        )
        given.done(_SHEET_KEYS)
        return found

    def _require_about(self, whole: Table, sheet: Sheet) -> None:
        if sheet.about is None:
            return
        inner = whole.table("sheets").table(sheet.name).table("about")
        inner.check("sheet", sheet.about.sheet, self._sheets)
        wanted = self._sheets[sheet.about.sheet].key
        if len(wanted) != len(sheet.about.columns):
            raise inner.fault(
                "columns", _ABOUT.fill(sheet=sheet.about.sheet, key=", ".join(wanted))
            )

    def _say(self, given: Table, name: str) -> SayRule:
        kind = Kind(given.one_of("kind", _KINDS))
        found = SayRule(
            name=name,
            kind=kind,
            sheet=given.one_of("sheet", self._sheets),
            when=read_condition(given, "when", frozenset({"row", "said"})),
            also=given.boolean("also", default=False),
            after=tuple(Kind(word) for word in given.some_of("after", _KINDS, ())),
            duty=_duty(given, kind),
            revision=given.words("revision", ()),
            fields=_needed(kind, self._fields(given, frozenset({kind}))),
            files=read_said(given, kind),
        )
        given.done(_RULE_KEYS)
        return found

    def _hear(self, given: Table, name: str) -> HearRule:
        if given.kind("kind") is list:
            kinds = frozenset(Kind(word) for word in given.some_of("kind", _KINDS))
        else:
            word = given.one_of("kind", [*_KINDS, "*"])
            kinds = frozenset() if word == "*" else frozenset({Kind(word)})
        meant = kinds or frozenset(Kind)
        sheet = given.one_of("sheet", self._sheets)
        columns = []
        if "columns" in given:
            table = given.table("columns")
            for column in table:
                with self.noting():
                    columns.append(read_column(table, column, self._around, meant))
        found = HearRule(
            name=name,
            kinds=kinds,
            sheet=sheet,
            writing=Writing(given.one_of("write", [one.value for one in Writing], "insert")),
            when=read_condition(given, "when", frozenset({"message"})),
            fields=self._fields(given, meant),
            columns=tuple(columns),
        )
        given.done(_RULE_KEYS)
        return found

    def _fields(self, given: Table, kinds: frozenset[Kind]) -> tuple[Field, ...]:
        """Return a rule's own fields, and those of the sets it uses that it does not say itself."""
        ordered = sorted(kinds, key=_KINDS_ORDER.__getitem__)
        found: dict[str, Field] = {}
        for name in given.some_of("use", self._sets, ()):
            found |= self._set(self._sets[name], ordered)
        if "fields" in given:
            found |= self._set(given.table("fields"), ordered)
        return _together(tuple(found.values()))

    def _set(self, table: Table, kinds: list[Kind]) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for path in table:
            with self.noting():
                found[path] = read_field(table, path, self._around, kinds)
        return found


_KINDS_ORDER = {kind: number for number, kind in enumerate(Kind)}


def _duty(given: Table, kind: Kind) -> tuple[Kind, ...]:
    """Return the kinds that open the own duty a rule is about; raises `DataError`."""
    if "duty" in given and kind in TICKET_KINDS | {Kind.OFFER}:
        raise given.fault("duty", _NO_DUTY.fill(kind=kind.value))
    return tuple(Kind(word) for word in given.some_of("duty", _OPENERS, ()))


class Reads(Protocol[_T_co]):
    """A reader of one table of the file."""

    def __call__(self, given: Table, name: str, /) -> _T_co:
        """Return what the table says."""


def _status(given: Table) -> Status | None:
    if "status" not in given:
        return None
    if given.kind("status") is str:
        return Status(column=given.text("status"))
    inner = given.table("status")
    words = {
        word: str(inner.scalar(word))
        for word in ("new", "pushed", "processed", "refused")
        if word in inner
    }
    found = Status(column=inner.text("column"), detail=inner.text("detail", ""), **words)
    inner.done(("column", "new", "pushed", "processed", "refused", "detail"))
    return found


def _seconds(given: Table, key: str, default: float) -> float:
    if key not in given:
        return default
    value = given.scalar(key)
    if isinstance(value, bool | str) or value < 0:
        raise given.fault(key, _NO_SECONDS)
    return float(value)


def _needed(kind: Kind, fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return *fields*, those without which *kind* cannot be said asked for."""
    around = {"header", "act", *groups_needed(kind)}
    return tuple(
        replace(field, required=True)
        if field.shape.required
        and field.path.count(".") == 1
        and field.path.split(".")[0] in around
        else field
        for field in fields
    )


def _together(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return *fields*, each knowing how many share its column and whose codes stand beside its own."""
    counts: dict[str, int] = {}
    for field in fields:
        if field.part is not None:
            counts[field.columns[0]] = max(counts.get(field.columns[0], 0), field.part + 1)
    systems: dict[str, set[str]] = {}
    for field in fields:
        if field.shape.type == "coded":
            systems.setdefault(_list_of(field), set()).update(_systems(field))
    return tuple(
        replace(
            field,
            part_count=counts.get(field.columns[0], 0) if field.part is not None else 0,
            others=frozenset(systems.get(_list_of(field), set()) - _systems(field)),
        )
        for field in fields
    )


def _list_of(field: Field) -> str:
    return field.path.rpartition("[")[0] or field.path


def _systems(field: Field) -> set[str]:
    codes = field.codes
    return {field.system, *((codes.system, codes.common) if codes else ())} - {""}


_LARGE = Text(
    en="{file} is larger than {limit} bytes: is it a mapping?",
    zh="{file} 超过 {limit} 字节：是否确为映射文件？",
)
_NO_ZONE = Text(
    en="'{zone}' is no time zone; write Asia/Shanghai or +08:00.",
    zh="“{zone}”不是时区；例如 Asia/Shanghai 或 +08:00。",
)
_NO_KEY = Text(en="names the columns that identify a record.", zh="须列出标识记录的列。")
_ABOUT = Text(
    en="the key of '{sheet}' is {key}: give as many columns, in that order.",
    zh="“{sheet}”的主键为 {key}：请按此顺序给出同样多的列。",
)
_NO_DUTY = Text(
    en="'{kind}' is not said on an own duty; 'duty' stands with what is, such as a result or a close.",
    zh="“{kind}”不在自办上提交；duty 用于 result、close 等。",
)
_NO_SECONDS = Text(en="must be seconds, 0 or more.", zh="须为秒数，不小于 0。")
