"""
What is worked out once instead of again in every run: the answers of pure functions, and engines.

The program's own code gives each answer, the first time; a signature that holds over some bytes holds
over them for ever.  Nothing here depends on time, on a file or on chance, so a run is the same with it
and without.
"""

from __future__ import annotations

import gc
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from typing import Any
from unittest import mock

from sqlalchemy import URL

import exchange.certificates
import exchange.envelope
import exchange.identity
import exchange.store.engines
from exchange.note import NoteVerifier
from exchange.store.engines import Engines

_MANY = 1 << 16
_real_connect = sqlite3.connect
_make_engines = exchange.store.engines._sqlite
_read_pem = exchange.certificates.read_pem
_note_check = lru_cache(_MANY)(NoteVerifier.check)  # a failure is raised, and found anew


class Shelf:
    """
    The engines of all lives of the bridge: what each compiled is compiled, their connections are new.

    A life that opens its database for the n-th time gets the n-th engines of its place; one that was
    killed has left its connections dead, so they are forgotten first.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], list[Engines]] = {}
        self._taken: Counter[tuple[str, str]] = Counter()

    def begin(self, file: str) -> None:
        """Begin a life of the bridge whose database is *file*."""
        for key in [key for key in self._taken if key[0] == file]:
            del self._taken[key]

    def take(self, url: URL, mode: str) -> Engines:
        """Return engines in place of the store's `_sqlite`."""
        key = (str(url.database), mode)
        made, place = self._made.setdefault(key, []), self._taken[key]
        self._taken[key] += 1
        if place == len(made):
            made.append(self._new(url, mode))
        found = made[place]
        for engine in (found.writer, found.reader):
            pool: Any = engine.pool
            if pool.checkedin() or pool.checkedout():
                engine.dispose(close=False)
        return found

    @staticmethod
    def _new(url: URL, mode: str) -> Engines:
        """Make engines that know their database: what SQLAlchemy asks at first is asked unwatched."""
        made = _make_engines(url, mode)
        with mock.patch.object(sqlite3, "connect", _real_connect):
            for engine in (made.writer, made.reader):
                engine.connect().close()
                engine.dispose()
        return made


SHELF = Shelf()


def _pem(leaf: bytes, issuers: bytes) -> list[Any]:
    return list(_pems(leaf, issuers))


@cache
def _pems(leaf: bytes, issuers: bytes) -> Sequence[Any]:
    return tuple(_read_pem(leaf, issuers))


def _check(verifier: NoteVerifier, value: bytes, text: bytes) -> None:
    _note_check(verifier, value, text)


#: Module or class, name, and what answers there.
_SEAMS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (exchange.store.engines, "_sqlite", SHELF.take),
    (exchange.envelope, "_holds", lru_cache(_MANY)(exchange.envelope._holds)),
    (exchange.certificates, "_check_leaf", cache(exchange.certificates._check_leaf)),
    (exchange.certificates, "read_pem", _pem),
    (exchange.identity, "read_pem", _pem),
    (NoteVerifier, "check", _check),
)


@contextmanager
def hastened() -> Iterator[None]:
    """Let what is worked out stay worked out for the length of the block."""
    with ExitStack() as stack:
        for holder, name, answer in _SEAMS:
            stack.enter_context(mock.patch.object(holder, name, answer))
        yield


@cache
def spare_the_collector() -> None:
    """Have it pass over what stays for good, as the bridge does, and look seldom at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
