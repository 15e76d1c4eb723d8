"""
The runner: links one platform to one bridge, for as long as it runs.

Two loops.  *Out*: take what the platform wants sent into the spool, push the spool, tell the platform
what became of it.  *In*: wait for what comes, have the platform write it, and only then acknowledge
it as written.  A failure of the link, the bridge or the platform stops neither for good: it is
noted for `Spool.status` and tried again, later and later, with jitter.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType

from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from adapters.platform import Adapter, Indigestible, Outgoing, complete
from adapters.spool import Spool
from exchange.client import (
    Acknowledgement,
    Agreement,
    Declined,
    ExchangeClient,
    IncomingFault,
    IncomingMessage,
    IncomingReceipt,
    Noted,
    OutgoingMessage,
    SealedMessage,
    Written,
)
from exchange.errors import ExchangeError, InvalidRequest, Refusal, StoreUnavailable
from exchange.text import Text

#: Begins the name of a note about a lane that stands still because a message was declined.
_STOPPED = "stopped "


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the runner looks, and how patient it is; *clock* gives aware UTC times."""

    #: The platform is asked for outgoing messages at least this often; `Runner.wake` is quicker.
    look: timedelta = timedelta(seconds=1)
    #: A pull waits this long at the bridge for something to come.
    wait: timedelta = timedelta(seconds=25)
    first_pause: timedelta = timedelta(milliseconds=250)
    longest_pause: timedelta = timedelta(seconds=30)
    #: What the platform has listened to is forgotten from the spool after this long.
    keep: timedelta = timedelta(days=30)
    clock: Callable[[], datetime] = _utc_now


#: Told the kind of work (``push``, ``pull``, ``acknowledge``, ``platform``, ``reminder``) and why it
#: fails; None where it succeeds again, or for the first time.
Notice = Callable[[str, Text | None], None]


