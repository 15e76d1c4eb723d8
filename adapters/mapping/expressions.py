"""
Expressions where a table is not enough: CEL (Common Expression Language), as the contract's own rules.

CEL has no loops without bound, reads no file and calls nothing but its own functions; a mapping can
therefore come from somebody else.  The library is an extra: a file without expressions needs none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapters.mapping.misfit import Misfit
from exchange.text import Text

if TYPE_CHECKING:
    import cel

_COLUMN = re.compile(r"""\brow(?:\.(\w+)|\[\s*['"]([^'"]+)['"]\s*\])""")

#: The variable that a macro such as ``list.exists(x, x > 1)`` brings in.
_BOUND = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*(\w+)\s*,")
_NAME = re.compile(r"[A-Za-z][\w.]*")


class NotAnExpression(ValueError):
    """The text is no expression; *text* says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One compiled expression and the columns of the row that it reads."""

    source: str
    columns: tuple[str, ...]
    #: What it looks at: ``row``, ``said``, ``message``.
    names: frozenset[str]
    program: cel.Program = field(compare=False, repr=False)

    def value(self, place: str, facts: Mapping[str, Any]) -> Any:
        """Return its value; raises `Misfit` naming *place* where it has none."""
        import cel  # noqa: PLC0415 - an extra, loaded by those who use it
        from cel.stdlib import add_stdlib_to_context  # noqa: PLC0415

        context = cel.Context(dict(facts))
        add_stdlib_to_context(context)
        try:
            return self.program.execute(context)
        except KeyError as error:
            raise Misfit(place, _NO_KEY.fill(source=self.source, key=error.args[0])) from error
        except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
            why = type(error).__name__  # its words could hold the record's
            raise Misfit(place, _NO_VALUE.fill(source=self.source, why=why)) from error


def compiled(source: str, names: frozenset[str]) -> Expression:
    """Return *source* as an expression over *names*; raises `NotAnExpression`."""
    try:
        import cel  # noqa: PLC0415 - an extra, loaded by those who use it
    except ImportError as error:
        raise NotAnExpression(_ABSENT) from error
    try:
        program = cel.compile(source)
    except ValueError as error:
        why = " ".join(str(error).split("ERROR: ")[-1].split())
        raise NotAnExpression(
            Text(en=f"is no CEL expression: {why}", zh=f"不是 CEL 表达式：{why}")
        ) from error
    bound = frozenset(_BOUND.findall(source))
    for name in program.variables():
        if name not in names | bound:
            known = ", ".join(sorted(names))
            raise NotAnExpression(_UNKNOWN.fill(name=name, known=known))
    called = {name for name in program.functions() if _NAME.fullmatch(name)}  # else an operator
    unknown = sorted(called - _functions())
    if unknown:
        raise NotAnExpression(_NO_FUNCTION.fill(name=unknown[0]))
    columns = tuple(dict.fromkeys(a or b for a, b in _COLUMN.findall(source)))
    looks = names & frozenset(program.variables())
    return Expression(source=source, columns=columns, names=looks, program=program)


def _functions() -> frozenset[str]:
    from cel.stdlib import STDLIB_FUNCTIONS  # noqa: PLC0415

    return frozenset(STDLIB_FUNCTIONS) | _OWN


#: What CEL itself has.
_OWN = frozenset(
    [
        "has",
        "all",
        "exists",
        "exists_one",
        "map",
        "filter",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "timestamp",
        "duration",
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "getFullYear",
        "getMonth",
        "getDate",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getDayOfWeek",
        "getDayOfMonth",
        "getDayOfYear",
        "getMilliseconds",
        "type",
        "dyn",
        "bool",
        "min",
        "max",
    ]
)

_ABSENT = Text(
    en="needs the CEL library: pip install 'hotline-exchange[expressions]', or say it with a table.",
    zh="需要 CEL 表达式库：pip install 'hotline-exchange[expressions]'，或改用对照表。",
)
_UNKNOWN = Text(
    en="'{name}' is not known here; an expression may use: {known}.",
    zh="此处没有“{name}”；表达式可用：{known}。",
)
_NO_FUNCTION = Text(en="there is no function '{name}'.", zh="没有函数“{name}”。")
_NO_KEY = Text(
    en="the expression {source} needs '{key}', which the record has not.",
    zh="表达式 {source} 需要“{key}”，记录中没有。",
)
_NO_VALUE = Text(
    en="the expression {source} has no value for this record ({why}).",
    zh="表达式 {source} 对该记录无法求值（{why}）。",
)
