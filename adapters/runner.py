"""
The runner: links one platform to one bridge, for as long as it runs.

Three loops, and a fourth where the platform has files.  *Out*: take what the platform wants sent into
the spool, push the spool, tell the platform what became of it.  *In*: wait for what comes, have the
platform write it, and only then acknowledge it as written.  *Urgent*: the same for urgent lanes alone, so
that one of them waits for no more than the one message that is just being written.  *Files*: send and
fetch attachments beside them (`adapters.attaching`).  A failure of the link, the bridge or the platform
stops none of them for good: it is noted for `Spool.status` and tried again, later and later, with jitter.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import FrameType

from adapters.copies import attach
from adapters.door import Door, urgent_lanes
from adapters.dues import Dues, Ring
from adapters.notes import Notes, Notice
from adapters.pace import Pace
from adapters.platform import Adapter, Indigestible, Outgoing, complete
from adapters.posting import Posting
from adapters.repeating import repeat
from adapters.spool import Spool
from adapters.spool_lanes import STOPPED
from adapters.timers import Timers
from adapters.withholding import number_used, withhold
from exchange.acts import Urgency
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
from exchange.errors import InvalidRequest, LimitExceeded
from exchange.text import Text

__all__ = ["Pace", "Runner", "stop_on_signals"]


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
        *,
        ring: Ring | None = None,
    ) -> None:
        """
        Link *adapter*; *notice* is told of each kind of work that begins to fail or to succeed.

        *ring* reminds a person of what this organisation owes by a deadline; without it the bridge is
        not asked.
        """
        self.adapter = adapter
        self.spool = spool
        self.client = client
        self.pace = pace or Pace()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._reconciled = False
        self._door, self._noting = Door(), threading.Lock()
        self._dues = None if ring is None else Dues(client, ring, self.pace.clock)
        self.timers = Timers(client, spool, self.pace.clock)
        self._notes = Notes(spool, self.pace.clock, notice)
        self._note_error = self._notes.note_error
        #: Attachments: sent behind their messages, and fetched.
        self.posting = Posting(
            adapter, spool, client, self.pace, note_error=self._note_error, wake=self.wake
        )
        client.checkpoint = client.checkpoint or spool.noted("checkpoint")
        self._logs = {client.checkpoint.partition("\n")[0], *spool.noted("logs").split()} - {""}

    # -- out

    def collect(self) -> int:
        """Take what the platform wants sent into the spool; return how many messages."""
        outgoing = self.adapter.outgoing()
        waiting: list[OutgoingMessage] = []
        lanes: set[str] = set()
        for message in outgoing:
            if isinstance(message, SealedMessage):
                self._keep(waiting)
                for other in self.spool.put([message], self.pace.clock()):
                    self.adapter.decided(number_used(other))
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
                message_id = message.id_for(self.client.organisation)
                if self.spool.holds(message_id):
                    done.append(message)
                    continue
                ready = complete(message, self.spool)
                if ready.files:
                    ready = attach(ready, self.adapter, self.spool, self.client, self.pace.chunk)
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
        answered, trusted = 0, True
        while trusted and (batch := self.spool.batch(self.pace.clock())):
            pushed = self.client.push_sealed(batch)
            results, trusted = withhold(self.client.sealer, self.spool, batch, pushed)
            self.spool.settle(batch, results, self.pace.clock())
            answered += len(batch)
            failures = [result.failure for result in results if result.failure]
            self._note(pushed=self.pace.clock().isoformat(), checkpoint=self.client.checkpoint)
            self._note_error("push", failures[0] if failures else None)
            self.posting.wake()  # the files of what is stored may follow
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

    def pull(self, wait: timedelta = timedelta(0), *, least: Urgency | None = None) -> int:
        """
        Hand over what has come, waiting up to *wait* for it; return how many items came.

        With *least* only of lanes in which something so urgent waits.
        """
        items = self.client.pull(wait=wait, least=least)
        with self._noting:
            self._note(pulled=self.pace.clock().isoformat(), checkpoint=self.client.checkpoint)
            self._note_error("pull" if least is None else "urgent", None)
        urgent = urgent_lanes(items)
        statements: list[Acknowledgement] = []
        stopped: set[str] = set()
        failure: Exception | None = None
        for item in items:
            if item.lane in stopped:
                continue  # its lane keeps its order: it comes again
            try:
                # Between any two of many; what stands before it in its lane goes with it.
                with self._door.passing(urgent=item.lane in urgent):
                    statement = self._hand_over(item)
            except Exception as error:  # noqa: BLE001 - whatever a platform raises, others go on
                failure = failure or error
                stopped.add(item.lane)
                continue
            statements.append(statement)
            if isinstance(statement, Declined):
                stopped.add(item.lane)
        self._acknowledge(statements)
        if statements:
            self.posting.wake()
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
            return self.spool.put_aside(item, item.refusal, now())
        self.spool.arriving(item, now())
        try:
            number = self.adapter.deliver(item)
        except Indigestible as indigestible:
            self.spool.not_arrived(item)
            return self.spool.put_aside(item, indigestible.refusal, now())
        self.spool.moves(item.lane)
        new = not self.spool.has_incoming(item.message_id)
        statement = self.spool.handed_over(item, number, now())
        if new:
            self._remind(item)
        return statement

    def _remind(self, item: IncomingMessage) -> None:
        try:
            self.adapter.on_arrival(item)
        except Exception as error:  # noqa: BLE001 - a broken bell must not stop the post
            self._note_error("reminder", error)
        else:
            self._note_error("reminder", None)

    def remind(self) -> int:
        """Remind of what is due from us, now and then; return how often it rang."""
        if self._dues is None:
            return 0
        try:
            rung = self._dues.look()
        except Exception as error:  # noqa: BLE001 - a broken bell must not stop the post
            self._note_error("deadlines", error)
            return 0
        if rung is not None:
            self._note_error("deadlines", None)
        return rung or 0

    def acknowledge(self) -> int:
        """Say again what was written or declined and no bridge has recorded; return how many."""
        statements = self.spool.unacknowledged()
        self._acknowledge(statements)
        return len(statements)

    def _acknowledge(self, statements: Sequence[Acknowledgement]) -> None:
        if not statements:
            return
        results = self.client.acknowledge(statements)
        refusals = [result.refusal for result in results if result.refusal is not None]
        settled: list[Written | Declined] = []
        self._note_error("acknowledge", refusals[0].text if refusals else None)
        for statement, result in zip(statements, results, strict=True):
            if result.failure is None and isinstance(statement, Written | Declined):
                settled.append(statement)
        self.spool.settled(settled)

    def reconcile(self) -> int:
        """
        Compare every known hand-off with the bridge (R50b); return how many differed.

        What is missing here comes with the next pull; what the bridge is missing waits in the spool
        again.  What was declined comes again, too: the platform may have learnt to digest it.
        """
        differing = 0
        notes = self.spool.status().notes
        stopped = [name.removeprefix(STOPPED) for name in notes if name.startswith(STOPPED)]
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

    def note_error(self, what: str, failure: Text | None) -> None:
        """Note the newest failure of an adapter's own work; None forgets it."""
        self._note_error(what, failure)

    # -- the loops

    def wake(self) -> None:
        """Look for outgoing messages at once."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return as soon as what is under way is done; nothing is lost by it."""
        self._stop.set()
        self._wake.set()
        self.posting.stop()
        self.client.interrupt()

    def run(self) -> None:
        """Reconcile once, and run until `stop`."""
        self._notes.begin()
        beside = [(self._in, "pull"), (self._in_urgent, "urgent")]
        if self.posting.post is not None:
            beside.append((self.posting.step, "attachments"))
        threads = [threading.Thread(target=self._loop, args=turn, name=turn[1]) for turn in beside]
        for one in threads:
            one.start()
        try:
            self._loop(self._out, "push")
        finally:
            self.stop()
            for one in threads:
                one.join()

    def _out(self) -> None:
        failures: list[Exception] = []
        # What was written before the start is said first, so that it is not sent once more.
        for step in (
            self.collect, self.push, self.tell, self.acknowledge, self._reconcile_once, self.remind,
            self.timers.look,
        ):  # fmt: skip
            try:
                step()
            except Exception as error:  # noqa: BLE001 - raised below, after the other steps' turn
                failures.append(error)
        if failures:
            raise failures[0]
        self._note_error("renewal", self.client.trouble)
        now = self.pace.clock()
        self.spool.prune(now - self.pace.keep)
        self.spool.prune_originals(now)
        self.spool.prune_files(now - self.pace.keep)
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
        self.pull(self._waits("pull"))
        self._wake.set()  # what came may let the platform say something

    def _in_urgent(self) -> None:
        """Hand over what is urgent while `_in` is still at what came before it, hundreds perhaps."""
        if not self._notes.works("pull"):  # that one finds out when the link is back
            self._stop.wait(self.pace.look.total_seconds())
            return
        try:
            self.pull(self._waits("urgent"), least=Urgency.URGENT)
        except LimitExceeded as full:  # the place is better given to one who waits for everything
            self._note_error("urgent", full)
            self._stop.wait(self.pace.longest_pause.total_seconds())
        self._wake.set()

    def _waits(self, what: str) -> timedelta:
        """Return how long to wait: a link that is new, or was lost, is not waited on to be found in order."""
        return self.pace.wait if self._notes.works(what) else timedelta(0)

    def _loop(self, turn: Callable[[], None], name: str) -> None:
        """Repeat *turn* until stopped; what fails is noted under *name*."""
        repeat(turn, self._stop, self.pace, lambda failure: self._note_error(name, failure))

    def _note(self, **facts: str) -> None:
        """Note facts in the spool."""
        self._follow(facts.get("checkpoint", ""))
        self._notes.note(**facts)

    def _follow(self, checkpoint: str) -> None:
        """Push everything again where a log answers that never did: see `Spool.push_all_again`."""
        if (log := checkpoint.partition("\n")[0]) and log not in self._logs:
            if self._logs:  # a restored bridge's new one, or one more bridge's: it does not say
                self.spool.push_all_again(self.pace.clock())
            self._logs.add(log)
            self.spool.note(checkpoint=checkpoint, logs=" ".join(sorted(self._logs)))


def stop_on_signals(runner: Runner) -> None:
    """Let SIGTERM and SIGINT stop *runner*; call it from the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        runner.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
