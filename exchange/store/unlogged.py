"""Checking what is stored beside the log: refusals, passages, certificates, sightings, co-signatures, archives."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from exchange import tables
from exchange.records import Content
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import Engines, reading
from exchange.store.entries import check_statement, moment_or_none
from exchange.store.rows import CERTIFICATE, PASSAGE, REFUSAL, seal, unpack_chain
from exchange.store.standing import Reader
from exchange.store.tree import finding
from exchange.text import Text

_ROWS_A_PAGE = 500

_REFUSALS = select_form(tables.refusal) + " WHERE number > {} ORDER BY number LIMIT {}"
_PASSAGES = (
    select_form(tables.passage) + " WHERE (leaf_index, recipient) > ({}, {})"
    " ORDER BY leaf_index, recipient LIMIT {}"
)
_CERTIFICATES = select_form(tables.certificate) + " ORDER BY key_id"


def check_beside(engines: Engines, reader: Reader) -> Iterator[Text]:
    """Yield a finding for each row beside the log that does not fit."""
    yield from _refusals(engines, reader)
    yield from _passages(engines)


def _refusals(engines: Engines, reader: Reader) -> Iterator[Text]:
    driver = driver_of(engines.reader.dialect.name)
    last = 0
    while True:
        with reading(engines) as connection:
            page = driver.fetch(connection, _REFUSALS, last, _ROWS_A_PAGE)
        for row in page:
            kept: dict[str, Any] = dict(zip(REFUSAL, row, strict=True))
            plain = [kept[name] for name in ("number", "message_id", "refused_by", "time")]
            said = [bytes(kept[name]) for name in ("digest", "statement", "signature")]
            about = (kept["message_id"], kept["refused_by"], said[0])
            where = ("refusal", "number", kept["number"])
            signed = (Content.REFUSED, said[1], said[2], moment_or_none(kept["time"]))
            yield from check_statement(reader, signed, about, where)
            if seal(plain, *said) != bytes(kept["seal"]):
                yield finding(
                    "refusal", "number", kept["number"], "seal: this row was changed",
                    "seal：本行被改动",
                )  # fmt: skip
        if len(page) < _ROWS_A_PAGE:
            break
        last = page[-1][0]
    with reading(engines) as connection:
        for row in driver.fetch(connection, _CERTIFICATES):
            kept = dict(zip(CERTIFICATE, row, strict=True))
            chain = unpack_chain(bytes(kept["chain"]))
            if not chain or sha256(chain[0]).digest() != bytes(kept["key_id"]):
                yield finding(
                    "certificate", "key_id", bytes(kept["key_id"]).hex(),
                    "chain: its first certificate has another key id",
                    "chain：首张证书与 key_id 不符",
                )  # fmt: skip


def _passages(engines: Engines) -> Iterator[Text]:
    """Yield each passage that was changed; what it proves, another log's key says (`exchange.proof`)."""
    driver = driver_of(engines.reader.dialect.name)
    last: tuple[int, str] = (-1, "")
    while True:
        with reading(engines) as connection:
            page = driver.fetch(connection, _PASSAGES, *last, _ROWS_A_PAGE)
        for row in page:
            kept: dict[str, Any] = dict(zip(PASSAGE, row, strict=True))
            plain = [kept[n] for n in ("leaf_index", "recipient", "lane", "origin", "time")]
            if seal(plain, bytes(kept["receipt"])) != bytes(kept["seal"]):
                yield finding(
                    "passage", "leaf_index", kept["leaf_index"], "seal: this row was changed",
                    "seal：本行被改动",
                )  # fmt: skip
        if len(page) < _ROWS_A_PAGE:
            return
        last = (page[-1][0], page[-1][1])
