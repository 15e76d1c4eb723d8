"""
A ferry's memory, written before anything is handed to the gap or taken from it.

Outgoing bundles stay until the other side has confirmed them, arrived ones until they are applied.
Whoever loses the file loses no message: the bridge's mailbox still holds whatever was not answered,
and a new stream begins (`begin_again`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from adapters.ferry.journal_file import JournalFile
from exchange.client import Bundle, Load, Progress

#: Bundles kept beyond the one that is applied next; later ones wait in the gap's folder.
AHEAD = 256
#: Applied bundles whose digests are remembered, to tell a repeat from another under its number.
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An outgoing bundle that is not confirmed yet; when its file was last put out, and how often."""

    sequence: int
    written: datetime | None
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer that waits to be sent, by its row."""

    number: int
    acknowledgement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """One thing that arrived and could not be decided, by its row."""

    number: int
    load: Load


class Arrival(Enum):
    """What a bundle that arrived is."""

    NEW = "new"
    #: A repeat, a notice, or of a stream that is over.
    KNOWN = "known"
    #: Too far ahead to be kept: it stays where it is.
    LATER = "later"
    #: Another one came under its number: the other side was put back from a backup.
    FORKED = "forked"


class Journal(JournalFile):
    """What one ferry has sent, got and not finished; every method is one transaction."""

    # -- going out

    def answers(self) -> list[Answered]:
        """Return the answers that no bundle has, oldest first."""
        rows = self._rows(
            "SELECT number, acknowledgement FROM answer WHERE bundle IS NULL ORDER BY number"
        )
        return [Answered(number=row[0], acknowledgement=row[1]) for row in rows]

    def send(
        self,
        signed: bytes,
        digest: bytes,
        *,
        receipts: Sequence[int],
        answers: Sequence[int],
        cursor: int,
        now: datetime,
    ) -> int:
        """Keep the next outgoing bundle, with how far the mailbox was read for it; return its number."""
        with self._writing():
            sequence = self.number("sequence") + 1
            self._db.execute(
                "INSERT INTO outgoing VALUES (?, ?, ?, ?, NULL, 0)",
                (
                    sequence,
                    signed,
                    json.dumps(list(receipts)),
                    now.isoformat(),
                ),
            )
            self._db.executemany(
                "UPDATE answer SET bundle = ? WHERE number = ?",
                [(sequence, number) for number in answers],
            )
            self._set(sequence=str(sequence), previous=digest.hex(), cursor=str(cursor))
            self._set(tell="")
            return sequence

    def unconfirmed(self) -> list[Sent]:
        """Return the bundles that the other side has not confirmed, oldest first."""
        rows = self._rows("SELECT sequence, written, copies FROM outgoing ORDER BY sequence")
        return [
            Sent(
                sequence=row[0],
                written=None if row[1] is None else datetime.fromisoformat(row[1]),
                copies=row[2],
            )
            for row in rows
        ]

    def signed(self, sequence: int) -> bytes:
        """Return an outgoing bundle's bytes."""
        return bytes(self._rows("SELECT signed FROM outgoing WHERE sequence = ?", sequence)[0][0])

    def written(self, sequence: int, now: datetime) -> None:
        """Note that the bundle's file was put out."""
        with self._writing():
            self._db.execute(
                "UPDATE outgoing SET written = ?, copies = copies + 1 WHERE sequence = ?",
                (now.isoformat(), sequence),
            )

    def confirmed(self) -> tuple[int, list[int]]:
        """Return up to which number bundles are confirmed, and the receipts to note for them."""
        upto = self.number("confirmed")
        rows = self._rows("SELECT receipts FROM outgoing WHERE sequence <= ?", upto)
        return upto, [place for row in rows for place in json.loads(row[0])]

    def forget(self, upto: int) -> list[int]:
        """Forget bundles up to that number, and their answers; return the numbers."""
        with self._writing():
            gone = [
                row[0]
                for row in self._rows("SELECT sequence FROM outgoing WHERE sequence <= ?", upto)
            ]
            self._db.execute("DELETE FROM answer WHERE bundle <= ?", (upto,))
            self._db.execute("DELETE FROM outgoing WHERE sequence <= ?", (upto,))
        return gone

    def _heard(self, progress: Progress, *, newest: bool) -> bool:
        """
        Take in how far the other side has come; numbers it misses are to be put out again.

        Return whether our stream cannot go on: one of the two memories is older than the other.
        """
        sent, confirmed = self.number("sequence"), self.number("confirmed")
        if progress.applied > sent or progress.forked:
            return True
        if newest and any(number <= confirmed for number in progress.missing):
            return True  # it asks for what it had confirmed, and what is gone here
        self._set(confirmed=str(max(progress.applied, confirmed)))
        self._db.executemany(
            "UPDATE outgoing SET written = NULL WHERE sequence = ?",
            [(number,) for number in progress.missing],
        )
        return False

    # -- coming in

    def progress(self) -> Progress | None:
        """Return how far the other side's stream is applied and what of it is missing; None before any."""
        stream = self.fact("theirs")
        if not stream:
            return None
        return Progress(
            stream=stream,
            applied=self.number("applied"),
            missing=tuple(self.missing()),
            forked=bool(self.fact("forked")),
        )

    def missing(self) -> list[int]:
        """Return the numbers that must have been sent and are not here: before later ones, or damaged."""
        applied = self.number("applied")
        here = {
            row[0] for row in self._rows("SELECT sequence FROM arrived WHERE sequence > ?", applied)
        }
        damaged = {
            row[0] for row in self._rows("SELECT sequence FROM damaged WHERE sequence > ?", applied)
        }
        last = max(here, default=applied)
        gaps = set(range(applied + 1, min(last, applied + AHEAD) + 1)) - here
        return sorted(gaps | (damaged - here))

    def arrive(self, bundle: Bundle, signed: bytes, now: datetime) -> Arrival:
        """
        Keep a bundle that has arrived, and take in at once what it says of our own.

        Where our stream cannot go on, because either side lost its memory or was put back from a
        backup, another one begins.
        """
        with self._writing():
            if self._row("SELECT 1 FROM past WHERE stream = ?", bundle.stream):
                return Arrival.KNOWN
            theirs, told = self.fact("theirs"), bundle.progress
            ours = told if told is not None and told.stream == self.fact("stream") else None
            other = bundle.stream != theirs
            if other:
                self._follow(bundle.stream)
            # Files overtake one another: what an older one lacks may have come since.
            made = bundle.created.isoformat()
            newest = made > self.fact("newest")
            self._set(newest=max(made, self.fact("newest")))
            # A new stream of somebody who knows ours, and not less of it than before, is an answer
            # to our own beginning again; any other means that they forgot what they had.
            forgot = (
                other and theirs != "" and (ours is None or ours.applied < self.number("confirmed"))
            )
            if forgot or (ours is not None and self._heard(ours, newest=newest)):
                self._begin_again()
            return self._keep(bundle, signed, now)

    def _follow(self, stream: str) -> None:
        theirs = self.fact("theirs")
        if theirs:
            self._db.execute("INSERT INTO past VALUES (?)", (theirs,))
        for table in ("arrived", "damaged", "seen"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 (our own names)
        self._set(theirs=stream, applied="0", newest="", forked="")

    def _keep(self, bundle: Bundle, signed: bytes, now: datetime) -> Arrival:
        applied, number = self.number("applied"), bundle.sequence
        if number == 0:
            return Arrival.KNOWN  # a notice has been heard, that is all
        seen = self._row("SELECT digest FROM seen WHERE sequence = ?", number)
        if number <= applied:
            forked = seen is not None and seen[0] != bundle.digest
            # What confirmed it may have been lost: that is said again.
            self._set(tell="again", forked="yes" if forked else self.fact("forked"))
            return Arrival.FORKED if forked else Arrival.KNOWN
        if number > applied + AHEAD:
            return Arrival.LATER
        self._db.execute("DELETE FROM damaged WHERE sequence = ?", (number,))
        kept = self._row("SELECT 1 FROM arrived WHERE sequence = ?", number)
        if kept is not None:
            return Arrival.KNOWN
        self._db.execute("INSERT INTO arrived VALUES (?, ?, ?)", (number, signed, now.isoformat()))
        return Arrival.NEW

    def damaged(self, stream: str, sequence: int) -> None:
        """Note that a bundle came damaged, by its name's claim: it is asked for again."""
        with self._writing():
            applied = self.number("applied")
            if stream == self.fact("theirs") and applied < sequence <= applied + AHEAD:
                self._db.execute("INSERT OR IGNORE INTO damaged VALUES (?)", (sequence,))

    def next_arrived(self) -> tuple[int, bytes] | None:
        """Return the bundle to apply next; None where it has not arrived."""
        row = self._row(
            "SELECT sequence, signed FROM arrived WHERE sequence = ?", self.number("applied") + 1
        )
        return None if row is None else (row[0], row[1])

    def fork(self, sequence: int) -> None:
        """Drop an arrived bundle that does not follow the one before it: there are two histories."""
        with self._writing():
            self._db.execute("DELETE FROM arrived WHERE sequence = ?", (sequence,))
            self._set(forked="yes", tell="again")

    def applied(
        self,
        sequence: int,
        digest: bytes,
        answers: Sequence[bytes],
        undecided: Sequence[tuple[Load, str]],
        *,
        now: datetime,
    ) -> None:
        """Note that a bundle is done: its answers go back, what was not decided is tried again here."""
        with self._writing():
            self._answer(answers)
            self._db.executemany(
                "INSERT INTO undecided (envelope, acknowledgement, chain, since, why)"
                " VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        load.envelope,
                        load.acknowledgement,
                        json.dumps([der.hex() for der in load.chain]),
                        now.isoformat(),
                        why,
                    )
                    for load, why in undecided
                ],
            )
            self._db.execute("DELETE FROM arrived WHERE sequence <= ?", (sequence,))
            self._db.execute("DELETE FROM damaged WHERE sequence <= ?", (sequence,))
            self._db.execute("INSERT INTO seen VALUES (?, ?)", (sequence, digest))
            self._db.execute("DELETE FROM seen WHERE sequence <= ?", (sequence - REMEMBERED,))
            self._set(applied=str(sequence), tell="new")

    def _answer(self, answers: Sequence[bytes]) -> None:
        self._db.executemany(
            "INSERT INTO answer (acknowledgement) VALUES (?)", [(one,) for one in answers]
        )

    def undecided(self) -> list[Undecided]:
        """Return what arrived and was not decided, oldest first."""
        rows = self._rows(
            "SELECT number, envelope, acknowledgement, chain FROM undecided ORDER BY number"
        )
        return [
            Undecided(
                number=row[0],
                load=Load(
                    envelope=row[1],
                    acknowledgement=row[2],
                    chain=tuple(bytes.fromhex(der) for der in json.loads(row[3])),
                ),
            )
            for row in rows
        ]

    def decided(self, numbers: Sequence[int], answers: Sequence[bytes]) -> None:
        """Note that these are decided by now, and keep their answers."""
        with self._writing():
            self._answer(answers)
            self._db.executemany(
                "DELETE FROM undecided WHERE number = ?", [(number,) for number in numbers]
            )

    def previous(self, sequence: int) -> bytes | None:
        """Return the digest of the bundle before number *sequence*; None where that was lost."""
        if sequence == 1:
            return b""
        row = self._row("SELECT digest FROM seen WHERE sequence = ?", sequence - 1)
        return None if row is None else bytes(row[0])

    def give_up(self, before: datetime) -> list[int]:
        """
        Pass over numbers for which a later bundle has waited since *before*; return them.

        Over a link that runs one way nobody can be asked for them.
        """
        with self._writing():
            row = self._row("SELECT sequence, time FROM arrived ORDER BY sequence LIMIT 1")
            applied = self.number("applied")
            if row is None or datetime.fromisoformat(row[1]) > before or row[0] == applied + 1:
                return []
            lost = list(range(applied + 1, row[0]))
            self._set(applied=str(row[0] - 1), lost=str(self.number("lost") + len(lost)))
            return lost

    def sweep(self, now: datetime) -> None:
        """Read the bridge's mailbox from its beginning once more."""
        self.note(cursor="0", swept=now.isoformat())

    def _begin_again(self) -> None:
        """
        Begin another stream of our own, with everything that was not confirmed in it.

        The mailbox is read from its beginning: it still holds what the other side has not answered.
        """
        self._db.execute("UPDATE answer SET bundle = NULL")
        self._db.execute("DELETE FROM outgoing")
        self._set(
            stream=str(uuid.uuid4()), sequence="0", previous="", confirmed="0", cursor="0",
            begun=str(self.number("begun") + 1),
        )  # fmt: skip

    # -- how it stands

    def standing(self) -> dict[str, Any]:
        """Return the figures of `status`."""
        count = "SELECT count(*), min({}) FROM {}"
        sent = self._one(count.format("made", "outgoing"))
        waits = self._one(count.format("time", "arrived"))
        stuck = self._row("SELECT count(*), min(since), max(why) FROM undecided")
        return {
            "stream": self.fact("stream"),
            "sent": self.number("sequence"),
            "confirmed": self.number("confirmed"),
            "unconfirmed": sent[0],
            "oldest": sent[1] or "",
            "answers": self._one("SELECT count(*) FROM answer WHERE bundle IS NULL")[0],
            "applied": self.number("applied"),
            "arrived": waits[0],
            "missing": self.missing(),
            "undecided": stuck[0] if stuck else 0,
            "why": json.loads(stuck[2]) if stuck and stuck[2] else None,
            "quarantined": self.number("quarantined"),
            "lost": self.number("lost"),
            "error": json.loads(self.fact("error")) if self.fact("error") else None,
            "time": self.fact("time"),
        }
