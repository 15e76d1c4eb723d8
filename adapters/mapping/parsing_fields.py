"""A field's way out of TOML: what its keys may be, and whether they fit the place in the message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from adapters.mapping.cleaning import CLEANINGS
from adapters.mapping.coding import Codes, Unmapped
from adapters.mapping.document import Column, Condition, Field, Keyed, Scalar, Way
from adapters.mapping.expressions import Expression, NotAnExpression, compiled
from adapters.mapping.hearing import template_fault
from adapters.mapping.places import HEARD, NoSuchPlace, shape_at
from adapters.mapping.times import TimeForm, fault_of, zone
from exchange.acts import Kind
from exchange.client.shapes import Shape
from exchange.reading import Table, nearest
from exchange.text import Text

#: Every key of a field, of a column, and of what says how times are written.
_KEYS = (
    "column", "columns", "separator", "part", "list", "value", "expression", "digest", "key", "newest",
    "codes", "local", "system", "display", "time", "zone", "zero", "clean", "default", "required",
    "length", "cut", "way",
)  # fmt: skip
_COLUMN_KEYS = ("from", "value", "expression", "new", "time", "zone", "zero", "length", "cut")
_SOURCES = ("column", "columns", "value", "expression", "digest", "newest")


class Surroundings:
    """What fields of one file share: its zone and its code tables."""

    def __init__(self, home: tzinfo, codes: Mapping[str, Codes]) -> None:
        self.home = home
        self.codes = codes

    def time(self, table: Table, default: str = "native") -> TimeForm:
        """Return how a table's ``time``, ``zone`` and ``zero`` say that times are written."""
        form = table.text("time", default)
        wrong = fault_of(form)
        if wrong is not None:
            raise table.fault("time", wrong)
        name = table.text("zone", "")
        here = zone(name) if name else self.home
        if here is None:
            raise table.fault("zone", _NO_ZONE.fill(zone=name))
        empty = table.one_of("zero", ("refuse", "empty"), "refuse") == "empty"
        return TimeForm(form=form, zone=here, zero_is_empty=empty)


def read_field(table: Table, path: str, around: Surroundings, kinds: Iterable[Kind]) -> Field:
    """Return the field at key *path* of *table*; raises `DataError` naming the key."""
    try:
        shape = shape_at(path, kinds)
    except NoSuchPlace as wrong:
        raise table.fault(path, wrong.text) from wrong
    if table.kind(path) is str:
        time = TimeForm(form="native", zone=around.home) if shape.type == "time" else None
        field = Field(path=path, shape=shape, columns=(table.text(path),), time=time)
        _require_codes(table, path, field)
        return field
    return _spelt(table, path, shape, around, tuple(kinds))


def _spelt(
    outer: Table, path: str, shape: Shape, around: Surroundings, kinds: tuple[Kind, ...]
) -> Field:
    given = outer.table(path)
    sources = [name for name in _SOURCES if name in given]
    if len(sources) != 1:
        raise outer.fault(path, _ONE_SOURCE.fill(sources=", ".join(_SOURCES)))
    columns = (given.text("column"),) if "column" in given else given.words("columns", ())
    if "columns" in given and len(columns) < 2:
        raise given.fault("columns", _TWO_COLUMNS)
    field = Field(
        path=path,
        shape=shape,
        way=Way(given.one_of("way", [way.value for way in Way], "both")),
        columns=columns,
        separator=given.text("list", "") or given.text("separator", ""),
        part=given.integer("part") if "part" in given else None,
        value=given.scalar("value") if "value" in given else None,
        expression=expression(given, "expression", frozenset({"row", "said"})),
        keyed=_keyed(given),
        newest=_newest(given),
        codes=_codes(given, around),
        local=_local(given, kinds),
        system=given.text("system", ""),
        display=given.text("display", ""),
        time=around.time(given) if shape.type == "time" or "time" in given else None,
        clean=_clean(given),
        default=given.scalar("default") if "default" in given else None,
        required=given.boolean("required", default=False),
        length=given.integer("length", 0),
        cut=given.boolean("cut", default=False),
    )
    _require_sense(given, field)
    given.done(_KEYS)
    _require_codes(outer, path, field)
    return field