class Runner:
    """
    One platform, its spool and its connection.

    `run` is the whole of it; the single steps are for programs that have their own loop.
    """

    def __init__(
        self,
        adapter: Adapter,
        spool: Spool,
        client: ExchangeClient,
        pace: Pace | None = None,
        notice: Notice | None = None,
    ) -> None:
        """Link *adapter*; *notice* is told of each kind of work that begins to fail or to succeed."""
        self.adapter = adapter
        self.spool = spool
        self.client = client
        self.pace = pace or Pace()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._noted: dict[str, tuple[datetime, str]] = {}
        self._reconciled = False
        self._notice = notice
        client.checkpoint = client.checkpoint or spool.noted("checkpoint")
        self._log = client.checkpoint.partition("\n")[0]

    # -- out

    def collect(self) -> int:
        """Take what the platform wants sent into the spool; return how many messages."""
        outgoing = self.adapter.outgoing()
        waiting: list[OutgoingMessage] = []
        lanes: set[str] = set()
        for message in outgoing:
            if isinstance(message, SealedMessage):
                self._keep(waiting)
                self.spool.put([message], self.pace.clock())
                self.adapter.kept([message])
                continue
            if message.handoff_id in lanes:  # it may build on what waits to be sealed
                self._keep(waiting)
                lanes.clear()
            waiting.append(message)
            lanes.add(message.handoff_id)
        self._keep(waiting)
        return len(outgoing)

    def _keep(self, waiting: list[OutgoingMessage]) -> None:
        """Seal *waiting* as one batch, put it into the spool, and empty it."""
        new: list[OutgoingMessage] = []
        done: list[Outgoing] = []
        for message in waiting:
            try:
                if self.spool.holds(message.id_for(self.client.organisation)):
                    done.append(message)
                    continue
                ready = complete(message, self.spool)
                self.client.sealer.draft(ready)
            except InvalidRequest as unfit:
                self.adapter.unfit(message, unfit.text)
                continue
            new.append(ready)
            done.append(message)
        self.spool.put(self.client.sealer.seal(new), self.pace.clock())
        self.adapter.kept(done)
        waiting.clear()

    def push(self) -> int:
        """Push what may be pushed now; return how many messages were answered."""
        answered = 0
        while batch := self.spool.batch(self.pace.clock()):
            results = self.client.push_sealed(batch)
            self.spool.settle(batch, results, self.pace.clock())
            answered += len(batch)
            failures = [result.failure for result in results if result.failure]
            self._note(pushed=self.pace.clock().isoformat(), checkpoint=self.client.checkpoint)
            self._note_error("push", failures[0] if failures else None)
        return answered

    def tell(self) -> int:
        """Tell the platform what became of its messages; return how many."""
        count = 0
        while decisions := self.spool.decisions():
            for decision in decisions:
                self.adapter.decided(decision)
                self.spool.told([decision.message_id])
            count += len(decisions)
        return count

    # -- in

    def pull(self, wait: timedelta = timedelta(0)) -> int:
        """Hand over what has come, waiting up to *wait* for it; return how many items came."""
        items = self.client.pull(wait=wait)
        self._note(pulled=self.pace.clock().isoformat(), checkpoint=self.client.checkpoint)
        self._note_error("pull", None)
        statements: list[Acknowledgement] = []
        stopped: set[str] = set()
        failure: Exception | None = None
        for item in items:
            if item.lane in stopped:
                continue  # its lane keeps its order: it comes again
            try:
                statement = self._hand_over(item)
            except Exception as error:  # noqa: BLE001 - whatever a platform raises, others go on
                failure = failure or error
                stopped.add(item.lane)
                continue
            statements.append(statement)
            if isinstance(statement, Declined):
                stopped.add(item.lane)
        self._acknowledge(statements)
        if items:  # while nothing comes, the platform's newest failure is still the newest
            self._note_error("platform", failure)
        return len(items)

    def _hand_over(
        self, item: IncomingMessage | IncomingReceipt | IncomingFault
    ) -> Acknowledgement:
        now = self.pace.clock
        if isinstance(item, IncomingReceipt):
            self.adapter.answered(item)
            self.spool.answered(item)
            return Noted(position=item.position)
        if isinstance(item, IncomingFault):
            if item.refusal is None:
                raise item.failure
            return self._decline(item, item.refusal)
        self.spool.arriving(item, now())
        try:
            number = self.adapter.deliver(item)
        except Indigestible as indigestible:
            self.spool.not_arrived(item)
            return self._decline(item, indigestible.refusal)
        self.spool.note(**{_STOPPED + item.lane: ""})
        new = not self.spool.has_incoming(item.message_id)
        statement = self.spool.handed_over(item, number, now())
        if new:
            self._remind(item)
        return statement

    def _decline(self, item: IncomingMessage | IncomingFault, refusal: Refusal) -> Acknowledgement:
        # Before it is said: reconciling must find the lane by name, also one that never began.
        self.spool.note(**{_STOPPED + item.lane: f"{refusal.code.name} {item.message_id}"})
        return self.spool.declined(item.message_id, item.digest, refusal, self.pace.clock())

    def _remind(self, item: IncomingMessage) -> None:
        try:
            self.adapter.on_arrival(item)
        except Exception as error:  # noqa: BLE001 - a broken bell must not stop the post
            self._note_error("reminder", error)

    def acknowledge(self) -> int:
        """Say again what was written or declined and no bridge has recorded; return how many."""
        statements = self.spool.unacknowledged()
        self._acknowledge(statements)
        return len(statements)

    def _acknowledge(self, statements: Sequence[Acknowledgement]) -> None:
        if not statements:
            return
        results = self.client.acknowledge(statements)
        settled = []
        for statement, result in zip(statements, results, strict=True):
            if result.refusal is not None:
                self._note_error("acknowledge", result.refusal.text)
            if result.failure is None and isinstance(statement, Written | Declined):
                settled.append(statement.message_id)
        self.spool.acknowledged(settled)

    def reconcile(self) -> int:
        """
        Compare every known hand-off with the bridge (R50b); return how many differed.

        What is missing here comes with the next pull; what the bridge is missing waits in the spool
        again.  What was declined comes again, too: the platform may have learnt to digest it.
        """
        differing = 0
        notes = self.spool.status().notes
        stopped = [name.removeprefix(_STOPPED) for name in notes if name.startswith(_STOPPED)]
        heads = dict.fromkeys(stopped, b"") | self.spool.heads()
        for finding in self.client.reconcile(heads).findings:
            if finding.agreement is Agreement.SAME:
                continue
            known = self.spool.handoff(finding.handoff_id)
            if (
                known is not None
                and known.peer == self.client.organisation
                and finding.agreement is Agreement.UNKNOWN
            ):
                continue  # an own duty that this kind of offer or ruling did not open
            differing += 1
            if finding.agreement in {Agreement.BRIDGE_BEHIND, Agreement.UNKNOWN}:
                self.spool.push_again(finding.handoff_id, self.pace.clock())
        return differing

    # -- the loops

    def wake(self) -> None:
        """Look for outgoing messages at once."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return as soon as what is under way is done; nothing is lost by it."""
        self._stop.set()
        self._wake.set()
        self.client.interrupt()

    def run(self) -> None:
        """Reconcile once, and run until `stop`."""
        incoming = threading.Thread(target=self._loop, args=(self._in, "pull"), name="incoming")
        incoming.start()
        try:
            self._loop(self._out, "push")
        finally:
            self.stop()
            incoming.join()

    def _out(self) -> None:
        failures: list[Exception] = []
        # What was written before the start is said first, so that it is not sent once more.
        for step in (self.collect, self.push, self.tell, self.acknowledge, self._reconcile_once):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - raised below, after the other steps' turn
                failures.append(error)
        if failures:
            raise failures[0]
        now = self.pace.clock()
        self.spool.prune(now - self.pace.keep)
        due = self.spool.next_due(now)
        if due is None:  # nothing waits for a failure to pass
            self._note_error("push", None)
        pause = min(self.pace.look, due - now) if due else self.pace.look
        self._wake.wait(max(pause.total_seconds(), 0.0))
        self._wake.clear()

    def _reconcile_once(self) -> None:
        if not self._reconciled:
            self.reconcile()
            self._reconciled = True

    def _in(self) -> None:
        linked = self._noted.get("pull_error", (None, "?"))[1] == ""
        # A link that is new, or was lost, is not waited on to be found in order.
        self.pull(self.pace.wait if linked else timedelta(0))
        self._wake.set()  # what came may let the platform say something

    def _loop(self, turn: Callable[[], None], name: str) -> None:
        """Repeat *turn* until stopped; pause after a failure, longer after each."""

        def note(state: RetryCallState) -> None:
            failure = state.outcome.exception() if state.outcome else None
            self._note_error(name, failure)

        retrying = Retrying(
            retry=retry_if_exception_type(Exception),
            wait=wait_random_exponential(
                multiplier=self.pace.first_pause.total_seconds(),
                max=self.pace.longest_pause.total_seconds(),
            ),
            sleep=sleep_using_event(self._stop),
            stop=stop_when_event_set(self._stop),
            before_sleep=note,
        )
        while not self._stop.is_set():
            try:
                retrying(turn)
            except RetryError:
                return

    def _note(self, **facts: str) -> None:
        """Note facts in the spool; what changes all the time, once a second at most."""
        now = self.pace.clock()
        self._follow(facts.get("checkpoint", ""))
        changed = {}
        for name, fact in facts.items():
            at, held = self._noted.get(name, (None, ""))
            if fact != held and (at is None or now - at >= timedelta(seconds=1)):
                changed[name] = fact
                self._noted[name] = (now, fact)
        if changed:
            self.spool.note(**changed)

    def _follow(self, checkpoint: str) -> None:
        """Push everything again where the bridge went on in another log: see `Spool.push_all_again`."""
        log = checkpoint.partition("\n")[0]
        if log and self._log and log != self._log:
            self.spool.push_all_again(self.pace.clock())
            self.spool.note(checkpoint=checkpoint)
        self._log = log or self._log

    def _note_error(self, what: str, failure: BaseException | Text | None) -> None:
        """Note the newest failure of one kind of work; None forgets it."""
        name = f"{what}_error"
        text: Text | None
        if failure is None:
            fact, text = "", None
        elif isinstance(failure, Text):
            fact, text = f"{failure.en} {failure.zh}", failure
        elif isinstance(failure, ExchangeError):
            text = failure.text
            fact = f"{failure.reason}: {text.en} {text.zh}"
        else:
            fact = f"{type(failure).__name__}: {failure}"
            text = Text(en=f"{fact}.", zh=f"{fact}。")
        known = self._noted.get(name)
        if known is None or fact != known[1]:
            with suppress(StoreUnavailable):  # a full disk is what there is to note: it passes
                self.spool.note(**{name: fact})
                self._noted[name] = (self.pace.clock(), fact)
            if self._notice is not None:
                self._notice(what, text)


def stop_on_signals(runner: Runner) -> None:
    """Let SIGTERM and SIGINT stop *runner*; call it from the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        runner.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
