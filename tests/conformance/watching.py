"""
Which cases a broken bridge touches: found in one run of the whole profile before a sound bridge.

Every mutation looks at each call as it would, on a copy.  Where it changes nothing in a whole case, that
case passes before the broken bridge as it does before the sound one; the others are played before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exchange.conformance.edge import Aborted, Call, Edge, Hook
from exchange.conformance.trace import Trace
from exchange.errors import NotAuthenticated
from tests.conformance.breaking import Breaking, Broken


class Touched(Exception):
    """A mutation would have asked the bridge something of its own."""


@dataclass
class _Shadow:
    """What a mutation hangs its hooks into, beside the edge."""

    _identified: Any
    asking: list[Hook] = field(default_factory=list)
    answering: list[Hook] = field(default_factory=list)


class Watch:
    """Notes in `touched`, by name, the cases in which each mutation of *corpus* changes something."""

    def __init__(self, corpus: Mapping[str, Broken], like: Breaking, edge: Edge, trace: Trace):
        self.touched: dict[str, set[str]] = {name: set() for name in corpus}
        self._trace, self._strict = trace, edge._identified
        self._shadows = {name: _Shadow(self._strict) for name in corpus}
        for name, broken in corpus.items():
            broken.mutation(replace(like, edge=self._shadows[name], ask=_refuse))
        edge._identified = self._identify
        edge.asking.append(lambda call: self._look(call, "asking"))
        edge.answering.append(lambda call: self._look(call, "answering"))

    def _look(self, call: Call, which: str) -> None:
        for name, shadow in self._shadows.items():
            hooks = getattr(shadow, which)
            if hooks and _changes(call, hooks):
                self.touched[name].add(self._trace.case)

    def _identify(self, context: Mapping[str, Any]) -> str:
        found = _who(self._strict, context)
        for name, shadow in self._shadows.items():
            lax = shadow._identified
            if lax is not self._strict and _who(lax, context) != found:
                self.touched[name].add(self._trace.case)
        return self._strict(context)


def _refuse(_call: Call) -> Any:
    raise Touched


def _who(identified: Callable[[Any], str], context: Mapping[str, Any]) -> str:
    try:
        return identified(context)
    except NotAuthenticated:
        return ""


def _changes(call: Call, hooks: list[Hook]) -> bool:
    copy = replace(call, request=_copied(call.request), answer=_copied(call.answer))
    try:
        for hook in hooks:
            hook(copy)
    except (Aborted, Touched):
        return True
    return (copy.who, copy.request, copy.answer) != (call.who, call.request, call.answer)


def _copied(message: Any) -> Any:
    if message is None:
        return None
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