def _require_sense(given: Table, field: Field) -> None:
    """Raise for keys that contradict each other."""
    if len(field.columns) > 1 and not field.separator and field.way is not Way.SAY:
        raise given.fault("columns", _NO_SEPARATOR)
    if field.part is not None and (
        len(field.columns) != 1 or not field.separator or field.part < 0
    ):
        raise given.fault("part", _PART)
    if field.shape.type == "time" and field.codes is not None:
        raise given.fault("codes", _NO_CODES)
    codes = field.codes
    passes = codes is not None and codes.unmapped is Unmapped.LOCAL and field.way is not Way.HEAR
    if codes is not None and passes and field.shape.type == "word" and not field.local:
        raise given.fault("codes", _NO_LOCAL.fill(codes=codes.name))
    if field.value is not None:
        _require_word(given, "value", field, field.value)
    if field.default is not None:
        _require_word(given, "default", field, field.default)
    if codes is not None and field.shape.words:
        for word in {
            *codes.forward.values(),
            *([codes.default] if codes.default is not None else []),
        }:
            if word not in field.shape.words:
                hint = nearest(str(word), field.shape.words)
                raise Table({}, file=given.file, path=f"codes.{codes.name}").fault(
                    "values",
                    Text(
                        en=f"the code table '{codes.name}' gives '{word}', which is no word of "
                        f"{field.path}; {hint.en}",
                        zh=f"代码表“{codes.name}”的“{word}”不是 {field.path} 的取值；{hint.zh}",
                    ),
                )


def _require_word(given: Table, key: str, field: Field, value: Scalar) -> None:
    if field.shape.words:
        given.check(key, str(value), field.shape.words)


def _require_codes(table: Table, path: str, field: Field) -> None:
    """A coded value says of which table its code is."""
    if (
        field.shape.type == "coded"
        and not field.system
        and (field.codes is None or not field.codes.system)
    ):
        raise table.fault(path, _NO_SYSTEM)


def _keyed(given: Table) -> Keyed | None:
    if "digest" not in given:
        return None
    columns = (given.text("digest"),) if given.kind("digest") is str else given.words("digest")
    return Keyed(columns=columns, key=given.text("key", ""))


def _newest(given: Table) -> tuple[Kind, ...]:
    if "newest" not in given:
        return ()
    known = [kind.value for kind in Kind]
    if given.kind("newest") is str:
        return (Kind(given.one_of("newest", known)),)
    return tuple(Kind(word) for word in given.some_of("newest", known))


def _codes(given: Table, around: Surroundings) -> Codes | None:
    if "codes" not in given:
        return None
    return around.codes[given.one_of("codes", around.codes)]


def _clean(given: Table) -> tuple[str, ...]:
    if given.kind("clean") is str:
        return (given.one_of("clean", CLEANINGS),)
    return given.some_of("clean", CLEANINGS, ())


def _local(given: Table, kinds: tuple[Kind, ...]) -> str:
    path = given.text("local", "")
    if path:
        try:
            shape = shape_at(path, kinds)
        except NoSuchPlace as wrong:
            raise given.fault("local", wrong.text) from wrong
        if shape.type != "coded":
            raise given.fault("local", _NOT_CODED)
    return path


def expression(given: Table, key: str, names: frozenset[str]) -> Expression | None:
    """Return the expression at *key*, None where there is none."""
    if key not in given:
        return None
    try:
        return compiled(given.text(key), names)
    except NotAnExpression as wrong:
        raise given.fault(key, wrong.text) from wrong


def read_condition(table: Table, key: str, names: frozenset[str]) -> Condition:
    """Return the condition at *key*: columns with the texts they may have, or an expression."""
    if key not in table:
        return Condition()
    if table.kind(key) is str:
        return Condition(expression=expression(table, key, names))
    given = table.table(key)
    columns: dict[str, frozenset[str]] = {}
    for column in given:
        if given.kind(column) is list:
            columns[column] = frozenset(given.words(column))
        else:
            value = given.scalar(column)
            columns[column] = frozenset(
                {str(value).lower() if isinstance(value, bool) else str(value)}
            )
    given.done()
    return Condition(columns=columns)


