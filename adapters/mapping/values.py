"""
One field's value, said and heard.

Saying takes columns of a row and gives what stands at the field's place in a message; hearing takes
that and gives the columns.  Rule: what is heard again after it was said is what `claimed` columns
held, cleaned up.  None means that there is nothing.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from adapters.mapping.cleaning import cleaned
from adapters.mapping.coding import CodeUnknown
from adapters.mapping.document import Field, Keyed
from adapters.mapping.misfit import Misfit
from adapters.mapping.mojibake import mojibake
from adapters.mapping.paths import get
from exchange.acts import Kind
from exchange.reading import nearest
from exchange.text import Text

#: What databases and people write for yes and no; a code table says anything else.
_YES = frozenset({"1", "true", "是", "有", "y", "yes"})
_NO = frozenset({"0", "false", "否", "无", "n", "no"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a field may look at: the row, what was said of the record, and digests and secrets."""

    row: Mapping[str, Any]
    said: frozenset[Kind]
    newest: Callable[[tuple[Kind, ...]], bytes | None]
    secret: Callable[[str], bytes]

    def names(self) -> dict[str, Any]:
        """Return what an expression may use."""
        return {"row": dict(self.row), "said": sorted(kind.value for kind in self.said)}


def text_of(value: Any, place: str) -> str:
    """Return a column's value as text, empty for NULL; raises `Misfit` for mojibake."""
    if value is None:
        return ""
    if isinstance(value, bytes | memoryview):
        value = bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, bool):
        return "1" if value else "0"
    text = str(value)
    damage = mojibake(text)
    if damage is not None:
        raise Misfit(place, damage)
    if "\0" in text:
        raise Misfit(place, _NUL)
    return text


# -- saying


def said(field: Field, facts: Facts) -> Any:
    """Return what stands at the field's place, None for nothing; raises `Misfit`."""
    if field.value is not None:
        return field.value
    if field.expression is not None:
        return _checked(field, field.expression.value(field.path, facts.names()))
    if field.newest:
        digest = facts.newest(field.newest)
        if digest is None:
            kinds = ", ".join(kind.value for kind in field.newest)
            raise Misfit(field.path, _NO_DIGEST.fill(kinds=kinds))
        return base64.b64encode(digest).decode()
    if field.keyed is not None:
        return _keyed(field, field.keyed, facts)
    raw = _source(field, facts.row)
    if raw is None or raw == "":
        if field.default is not None:
            return field.default
        if field.required:
            raise Misfit("+".join(field.columns), _EMPTY.fill(path=field.path))
        return None
    return _shaped(field, raw)


def _source(field: Field, row: Mapping[str, Any]) -> Any:
    """Return the raw value of one column, or the text of several, or a part of one."""
    if len(field.columns) > 1:
        return _joined(field, row)
    column = field.columns[0]
    raw = get(row, column)
    if field.shape.type == "time" and not isinstance(raw, str | bytes):
        return raw
    text = cleaned(text_of(raw, column), field.clean or ("trim",))
    if field.part is not None:
        split = text.split(field.separator, field.part_count - 1)
        return split[field.part].strip() if field.part < len(split) else ""
    return text


def _joined(field: Field, row: Mapping[str, Any]) -> str:
    found = [
        cleaned(text_of(get(row, column), column), field.clean or ("trim",))
        for column in field.columns
    ]
    for column, text in zip(field.columns[:-1], found, strict=False):
        if field.way.value == "both" and field.separator in text:
            raise Misfit(column, _HOLDS.fill(separator=field.separator))
    while found and not found[-1]:
        found.pop()
    if field.way.value == "say":
        found = [text for text in found if text]
    return field.separator.join(found)


def _shaped(field: Field, raw: Any) -> Any:
    """Return *raw* as the contract's shape of the field's place."""
    place, kind = "+".join(field.columns), field.shape.type
    if field.time is not None:
        return field.time.said(raw, place)
    text = str(raw)
    if field.shape.repeated and kind != "coded":
        items = [item.strip() for item in text.split(field.separator or ",") if item.strip()]
        return [_single(field, item, place) for item in items]
    return _single(field, text, place)


def _single(field: Field, text: str, place: str) -> Any:
    if field.shape.type == "coded":
        return _coded(field, text, place)
    if field.codes is not None:
        try:
            return field.codes.said(text)
        except CodeUnknown as unknown:
            raise Misfit(place, unknown.text) from unknown
    return _checked(field, text)


def _coded(field: Field, text: str, place: str) -> dict[str, str]:
    """Return a coded value; its display is put in by who has the row."""
    if field.codes is None:
        return {"system": field.system, "code": text}
    try:
        word = field.codes.said(text)
    except CodeUnknown as unknown:
        raise Misfit(place, unknown.text) from unknown
    if word is None:
        return {"system": field.codes.system, "code": text}
    return {"system": field.codes.common or field.system, "code": str(word)}


def _checked(field: Field, value: Any) -> Any:
    """Return *value* as the shape of the field's place asks; raises `Misfit`."""
    if value is None or value == "":
        return None
    place, kind = "+".join(field.columns) or field.path, field.shape.type
    text = str(value)
    if kind in _NUMBERS:
        try:
            return _NUMBERS[kind](text)
        except ValueError as error:
            raise Misfit(place, _NO_NUMBER.fill(path=field.path)) from error
    if kind == "truth":
        return _truth(value, place, field.path)
    if kind == "word" and value not in field.shape.words:
        hint = nearest(text[:64], field.shape.words)
        raise Misfit(
            place,
            Text(
                en=f"'{text[:64]}' is no word of {field.path}; {hint.en}. A code table ('codes') turns the "
                "platform's codes into words.",
                zh=f"“{text[:64]}”不是 {field.path} 的取值；{hint.zh}。可用代码表（codes）对照转换。",
            ),
        )
    if kind in ("text", "bytes"):
        if field.shape.length and kind == "text" and len(text) > field.shape.length:
            raise Misfit(
                place, _LONG.fill(size=len(text), limit=field.shape.length, path=field.path)
            )
        return text
    return value


