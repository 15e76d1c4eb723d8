"""What a mapping is drafted from: a database's tables, a JSON sample, an OpenAPI file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from adapters.mapping.abbreviations import DECIDES, STATUS, meaning, plain
from adapters.mapping.places import shape_at
from adapters.mapping.trying import leaves
from exchange.acts import Kind
from exchange.causes import cause
from exchange.errors import InvalidRequest
from exchange.reading import nearest
from exchange.text import Text

#: So many different values may a column of codes have; more are no codes.
CODES_MOST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """
    One column: its *kind* as the source calls it, and *values* it holds where those are codes.

    *sample* is one value of a JSON sample; of a database none is read but codes.
    """

    name: str
    kind: str = ""
    length: int = 0
    comment: str = ""
    values: tuple[str, ...] = ()
    sample: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table, or one shape of record, and where it was found."""

    name: str
    where: str
    key: tuple[str, ...] = ()
    columns: tuple[SourceColumn, ...]


def from_database(url: str, names: Iterable[str]) -> list[Source]:
    """Return the tables called *names*, all where none is named; raises `InvalidRequest`."""
    from adapters.table.database import open_existing  # noqa: PLC0415 - the same way in

    engine = open_existing(url)
    try:
        look = inspect(engine)
        known = [*look.get_table_names(), *look.get_view_names()]
        wanted = list(names) or [one for one in known if not one.lower().startswith("exchange_")]
        if not wanted:
            raise InvalidRequest(_NO_TABLES)
        found = []
        for name in wanted:
            real = next((one for one in known if one.lower() == name.lower()), None)
            if real is None:
                hint = nearest(name, known)
                raise InvalidRequest(
                    Text(
                        en=f"There is no table '{name}'; {hint.en}", zh=f"没有表“{name}”；{hint.zh}"
                    )
                )
            table = Table(real, MetaData(), autoload_with=engine)
            found.append(_table(engine, table, look))
        return found
    except SQLAlchemyError as error:
        why = type(getattr(error, "orig", None) or error).__name__
        raise InvalidRequest(_NO_DATABASE.fill(why=why)) from error
    finally:
        engine.dispose()


def _table(engine: Any, table: Table, look: Any) -> Source:
    columns = []
    for column in table.columns:
        coded = _is_coded(column.name)
        columns.append(
            SourceColumn(
                name=column.name,
                kind=str(column.type),
                length=getattr(column.type, "length", None) or 0,
                comment=column.comment or "",
                values=_values(engine, column) if coded else (),
            )
        )
    key = tuple(look.get_pk_constraint(table.name).get("constrained_columns", ()))
    return Source(name=table.name, where=table.name, key=key, columns=tuple(columns))


def _is_coded(name: str) -> bool:
    """Whether a column's values are codes, which are nobody's: only such values are read."""
    if plain(name) in DECIDES | STATUS:
        return True
    known = meaning(name)
    if known is None:
        return False
    return shape_at(known.place, tuple(Kind)).type in ("word", "truth")


def _values(engine: Any, column: Any) -> tuple[str, ...]:
    with engine.connect() as connection:
        rows = connection.execute(select(column).distinct().limit(CODES_MOST + 1)).all()
    values = sorted({str(row[0]) for row in rows if row[0] not in (None, "")})
    return tuple(values) if len(values) <= CODES_MOST else ()


def from_sample(path: Path) -> list[Source]:
    """Return the shape of the records in a JSON file: an object, a list, or one a line."""
    text = _text(path)
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            why = cause(error)
            raise InvalidRequest(
                Text(en=f"{path} is no JSON: {why.en}.", zh=f"{path} 不是 JSON：{why.zh}。")
            ) from error
    rows = value if isinstance(value, list) else [value]
    rows = [row for row in rows if isinstance(row, dict)]
    if not rows:
        raise InvalidRequest(_NO_RECORD.fill(file=path))
    columns: dict[str, SourceColumn] = {}
    seen: dict[str, set[str]] = {}
    for row in rows:
        for place, leaf in leaves(row):
            seen.setdefault(place, set()).add(str(leaf))
            columns.setdefault(
                place, SourceColumn(name=place, kind=type(leaf).__name__, sample=str(leaf))
            )
    found = tuple(
        SourceColumn(
            name=one.name,
            kind=one.kind,
            sample=one.sample,
            values=tuple(sorted(seen[one.name]))[:CODES_MOST] if _is_coded(one.name) else (),
        )
        for one in columns.values()
    )
    return [Source(name=path.stem, where=path.name, columns=found)]