def read_column(table: Table, name: str, around: Surroundings, kinds: Iterable[Kind]) -> Column:
    """Return the column at key *name*: a place in quotes, or a table with one source."""
    if table.kind(name) is str:
        path = table.text(name)
        _require_place(table, name, path, kinds)
        return Column(column=name, path=path, time=_time_of(table, path, around, kinds))
    given = table.table(name)
    if sum(key in given for key in ("from", "value", "expression", "new")) != 1:
        raise table.fault(name, _ONE_SOURCE.fill(sources="from, value, expression, new"))
    path = given.text("from", "")
    if path:
        _require_place(given, "from", path, kinds)
    new = given.text("new", "")
    wrong = template_fault(new) if new else None
    if wrong is not None:
        raise given.fault("new", wrong)
    timed = "time" in given
    found = Column(
        column=name,
        path=path,
        value=given.scalar("value") if "value" in given else None,
        expression=expression(given, "expression", frozenset({"message"})),
        new=new,
        time=around.time(given) if timed else _time_of(given, path, around, kinds),
        length=given.integer("length", 0),
        cut=given.boolean("cut", default=False),
    )
    given.done(_COLUMN_KEYS)
    return found


def _require_place(table: Table, key: str, path: str, kinds: Iterable[Kind]) -> None:
    if path == "message":
        return
    if path.startswith("header.") and path.removeprefix("header.") in HEARD:
        return
    try:
        shape_at(path, kinds)
    except NoSuchPlace as wrong:
        raise table.fault(key, wrong.text) from wrong


def _time_of(
    table: Table, path: str, around: Surroundings, kinds: Iterable[Kind]
) -> TimeForm | None:
    del table
    if path in ("", "message") or path.removeprefix("header.") in (
        "kind",
        "message_id",
        "author",
        "digest",
    ):
        return None
    if shape_at(path, kinds).type != "time":
        return None
    return TimeForm(form="native", zone=around.home)


_LIST = Text(
    en="{path} is a list: say which of it, such as {path}[0].",
    zh="{path} 是列表，请指明第几项，例如 {path}[0]。",
)
_NO_ZONE = Text(
    en="'{zone}' is no time zone; write Asia/Shanghai or +08:00.",
    zh="“{zone}”不是时区；例如 Asia/Shanghai 或 +08:00。",
)
_ONE_SOURCE = Text(
    en="exactly one of these must say where it comes from: {sources}.",
    zh="须且仅须给出以下之一作为来源：{sources}。",
)
_TWO_COLUMNS = Text(
    en="joins two or more columns; for one write column = \"…\".", zh="用于合并两列以上；单列请写 column = \"…\"。"
)  # fmt: skip
_NO_SEPARATOR = Text(
    en="joined columns need a separator to be split again; or way = \"say\" says that they need not be.",
    zh="合并各列须有 separator 才能再拆分；不需拆分时写 way = \"say\"。",
)  # fmt: skip
_PART = Text(
    en="a part is counted from 0, of one column, with a separator.",
    zh="part 从 0 起，用于单列，且须有 separator。",
)
_NO_CODES = Text(en="a time has no code table.", zh="时间不使用代码表。")
_NO_LOCAL = Text(
    en="the code table '{codes}' passes unmapped codes as local ones: say where, with local = \"…_codes[0]\".",
    zh="代码表“{codes}”将未对照代码作为本地代码传送：请以 local = \"…_codes[0]\" 说明其位置。",
)  # fmt: skip
_NO_SYSTEM = Text(
    en="a coded value says of which table it is: system = \"GB/T …\" or the name of your own table.",
    zh="代码值须说明所属代码表：system = \"GB/T …\" 或本地代码表名称。",
)  # fmt: skip
_NOT_CODED = Text(en="must be the place of a coded value.", zh="须为代码值的位置。")
