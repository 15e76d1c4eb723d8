"""
What is missing in a mapping: required fields, rules that never hold, kinds and codes without a way.

A finding is an error where something will surely fail, a warning where it may, a note where a choice
should be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from adapters.mapping.coding import OPEN
from adapters.mapping.document import Condition, Document, Field, HearRule, SayRule, Way, Writing
from adapters.mapping.expressions import Expression
from adapters.mapping.finding import Finding, Weight
from adapters.mapping.finding_files import file_findings
from adapters.mapping.misfit import Misfit
from adapters.mapping.parsing_files import GROUP
from adapters.mapping.paths import parts
from exchange.acts import Kind
from exchange.client.shapes import Shape, act_shape, group_shape, groups_needed
from exchange.text import Text


def findings(document: Document) -> list[Finding]:
    """Return everything that is to be said about *document*, errors first."""
    found = [
        *undecided(document),
        *_say_fields(document),
        *_unreachable_say(document),
        *_unreachable_hear(document),
        *_unheard(document),
        *_keys(document),
        *_code_gaps(document),
        *_unused(document),
        *_secrets(document),
        *_unsaid(document),
        *file_findings(document),
    ]
    order = list(Weight)
    return sorted(dict.fromkeys(found), key=lambda one: order.index(one.weight))


def _error(key: str, text: Text) -> Finding:
    return Finding(weight=Weight.ERROR, key=key, text=text)


def _warning(key: str, text: Text) -> Finding:
    return Finding(weight=Weight.WARNING, key=key, text=text)


# -- what a draft left open


def undecided(document: Document) -> Iterator[Finding]:
    """Yield every place where a draft's ``?`` still stands."""
    if document.name == OPEN:
        yield _error("platform.name", _DECIDE)
    for sheet in document.sheets.values():
        if OPEN in (*sheet.key, *(sheet.about.columns if sheet.about is not None else ())):
            yield _error(f"sheets.{sheet.name}", _DECIDE)
    for rule in document.say:
        if OPEN in rule.when.columns or any(OPEN in texts for texts in rule.when.columns.values()):
            yield _error(f"{rule.name}.when", _DECIDE)
    for name, fields in [
        *((rule.name, rule.fields) for rule in document.say),
        *((heard.name, heard.fields) for heard in document.hear),
    ]:
        for field in fields:
            if OPEN in (*field.columns, field.value):
                yield _error(f"{name}.fields.{field.path}", _DECIDE)


# -- what each rule says


def _say_fields(document: Document) -> Iterator[Finding]:
    for rule in document.say:
        said = [field for field in rule.fields if field.way is not Way.HEAR]
        paths = {field.path for field in said}
        groups = {path.partition(".")[0] for path in paths} - {"header", "act"}
        files = {GROUP} if rule.files else set()  # what that group needs stands with the files
        kind = rule.kind
        wanted = [] if "header.created" in paths else ["header.created"]
        if kind is Kind.OFFER and "header.recipient" not in paths:
            wanted.append("header.recipient")
        wanted += [f"{group}.…" for group in sorted(groups_needed(kind) - groups - files)]
        wanted += _lacking(act_shape(kind), paths, "act")
        for group in sorted(groups - files):
            wanted += _lacking(group_shape(group), paths, group)
        if kind is Kind.SUPPLEMENT and not groups | files:
            wanted.append("content.…")
        for path in dict.fromkeys(wanted):
            yield _error(rule.name, _WANTED.fill(kind=kind.value, path=path))
        yield from _part_gaps(rule)


def _lacking(shape: Shape, paths: set[str], prefix: str) -> list[str]:
    """Return the required places below *prefix* that no path fills; lists where they are begun."""
    found = []
    for name, field in shape.fields.items():
        path = f"{prefix}.{name}"
        below = {one for one in paths if one == path or one.startswith((f"{path}.", f"{path}["))}
        if field.required and not below:
            found.append(path)
        if field.type != "object" or not below:
            continue
        if field.repeated:
            heads = {f"{path}[{parts(one[len(prefix) + 1 :])[1]}]" for one in below}
            for head in sorted(heads):
                found += _lacking(field, below, head)
        else:
            found += _lacking(field, below, path)
    return found


def _part_gaps(rule: SayRule) -> Iterator[Finding]:
    there: dict[str, set[int]] = {}
    for field in rule.fields:
        if field.part is not None:
            there.setdefault(field.columns[0], set()).add(field.part)
    for column, numbers in there.items():
        for number in sorted(set(range(max(numbers))) - numbers):
            yield _error(rule.name, _PART_GAP.fill(column=column, part=number))


# -- rules that never hold


def _unreachable_say(document: Document) -> Iterator[Finding]:
    for number, rule in enumerate(document.say):
        before = [one for one in document.say[:number] if one.sheet == rule.sheet]
        said = {one.kind for one in document.say if one.sheet == rule.sheet}
        never = _never(rule.when)
        if never:
            yield _error(f"{rule.name}.when", _FALSE.fill(source=never))
        for kind in rule.after:
            if kind not in said:
                yield _error(f"{rule.name}.after", _AFTER.fill(kind=kind.value, sheet=rule.sheet))
        for earlier in before:
            if _hides(earlier, rule):
                yield _error(rule.name, _HIDDEN.fill(earlier=earlier.name))
                break


