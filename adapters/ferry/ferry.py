"""
One ferry at work: what waits at its bridge goes out as bundles, what arrived is brought to the bridge.

1. Out: the mailbox is read on from where it was read last; with what the bridge answered to earlier
   bundles it becomes the next bundle, kept in the journal before its file is put out.
2. In: a file is checked and kept in the journal before it is taken away; bundles are applied in order,
   and what the bridge answered to each thing goes back with the next bundle out.
3. A message leaves the bridge's mailbox when the other bridge's stored receipt has come back; a
   receipt, when the bundle that carried it is confirmed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from adapters.ferry import landing, sayings
from adapters.ferry.chunks import Chunks
from adapters.ferry.forms import read_form, write_form
from adapters.ferry.journal import AHEAD, Arrival, Journal
from adapters.ferry.landing import Landed
from adapters.ferry.settings import FerryFiles
from exchange.client import (
    MAX_ACKNOWLEDGEMENTS,
    MAX_ENVELOPES,
    Answer,
    Bundle,
    Bundler,
    Carrier,
    Load,
)
from exchange.errors import ExchangeError, InvalidRequest, PredecessorUnknown, VerificationError
from exchange.text import Text

#: How often lanes that stand still are tried again, and how often the whole mailbox is looked through.
REOPEN, SWEEP = timedelta(hours=1), timedelta(days=1)
#: How often what could not be decided is tried again, where nothing new arrived.
AGAIN = timedelta(minutes=1)

Say = Callable[[Text], None]


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Ferry:
    """The ferry beside one bridge; `send` and `receive` are its turns, `run` takes them in a loop."""

    def __init__(
        self,
        files: FerryFiles,
        journal: Journal,
        carrier: Carrier,
        say: Say,
        *,
        clock: Callable[[], datetime] = utc_now,
        window: int = AHEAD,
    ) -> None:
        """Join *carrier*'s bridge; at most *window* bundles are under way unconfirmed."""
        self._window = window
        self._files = files
        self._journal = journal
        self._carrier = carrier
        self._bundler = Bundler.load(files.gateway, files.peer)
        self._chunks = Chunks(files, journal, carrier, self._bundler, say=say, clock=clock)
        self._say = say
        self._clock = clock
        self._stop = threading.Event()
        self._named: set[str] = set()
        self._error = ""

    # -- out

    def send(self) -> int:
        """
        Put out whatever is to go; return how many files were written.

        Raises the `ExchangeError` of a bridge, disk or journal that fails; nothing is lost by it.
        """
        failure: ExchangeError | None = None
        try:
            self._settle()
            self._open_lanes()
            while self._next_bundle():
                pass
        except ExchangeError as error:
            failure = error  # what is in the journal is put out all the same
        self._tell_progress()
        count = self._put_out()
        if failure is not None:
            raise failure
        return count + self._chunks.wish() + self._chunks.put_out()

    def _settle(self) -> None:
        """Note the receipts that are confirmed beyond, and forget the bundles that carried them."""
        upto, receipts = self._journal.confirmed()
        self._carrier.note(receipts)
        names = [
            landing.name_of(self._journal.fact("stream"), sequence, self._files.form)
            for sequence in self._journal.forget(upto)
        ]
        landing.remove(self._files.outgoing, names)

    def _open_lanes(self) -> None:
        now = self._clock()
        if self._due("reopened", REOPEN):
            self._carrier.reopen()
            self._journal.note(reopened=now.isoformat())
        # Whatever a place in the mailbox could hide, the daily look finds; a repeat does no harm.
        if self._files.one_way_copies:
            return  # nothing ever leaves the mailbox: it would all go out anew each day
        if self._due("swept", SWEEP) and not self._journal.unconfirmed():
            self._journal.sweep(now)

    def _due(self, name: str, every: timedelta) -> bool:
        last = self._journal.fact(name)
        return not last or not timedelta(0) <= self._clock() - datetime.fromisoformat(last) < every

    def _next_bundle(self) -> bool:
        """
        Make the next bundle of answers and of what waits; return whether there was anything.

        So many bundles are under way at most as the other side keeps; the mailbox keeps the rest.
        """
        under_way = self._journal.number("sequence") - self._journal.number("confirmed")
        if under_way >= self._window and not self._files.one_way_copies:
            return False
        cursor = self._journal.number("cursor")
        waiting = self._carrier.fetch(MAX_ENVELOPES, after=cursor)
        loads: list[Load] = []
        answers: list[int] = []
        receipts: list[int] = []
        size, envelopes = 0, 0
        for answer in self._journal.answers():
            size += len(answer.acknowledgement)
            if answers and (
                size > self._files.bundle_bytes or len(loads) == MAX_ACKNOWLEDGEMENTS // 2
            ):
                break
            loads.append(Load(acknowledgement=answer.acknowledgement))
            answers.append(answer.number)
        for load in waiting:
            size += len(load.envelope) + len(load.acknowledgement) + sum(map(len, load.chain))
            full = size > self._files.bundle_bytes or len(loads) == MAX_ACKNOWLEDGEMENTS
            if loads and (full or envelopes == MAX_ENVELOPES):
                break
            loads.append(load)
            envelopes += bool(load.envelope)
            cursor = load.position
            if load.acknowledgement:
                receipts.append(load.position)
        if loads:
            self._chunks.cited(loads)
            self._seal(loads, receipts, answers, cursor)
        return bool(loads)

    def _seal(
        self, loads: Sequence[Load], receipts: Sequence[int], answers: Sequence[int], cursor: int
    ) -> None:
        sequence = self._journal.number("sequence") + 1
        signed, digest = self._signed(sequence, loads)
        self._journal.send(
            signed, digest, receipts=receipts, answers=answers, cursor=cursor, now=self._clock()
        )
        self._say(sayings.SENT.fill(number=sequence, count=len(loads)))

    def _signed(self, sequence: int, loads: Sequence[Load]) -> tuple[bytes, bytes]:
        """Return bundle number *sequence*, signed, and its digest."""
        sealed = self._bundler.seal(
            loads,
            stream=self._journal.fact("stream"),
            sequence=sequence,
            previous=bytes.fromhex(self._journal.fact("previous")) if sequence else b"",
            created=self._clock(),
            progress=self._journal.progress(),
        )
        return sealed.signed, sealed.digest

    def _tell_progress(self) -> None:
        """
        Put out a notice where no bundle tells how far we have come: a confirmation, a request.

        It has no number: were it lost, and the next, and had each to be asked for again, two ferries
        would ask one another for notices for ever.
        """
        if self._files.one_way_copies:
            return  # nobody would hear it
        missing = self._journal.missing()
        asked = json.dumps(missing)
        ask = bool(missing) and (
            asked != self._journal.fact("asked") or self._due("asked_at", self._files.repeat)
        )
        if ask:
            self._say(sayings.ASKED.fill(numbers=", ".join(map(str, missing[:10]))))
            self._journal.note(asked=asked, asked_at=self._clock().isoformat())
        if ask or self._journal.fact("tell"):
            name = landing.name_of(self._journal.fact("stream"), 0, self._files.form)
            landing.put(
                self._files.outgoing, name, write_form(self._signed(0, ())[0], self._files.form)
            )
            self._journal.note(tell="")

    def _put_out(self) -> int:
        """Write the file of each bundle that is new, was asked for again, or was never confirmed."""
        count = 0
        stream = self._journal.fact("stream")
        for sent in self._journal.unconfirmed():
            now = self._clock()
            if sent.written is not None and timedelta(0) <= now - sent.written < self._files.repeat:
                continue
            if 0 < self._files.one_way_copies <= sent.copies:
                self._journal.forget(sent.sequence)
                continue
            name = landing.name_of(stream, sent.sequence, self._files.form)
            signed = self._journal.signed(sent.sequence)
            landing.put(self._files.outgoing, name, write_form(signed, self._files.form))
            self._journal.written(sent.sequence, now)
            count += 1
        return count

    # -- in

    def receive(self) -> int:
        """
        Take what has arrived and bring it to the bridge; return how many bundles were applied.

        Raises the `ExchangeError` of a bridge, disk or journal that fails; nothing is lost by it.
        """
        landed = landing.landed(self._files.incoming, self._foreign)
        for one in landed:
            if one.stream:
                self._land(one)
        applied = 0
        if self._files.one_way_copies:
            self._give_up()
        while (found := self._journal.next_arrived()) is not None:
            sequence, signed = found
            bundle = self._bundler.open(signed, self._clock())
            previous = self._journal.previous(sequence)
            if previous is not None and bundle.previous != previous:
                self._say(sayings.FORKED.fill(number=sequence))
                self._journal.fork(sequence)
                break
            self._apply(bundle)
            applied += 1
        if applied or self._due("retried", AGAIN):
            self._decide()
        for one in landed:
            if not one.stream:  # a chunk: whatever becomes of it, no message waited
                self._land(one)
        return applied

    def _give_up(self) -> None:
        """Pass over what was lost although each bundle comes several times; name it."""
        patience = self._files.repeat * (self._files.one_way_copies + 1)
        lost = self._journal.give_up(self._clock() - patience)
        if lost:
            self._say(sayings.LOST.fill(numbers=", ".join(map(str, lost[:10]))))

    def _foreign(self, name: str) -> None:
        if name not in self._named:
            self._named.add(name)
            self._say(sayings.FOREIGN.fill(name=name))

    def _land(self, one: Landed) -> None:
        """Check one file, keep what it holds, and only then take it away."""
        content = landing.content_of(one.path)
        now = self._clock()
        try:
            if content is None:
                raise InvalidRequest(sayings.UNREADABLE.fill(name=one.path.name))
            signed = read_form(content, one.form)
            bundle = self._bundler.open(signed, now)
        except (InvalidRequest, VerificationError) as error:
            if landing.is_growing(one.path, now):
                return
            self._set_aside(one, content, error.text)
            return
        if not one.stream:
            self._chunks.land(bundle)
            one.path.unlink(missing_ok=True)
            return
        self._chunks.heard(bundle)
        arrival = self._journal.arrive(bundle, signed, now)
        if arrival is Arrival.LATER:
            return
        if arrival is Arrival.FORKED:
            self._say(sayings.FORKED.fill(number=bundle.sequence))
        one.path.unlink(missing_ok=True)

    def _set_aside(self, one: Landed, content: bytes | None, why: Text) -> None:
        if content is None and one.path.name in self._named:
            return
        self._named.add(one.path.name)
        place = landing.set_aside(one.path, content, self._files.quarantine, why, self._clock())
        self._journal.damaged(one.stream, one.sequence)
        self._journal.note(quarantined=str(self._journal.number("quarantined") + 1))
        self._say(
            Text(
                en=sayings.ASIDE.en.format(name=one.path.name, why=why.en, place=place),
                zh=sayings.ASIDE.zh.format(name=one.path.name, why=why.zh, place=place),
            )
        )

    def _apply(self, bundle: Bundle) -> None:
        """Bring what *bundle* holds to the bridge; once every answer is there, note all of it."""
        answers = self._carrier.bring(bundle.loads)
        back, undecided = self._sort(bundle.loads, answers)
        self._journal.applied(
            bundle.sequence,
            bundle.digest,
            () if self._files.one_way_copies else back,
            undecided,
            now=self._clock(),
        )
        self._say(sayings.APPLIED.fill(number=bundle.sequence, count=len(bundle.loads)))

    def _decide(self) -> None:
        """Bring once more what could not be decided."""
        waiting = self._journal.undecided()
        self._journal.note(retried=self._clock().isoformat())
        if not waiting:
            return
        loads = [one.load for one in waiting]
        answers = self._carrier.bring(loads)
        back, left = self._sort(loads, answers)
        still = {id(load) for load, _ in left}
        self._journal.decided(
            [one.number for one in waiting if id(one.load) not in still],
            () if self._files.one_way_copies else back,
        )

    def _sort(
        self, loads: Sequence[Load], answers: Sequence[Answer]
    ) -> tuple[list[bytes], list[tuple[Load, str]]]:
        """
        Return what goes back, and what could not be decided and why.

        Raises the failure of a call that failed as a whole: then the bundle comes to it again.
        """
        back: list[bytes] = []
        undecided: list[tuple[Load, str]] = []
        for load, answer in zip(loads, answers, strict=True):
            if answer.failure is not None:
                if not isinstance(answer.failure, PredecessorUnknown):
                    raise answer.failure
                undecided.append((load, _both(answer.failure.text)))
                continue
            if answer.refusal is not None:
                why = answer.refusal
                self._say(Text(en=f"REFUSED by the bridge: {why.code.name}: {why.text.en}",
                               zh=f"网桥拒绝：{why.code.name}：{why.text.zh}"))  # fmt: skip
            if answer.acknowledgement:
                back.append(answer.acknowledgement)
            elif answer.refusal is not None:
                undecided.append((load, _both(answer.refusal.text)))
        return back, undecided

    # -- the loop

    def stop(self) -> None:
        """Let `run` return as soon as what is under way is done."""
        self._stop.set()
        self._carrier.interrupt()

    def run(self) -> None:
        """Take turns until `stop`; what fails is noted, said once, and tried again."""
        while not self._stop.is_set():
            self.turn()
            self._stop.wait(self._files.look.total_seconds())

    def turn(self, *, receive: bool = True, send: bool = True) -> bool:
        """Take one turn of each kind asked for; return whether all went well."""
        failures: list[ExchangeError] = []
        for wanted, step in ((receive, self.receive), (send, self.send)):
            try:
                if wanted:
                    step()
            except ExchangeError as error:
                failures.append(error)
        said = _both(failures[0].text) if failures else ""
        if said and said != self._error:
            self._say(failures[0].text)
        self._error = said
        self._journal.note(error=said, time=self._clock().isoformat())
        return not failures


def _both(text: Text) -> str:
    """Return *text* as the journal keeps it."""
    return json.dumps({"en": text.en, "zh": text.zh}, ensure_ascii=False)
