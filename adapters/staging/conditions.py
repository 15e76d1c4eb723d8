"""Whether a condition of the mapping holds of a record, or of an answer, as the platform gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.mapping.document import Condition
from adapters.mapping.paths import get


def holds_of(condition: Condition, record: Any) -> bool:
    """Return whether *condition* holds of a record (``row``); raises `Misfit` where it cannot be told."""
    return met(condition, record, {"row": record, "said": []})


def met(condition: Condition, tree: Any, names: Mapping[str, Any]) -> bool:
    """Return whether *condition* holds of *tree*, its expression seeing *names*; raises `Misfit`."""
    for path, texts in condition.columns.items():
        if text(get(tree, path)) not in texts:
            return False
    expression = condition.expression
    return expression is None or expression.value("when", names) is True


def text(value: Any) -> str:
    """Return a value of JSON as a mapping writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