def _hides(earlier: SayRule, later: SayRule) -> bool:
    if not _covers(earlier.when, later.when) or not set(earlier.after) <= set(later.after):
        return False
    if earlier.kind is later.kind and earlier.revision == later.revision:
        return True  # it would say the same message twice
    return not later.also and not earlier.also and bool(earlier.revision)


def _covers(wide: Condition, narrow: Condition) -> bool:
    """Whether *wide* surely holds wherever *narrow* does."""
    if wide.expression is not None:
        return narrow.expression == wide.expression and not wide.columns
    return all(
        column in narrow.columns and narrow.columns[column] <= texts
        for column, texts in wide.columns.items()
    )


def _never(condition: Condition) -> str:
    """Return the source of an expression that looks at nothing and is false; else empty."""
    expression: Expression | None = condition.expression
    if expression is None or expression.names:
        return ""
    try:
        return expression.source if expression.value("", {}) is not True else ""
    except Misfit:
        return expression.source


def _unreachable_hear(document: Document) -> Iterator[Finding]:
    for number, rule in enumerate(document.hear):
        never = _never(rule.when)
        if never:
            yield _error(f"{rule.name}.when", _FALSE.fill(source=never))
        for earlier in document.hear[:number]:
            wide = not earlier.kinds or (rule.kinds and rule.kinds <= earlier.kinds)
            if wide and _covers(earlier.when, rule.when):
                yield _error(rule.name, _HIDDEN.fill(earlier=earlier.name))
                break


# -- what arrives


def _unheard(document: Document) -> Iterator[Finding]:
    unheard = []
    for kind in Kind:
        rules = [rule for rule in document.hear if rule.hears(kind)]
        if kind in document.unheard:
            if rules and all(rule.kinds for rule in rules):
                yield _warning("platform.unheard", _BOTH.fill(kind=kind.value))
        elif not rules:
            unheard.append(kind)
        elif all(not rule.when.always for rule in rules):
            yield _warning(rules[-1].name, _MAYBE_HEARD.fill(kind=kind.value))
    if unheard:
        words = ", ".join(kind.value for kind in unheard)
        words_zh = "、".join(f"{kind.value}（{kind.text.zh}）" for kind in unheard)
        text = Text(en=_NOT_HEARD.en.format(kinds=words), zh=_NOT_HEARD.zh.format(kinds=words_zh))
        yield _error("hear", text)


def _keys(document: Document) -> Iterator[Finding]:
    """Yield records that would be written without their key."""
    for rule in document.writes:
        if rule.writing is not Writing.INSERT:
            continue
        sheet = document.sheets[rule.sheet]
        filled = {column.column for column in rule.columns} | _heard_columns(rule)
        filled |= set(sheet.about.columns) if sheet.about is not None else set()
        missing = [column for column in sheet.key if column not in filled]
        if missing and len(sheet.key) > 1:
            yield _error(rule.name, _NO_KEY.fill(columns=", ".join(missing), sheet=sheet.name))
        elif missing:
            yield Finding(
                weight=Weight.NOTE,
                key=rule.name,
                text=_KEY_BY_DATABASE.fill(column=missing[0], sheet=sheet.name),
            )


def _heard_columns(rule: HearRule) -> set[str]:
    return {column for field in rule.fields if field.way is not Way.SAY for column in field.columns}


# -- codes


def _code_gaps(document: Document) -> Iterator[Finding]:
    for rule in document.hear:
        for field in rule.fields:
            yield from _no_way_back(field)
    for sheet in document.sheets:
        rules = [rule for rule in document.say if rule.sheet == sheet]
        yield from _unruled(rules)


def _no_way_back(field: Field) -> Iterator[Finding]:
    codes = field.codes
    if codes is None or field.way is Way.SAY or codes.unmapped_back.value != "refuse":
        return
    missing = [word for word in field.shape.words if word not in codes.back]
    if missing:
        text = _GAP.fill(codes=codes.name, path=field.path, words=", ".join(missing))
        yield _warning(f"codes.{codes.name}", text)


def _unruled(rules: list[SayRule]) -> Iterator[Finding]:
    """Yield the codes of a column that decides what is said, and that no rule knows."""
    if not rules or any(rule.when.always for rule in rules):
        return
    tables: Mapping[str, frozenset[str]] = {
        field.columns[0]: frozenset(field.codes.forward)
        for rule in rules
        for field in rule.fields
        if field.codes is not None and len(field.columns) == 1
    }
    for column, known in tables.items():
        if not all(column in rule.when.columns for rule in rules):
            continue
        ruled = {text for rule in rules for text in rule.when.columns[column]}
        for code in sorted(known - ruled):
            yield _warning(rules[0].name, _NO_RULE.fill(column=column, code=code))
        for rule in rules:
            for code in sorted(rule.when.columns[column] - known):
                yield _warning(f"{rule.name}.when", _NO_CODE.fill(column=column, code=code))