def _truth(value: Any, place: str, path: str) -> bool:
    word = str(value).lower()
    if word in _YES or value is True:
        return True
    if word in _NO or value is False:
        return False
    raise Misfit(place, _NO_TRUTH.fill(path=path))


def _duration(text: str) -> str:
    return f"{float(text):.6f}".rstrip("0").rstrip(".") + "s"


_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    "whole": lambda text: int(float(text)) if float(text).is_integer() else int(text),
    "number": float,
    "duration": _duration,
}


def _keyed(field: Field, keyed: Keyed, facts: Facts) -> str | None:
    columns, key = keyed.columns, keyed.key
    texts = [text_of(get(facts.row, column), column) for column in columns]
    # As the contract says of search digests: the text with all spaces removed.
    whole = "".join("".join(unicodedata.normalize("NFKC", text).split()) for text in texts)
    if not whole:
        return None
    if not key:
        digest = sha256(whole.encode()).digest()
    else:
        digest = hmac.digest(facts.secret(key), whole.encode(), sha256)
    return digest.hex() if field.shape.type == "text" else base64.b64encode(digest).decode()


# -- hearing


def heard(field: Field, tree: Mapping[str, Any]) -> Any:
    """Return what the field's column or columns shall hold, None for nothing; raises `Misfit`."""
    value = _item(field, tree)
    if value is None:
        return _local(field, tree)
    kind = field.shape.type
    if field.time is not None:
        return field.time.heard(str(value))
    if kind == "coded":
        return _code(field, value)
    if field.shape.repeated and isinstance(value, list):
        return (field.separator or ",").join(str(_word(field, item)) for item in value)
    return _word(field, value)


def _item(field: Field, tree: Mapping[str, Any]) -> Any:
    """Return what stands at the field's place; of coded lists first the one of its own system."""
    value = get(tree, field.path)
    if field.shape.type != "coded":
        return value
    own = {field.system, field.codes.system, field.codes.common} if field.codes else {field.system}
    listed = get(tree, field.path.rpartition("[")[0]) if field.path.endswith("]") else None
    if isinstance(listed, list):
        mine = [item for item in listed if item.get("system") in own - {""}]
        if len(mine) == 1 or (mine and not isinstance(value, Mapping)):
            return mine[0]
    if isinstance(value, Mapping) and value.get("system") in field.others:
        return None
    return value


def _local(field: Field, tree: Mapping[str, Any]) -> str | None:
    """Return the code that was passed as the platform's own, where it can only be its own again."""
    if not field.local or field.codes is None:
        return None
    beside = get(tree, field.local)
    if isinstance(beside, Mapping) and beside.get("system") == field.codes.system:
        return str(beside.get("code", ""))
    return None


def _word(field: Field, value: Any) -> Any:
    if field.shape.type == "duration":
        return float(str(value).removesuffix("s"))
    if field.codes is None:
        return value
    try:
        return field.codes.heard(value)
    except CodeUnknown as unknown:
        raise Misfit(field.path, unknown.text) from unknown


def _code(field: Field, value: Any) -> str | None:
    """Return the platform's code of a coded value; a code of a table nobody asked for is left out."""
    system, code = str(value.get("system", "")), str(value.get("code", ""))
    if field.codes is None:
        return code if system == field.system else None
    if system == field.codes.system:
        return code
    try:
        if system == (field.codes.common or field.system):
            return field.codes.heard(code)
        return field.codes.heard(f"{system}|{code}")
    except CodeUnknown as unknown:
        raise Misfit(field.path, unknown.text) from unknown


_EMPTY = Text(
    en="is empty, and '{path}' cannot be said without it. Fill it in; a row that is still being written "
    "is read again.",
    zh="为空，而“{path}”必须填写。请补全；尚未写完的记录会自动重新读取。",
)
_LONG = Text(
    en="has {size} characters; '{path}' takes at most {limit}. Shorten it, or map another field.",
    zh="共 {size} 字，“{path}”上限为 {limit} 字。请缩短，或改用其他字段。",
)
_HOLDS = Text(
    en="holds the separator '{separator}' and could not be told apart again. Choose another separator, or "
    "way = \"say\".",
    zh="含有分隔符“{separator}”，无法再拆分。请更换分隔符，或设 way = \"say\"。",
)  # fmt: skip
_NO_NUMBER = Text(en="is no number, as '{path}' asks.", zh="不是数字，而“{path}”须为数字。")
_NO_TRUTH = Text(
    en="is neither yes nor no, as '{path}' asks; a code table ('codes') can say which is which.",
    zh="既非是也非否，而“{path}”须为是否；可用代码表（codes）说明。",
)
_NUL = Text(en="holds the character U+0000. Mend the record.", zh="含有字符 U+0000，请修正该记录。")
_NO_DIGEST = Text(
    en="on this hand-off there was no message yet of: {kinds}.",
    zh="该移交上尚无以下种类的消息：{kinds}。",
)