def from_openapi(path: Path, names: Iterable[str]) -> list[Source]:
    """Return the object schemas of an OpenAPI 3 or Swagger 2 file in JSON; raises `InvalidRequest`."""
    try:
        whole = json.loads(_text(path))
    except ValueError as error:
        raise InvalidRequest(_NO_OPENAPI.fill(file=path)) from error
    parts = whole.get("components", {}) if isinstance(whole, dict) else {}
    schemas = parts.get("schemas") or (
        whole.get("definitions") if isinstance(whole, dict) else None
    )
    if not isinstance(schemas, dict):
        raise InvalidRequest(_NO_OPENAPI.fill(file=path))
    objects = {
        name: one
        for name, one in schemas.items()
        if isinstance(one, dict) and one.get("properties")
    }
    wanted = list(names) or list(objects)
    found = []
    for name in wanted:
        if name not in objects:
            hint = nearest(name, objects)
            raise InvalidRequest(
                Text(
                    en=f"There is no schema '{name}'; {hint.en}", zh=f"没有模式“{name}”；{hint.zh}"
                )
            )
        columns = tuple(_properties(objects[name], schemas, ""))
        found.append(Source(name=name, where=f"{path.name}#{name}", columns=columns))
    return found


def _properties(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str, depth: int = 0
) -> Iterable[SourceColumn]:
    for name, given in schema.get("properties", {}).items():
        one = given
        if "$ref" in one:
            one = schemas.get(str(one["$ref"]).rpartition("/")[2], {})
        place = f"{prefix}{name}"
        if one.get("type") == "array":
            place, one = f"{place}[0]", one.get("items", {})
            if "$ref" in one:
                one = schemas.get(str(one["$ref"]).rpartition("/")[2], {})
        if one.get("properties") and depth < 4:
            yield from _properties(one, schemas, f"{place}.", depth + 1)
            continue
        yield SourceColumn(
            name=place,
            kind=" ".join(filter(None, (str(one.get("type", "")), str(one.get("format", ""))))),
            length=int(one.get("maxLength", 0) or 0),
            comment=str(one.get("description") or given.get("description") or ""),
            values=tuple(str(value) for value in one.get("enum", ())),
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(_NO_UTF8.fill(file=path)) from error


_NO_DATABASE = Text(
    en="The database cannot be read ({why}). Check its URL and that its user may read the tables.",
    zh="无法读取数据库（{why}）。请核对 URL 及该用户的读表权限。",
)
_NO_TABLES = Text(
    en="The database has no table or view that this user may see. Check its name and the user's rights.",
    zh="该用户在此数据库中看不到任何表或视图。请核对库名与用户权限。",
)
_NO_RECORD = Text(
    en="{file} holds no JSON object {{ }}: give one record, or several.",
    zh="{file} 中没有 JSON 对象 {{ }}：请给出一条或多条记录。",
)
_NO_OPENAPI = Text(
    en="{file} is no OpenAPI file in JSON with schemas; convert one in YAML first.",
    zh="{file} 不是含模式的 OpenAPI JSON 文件；YAML 请先转换为 JSON。",
)
_NO_UTF8 = Text(
    en="{file} is not UTF-8 text; convert it first: iconv -f GBK -t UTF-8.",
    zh="{file} 不是 UTF-8 文本；请先转换：iconv -f GBK -t UTF-8。",
)