# -- what nobody uses


def _unused(document: Document) -> Iterator[Finding]:
    fields = [field for rule in document.say for field in rule.fields]
    fields += [field for heard in document.hear for field in heard.fields]
    used_codes = {field.codes.name for field in fields if field.codes is not None}
    for name in document.codes:
        if name not in used_codes:
            yield _warning(f"codes.{name}", _UNUSED)
    sheets = {rule.sheet for rule in document.say} | {rule.sheet for rule in document.writes}
    abouts = {sheet.about.sheet for sheet in document.sheets.values() if sheet.about is not None}
    for name, sheet in document.sheets.items():
        if name not in sheets | abouts:
            yield _warning(f"sheets.{name}", _UNUSED)
        speaks = any(rule.sheet == name for rule in document.say)
        if speaks and sheet.status is None and not sheet.changed and not document.section:
            yield _warning(f"sheets.{name}", _NO_STATUS)


def _secrets(document: Document) -> Iterator[Finding]:
    folder = Path(document.file).parent
    for rule in document.say:
        for field in rule.fields:
            key = field.keyed.key if field.keyed is not None else ""
            if key and not (folder / key).is_file():
                yield _error(f"{rule.name}.fields.{field.path}", _NO_SECRET.fill(file=key))


def _unsaid(document: Document) -> Iterator[Finding]:
    said = {rule.kind for rule in document.say}
    silent = [kind.value for kind in Kind if kind not in said]
    if silent:
        text = _SILENT.fill(kinds=", ".join(silent))
        yield Finding(weight=Weight.NOTE, key="say", text=text)


_DECIDE = Text(
    en="'?' stands where a person must decide; the draft's comment beside it says what.",
    zh="“?”处须由人确认；草稿旁注说明了要确认的内容。",
)
_WANTED = Text(
    en="'{kind}' cannot be said without {path}: map it.", zh="“{kind}”必须有 {path}，请补充映射。"
)
_PART_GAP = Text(
    en="part {part} of the column {column} is not mapped and would be lost.",
    zh="列 {column} 的第 {part} 部分未映射，将会丢失。",
)
_FALSE = Text(en="never holds: {source} is never true.", zh="永不成立：{source} 恒不为真。")
_AFTER = Text(
    en="never holds: no rule of the sheet '{sheet}' says '{kind}'.",
    zh="永不成立：表“{sheet}”没有说出“{kind}”的规则。",
)
_HIDDEN = Text(
    en="is never reached: {earlier} holds wherever it does. Put it first, or give it its own 'when'.",
    zh="永远到不了：凡其成立处 {earlier} 已先成立。请调整次序，或补充 when 条件。",
)
_BOTH = Text(
    en="'{kind}' is unheard by choice, and yet a rule hears it.",
    zh="“{kind}”既列为不接收，又有规则接收。",
)
_NOT_HEARD = Text(
    en="nothing hears these kinds, which are refused when they arrive: {kinds}. Add a rule, one for "
    "kind = \"*\", or name them in platform.unheard.",
    zh="以下种类没有规则接收，到达时将被拒收：{kinds}。请补充规则或 kind = \"*\" 规则，或列入 platform.unheard。",
)  # fmt: skip
_MAYBE_HEARD = Text(
    en="'{kind}' is heard on conditions only; where none holds it is refused.",
    zh="“{kind}”仅按条件接收；条件均不成立时将被拒收。",
)
_NO_KEY = Text(
    en="a record of '{sheet}' is written without its key: {columns}. Fill it under 'columns', such as "
    "{{ new = \"…{{serial}}\" }}.",
    zh="写入“{sheet}”的记录缺少主键列：{columns}。请在 columns 中填写，例如 {{ new = \"…{{serial}}\" }}。",
)  # fmt: skip
_KEY_BY_DATABASE = Text(
    en="the database itself must number the records of '{sheet}' ({column}).",
    zh="“{sheet}”的记录号（{column}）须由数据库自动生成。",
)
_GAP = Text(
    en="'{codes}' has no code for words that may arrive at {path}, which are refused: {words}.",
    zh="“{codes}”缺少 {path} 可能到达的取值的代码，将被拒收：{words}。",
)
_NO_RULE = Text(
    en="no rule says anything of {column} = '{code}': such a row is put aside.",
    zh="{column} = “{code}” 没有对应规则：该类记录将被隔离。",
)
_NO_CODE = Text(
    en="{column} = '{code}' is in no row of the code table of that column.",
    zh="{column} = “{code}” 不在该列的代码表中。",
)
_UNUSED = Text(en="is used by no rule.", zh="没有规则使用。")
_NO_STATUS = Text(
    en="has neither 'status' nor 'changed': a table cannot be polled without one.",
    zh="既无 status 也无 changed：无法轮询该表。",
)
_NO_SECRET = Text(
    en="the file {file} with the key is not there (beside the mapping).",
    zh="密钥文件 {file} 不存在（应与映射文件同目录）。",
)
_SILENT = Text(en="this platform never says: {kinds}.", zh="本平台不会发出：{kinds}。")
