"""
What crosses between a bridge's two processes, as bytes.

Both ends are this program and the line between them is a socket pair that nobody else holds, so
Python's own pickle may carry it.  What there is hundreds of in a drain is taken apart and put
together field by field (`exchange.making`), at a third of pickle's usual cost.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from exchange.acts import Offer, OpenTicket
from exchange.envelope import Signature, VerifyingKey, verifying_key
from exchange.errors import ExchangeError
from exchange.log import StoredProof
from exchange.making import maker
from exchange.submission import (
    Acknowledged,
    Author,
    Pushed,
    Received,
    Recorded,
    Statement,
    Stored,
)
from exchange.ticket import Message

# Both processes run the same code, so a place in this list names a class.
_KINDS: tuple[type[Any], ...] = (
    Message, OpenTicket, Offer, Signature, Received, Pushed, Statement, Acknowledged, Author,
    StoredProof, Stored, Recorded,
)  # fmt: skip
_MAKERS: tuple[Callable[..., Any], ...] = tuple(maker(kind, in_order=True) for kind in _KINDS)


def _again(place: int, *values: Any) -> Any:
    return _MAKERS[place](*values)


def _taking_apart(place: int, kind: type[Any]) -> Callable[[Any], Any]:
    names = [field.name for field in fields(kind)]
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda one: (_again, (place, get(one)))
    get = attrgetter(*names)
    return lambda one: (_again, (place, *get(one)))


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def _failures(kind: type[ExchangeError]) -> Iterator[type[ExchangeError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _failures(below)


def _failed(kind: type[ExchangeError], words: tuple[Any, ...], known: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *words)
    error.__dict__.update(known)
    return error


_TABLE: dict[type[Any], Callable[[Any], Any]] = {
    **{kind: _taking_apart(place, kind) for place, kind in enumerate(_KINDS)},
    # Its own way back would call ``__init__`` with the words alone.
    **{
        kind: lambda error: (_failed, (type(error), error.args, error.__dict__))
        for kind in _failures(ExchangeError)
    },
    MappingProxyType: lambda mapping: (_read_only, (dict(mapping),)),
    VerifyingKey: lambda key: (verifying_key, (key.suite, key.key_id, key.spki)),
}


def pack(thing: Any) -> bytes:
    """Return *thing* as bytes."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _TABLE
    pickler.dump(thing)
    return stream.getvalue()


def unpack(data: bytes) -> Any:
    """Return what `pack` took; only ever from our own other process."""
    return pickle.loads(data)  # noqa: S301
