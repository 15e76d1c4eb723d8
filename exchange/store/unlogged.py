"""Checking what is stored beside the log: refusals, passages, certificates, sightings, co-signatures, archives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from exchange import tables
from exchange.cosignature import WitnessKey, cosigned_by, signed_by
from exchange.errors import ExchangeError
from exchange.log import Checkpoint, TrustedLogs
from exchange.note import NoteVerifier, split_note
from exchange.records import Content
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import Engines, reading
from exchange.store.entries import check_statement, moment_or_none
from exchange.store.logs import registered
from exchange.store.places import log_key
from exchange.store.rows import CERTIFICATE, PASSAGE, REFUSAL, seal, unpack_chain
from exchange.store.standing import Reader
from exchange.store.tree import Fetch, finding
from exchange.tables import stamp
from exchange.text import Text

_ROWS_A_PAGE = 500

_SIGHTINGS = select_form(tables.sighting) + " ORDER BY digest"
_COSIGNED = (
    select_form(tables.cosignature) + " WHERE (origin, witness, size, time) > ({}, {}, {}, {})"
    " ORDER BY origin, witness, size, time LIMIT {}"
)
_NOTE = "SELECT note FROM drain WHERE size_after = {}"
_NOWHERE = (
    "SELECT a.leaf_index FROM archived a LEFT JOIN archive x ON x.number = a.archive"
    " WHERE a.archive >= 0 AND x.number IS NULL ORDER BY a.leaf_index LIMIT 100"
)

_REFUSALS = select_form(tables.refusal) + " WHERE number > {} ORDER BY number LIMIT {}"
_PASSAGES = (
    select_form(tables.passage) + " WHERE (leaf_index, recipient) > ({}, {})"
    " ORDER BY leaf_index, recipient LIMIT {}"
)
_CERTIFICATES = select_form(tables.certificate) + " ORDER BY key_id"


@dataclass(slots=True)
class Witnessed:
    """Whose co-signatures can be checked, and how many cannot: a witness may have had another key before."""

    keys: Sequence[WitnessKey] = ()
    #: Co-signatures by none of the keys, each about a checkpoint of this database by witness and time.
    unknown: int = 0


def check_beside(
    engines: Engines,
    reader: Reader,
    logs: Sequence[NoteVerifier],
    witnessed: Witnessed,
) -> Iterator[Text]:
    """
    Yield a finding for each row beside the log that does not fit.

    *logs* are the keys of this database's logs, former ones too; a co-signature by none of
    the keys of *witnessed* is only held to the checkpoint that it is about, and counted there.
    """
    yield from _refusals(engines, reader)
    yield from _passages(engines)
    yield from _sightings(engines, logs)
    yield from _cosignatures(engines, witnessed)
    yield from _archived(engines)


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


def _sightings(engines: Engines, logs: Sequence[NoteVerifier]) -> Iterator[Text]:
    """Yield each checkpoint said to be seen that no log here has signed, or that stands under another name."""
    driver, trusted = driver_of(engines.reader.dialect.name), TrustedLogs(logs)
    with reading(engines) as connection:
        rows = driver.fetch(connection, _SIGHTINGS)
    for digest, origin, note, *_ in rows:
        where = ("sighting", "digest", bytes(digest).hex())
        try:
            checkpoint = trusted.checkpoint(bytes(note))
        except ExchangeError as error:
            yield finding(*where, f"note: {error.text.en}", f"note：{error.text.zh}")
            continue
        if (sha256(bytes(note)).digest(), checkpoint.origin) != (bytes(digest), origin):
            yield finding(*where, "digest, origin: not the note's", "digest、origin：与检查点不符")


def _cosignatures(engines: Engines, witnessed: Witnessed) -> Iterator[Text]:
    """Yield each co-signature that is not about a checkpoint of this database, or does not hold."""
    driver = driver_of(engines.reader.dialect.name)
    last: tuple[str, str, int, str] = ("", "", -1, "")
    while True:
        with reading(engines) as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            page = fetch(_COSIGNED, *last, _ROWS_A_PAGE)
            numbers = [one.number for one in registered(fetch)]
            for origin, witness, size, time, line in page:
                where = ("cosignature", "origin/witness/size", f"{origin}/{witness}/{size}")
                notes = [bytes(note) for n in numbers for (note,) in fetch(_NOTE, log_key(n, size))]
                said = (origin, witness, time)
                found = {_cosigns(note, line, said, witnessed.keys) for note in notes}
                if True not in found and None in found:
                    witnessed.unknown += 1
                elif True not in found:
                    yield finding(
                        *where, "line: it does not hold for that checkpoint, witness and time",
                        "line：与该检查点、见证者或时间不符",
                    )  # fmt: skip
        if len(page) < _ROWS_A_PAGE:
            return
        last = (page[-1][0], page[-1][1], page[-1][2], page[-1][3])


def _cosigns(
    note: bytes, line: str, said: tuple[str, str, str], witnesses: Sequence[WitnessKey]
) -> bool | None:
    """
    Return whether *line* stands under *note*, and is of the log, witness and time that are *said*.

    None where all of that fits, and it is by none of the keys of *witnesses*.
    """
    origin, witness, time = said
    try:
        if Checkpoint.parse(split_note(note)[0]).origin != origin:
            return False
        name, seen = cosigned_by(line)
        if (name, stamp(seen)) != (witness, time):
            return False
        return True if signed_by(note, line, witnesses) is not None else None
    except ExchangeError:
        return False


def _archived(engines: Engines) -> Iterator[Text]:
    """Yield each leaf whose contents are said to be in an archive that there is not."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        for (leaf_index,) in driver.fetch(connection, _NOWHERE):
            yield finding(
                "archived", "leaf_index", leaf_index, "there is no such archive", "没有该归档"
            )
