"""
The bridge's metrics, for Prometheus: what it did, and how it stands, under `exchange status`'s names.

Served at ``/metrics`` of the address in the setting ``metrics``; there is none unless one is given.
Whoever can connect there can read them, so an address of another machine's reach is refused unless
``metrics_reach = "network"`` says so.  They hold codes and counts, nothing personal; the labels are
organisations of the register (at most `MOST_LABELLED`), kinds, codes, methods and statuses.

Counted as it happens, once a call or a drain:

=====================================  ===================  ===========================================
name                                   labels               meaning
=====================================  ===================  ===========================================
exchange_messages_total                kind, outcome        messages and acknowledgements, what became
exchange_refusals_total                code                 refusals that the bridge signed
exchange_drains_total                  outcome              transactions: committed, failed
exchange_drain_messages                                     messages of a drain (histogram)
exchange_drain_seconds                                      from taken to durable (histogram)
exchange_calls_total                   method, status       calls answered
exchange_call_seconds                  method               a pull's waiting included (histogram); the
                                                            exemplars of slow ones name the trace
exchange_queued_messages                                    not yet in a drain
exchange_waiting_pulls                                      pulls that wait for something to come
exchange_leases                                             lanes handed out, not yet acknowledged
exchange_calls_cut_total               rule                 calls cut while they were answered
exchange_trust_generation                                   counts up with every change of trust
exchange_trust_refused                                      1 while the files of trust are wrong
exchange_crl_ends_timestamp_seconds    network              when a newer list of revoked is due
process_*                                                   CPU, memory, files of the serving process
exchange_keeper_process_*                                   likewise of the process that writes
=====================================  ===================  ===========================================

Read from the database when asked for, at most once in `FRESH` seconds:

=====================================  ===================  ===========================================
exchange_waiting                       organisation         deliveries not acknowledged (mailbox depth)
exchange_waiting_urgent                organisation         those of them that are urgent
exchange_waiting_oldest_seconds        organisation         age of the first in line
exchange_waiting_urgent_oldest_seconds organisation         age of the first urgent one
exchange_unacknowledged_oldest_seconds                      age of the oldest message nobody acknowledged
exchange_stopped_lanes                 organisation         lanes that stand still
exchange_overdue                       organisation         deadlines that it owes and that have passed
exchange_due_soon                      organisation         likewise, whose time to remind has come
exchange_lag_seconds                   organisation         from accepted to written, median of the newest
exchange_contact_timestamp_seconds     organisation,        when it last called: push, pull, acknowledge
                                       method
exchange_space_free_bytes                                   free where the database lives, if seen
exchange_certificate_days              certificate          days left
exchange_log_size                                           entries
exchange_log_checkpoint_timestamp_     (seconds)            when the newest was signed
exchange_figures_readable                                   0 while the database cannot be read
=====================================  ===================  ===========================================
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from wsgiref.simple_server import WSGIServer

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exchange.acts import Kind
from exchange.errors import ExchangeError
from exchange.identity import METHODS
from exchange.query.figures import Figures, FiguresRoom
from exchange.server.address import cannot_listen
from exchange.server.contacts import CALLS
from exchange.server.spans import Spans
from exchange.submission import Outcome, Pushed, Recorded, Refused, Stored, Work

#: Seconds for which figures read once are given again.
FRESH = 10
#: Seconds from which on a call is worth an exemplar.
SLOW = 0.02
#: Organisations that have labels of their own; a province has some hundred.
MOST_LABELLED = 1000

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_OUTCOMES = {Stored: "stored", Recorded: "recorded", Refused: "refused"}
_METHODS = {path: path.rpartition("/")[2] for path in METHODS}


class Measures:
    """What this process counts; one registry of its own, so that several may live side by side."""

    def __init__(self, spans: Spans | None = None) -> None:
        self.spans = spans
        self.registry = registry = CollectorRegistry()
        self._messages = prometheus_client.Counter(
            "exchange_messages", "Messages by what became of them.", ["kind", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._refusals = prometheus_client.Counter(
            "exchange_refusals", "Refusals signed by the bridge.", ["code"], registry=registry
        )
        drains = prometheus_client.Counter(
            "exchange_drains", "Transactions.", ["outcome"], registry=registry
        )
        self._committed, self._failed = drains.labels("committed"), drains.labels("failed")
        self._size = Histogram(
            "exchange_drain_messages", "Messages of a drain.", buckets=_SIZES, registry=registry
        )
        self._duration = Histogram(
            "exchange_drain_seconds", "From taken to durable.", buckets=_SECONDS, registry=registry
        )
        calls = prometheus_client.Counter(
            "exchange_calls", "Calls answered.", ["method", "status"], registry=registry
        )
        times = Histogram(
            "exchange_call_seconds", "Calls, a pull's waiting included.", ["method"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._calls, self._times = calls, times
        #: The labelled counters by path and status: finding them costs more than counting.
        self._by_call: dict[tuple[str, str], tuple[prometheus_client.Counter, Histogram]] = {}
        self._queued = Gauge("exchange_queued_messages", "Not yet in a drain.", registry=registry)
        self._pulls = Gauge("exchange_waiting_pulls", "Pulls that wait.", registry=registry)
        self._leases = Gauge("exchange_leases", "Lanes handed out.", registry=registry)
        self._acts = Gauge(
            "exchange_acts",
            "Acts of a network's authority in the log.",
            ["network"],
            registry=registry,
        )
        self._refused_acts = Gauge(
            "exchange_acts_refused", "Whether a network's journal is refused.", ["network"],
            registry=registry,
        )  # fmt: skip
        self._generation = Gauge(
            "exchange_trust_generation", "Counts up with every change of trust.", registry=registry
        )
        self._refused_trust = Gauge(
            "exchange_trust_refused", "1 while the files of trust are wrong.", registry=registry
        )
        self._lists = Gauge(
            "exchange_crl_ends_timestamp_seconds", "When a newer list is due.", ["network"],
            registry=registry,
        )  # fmt: skip
        self._cut = prometheus_client.Counter(
            "exchange_calls_cut", "Calls cut while they were answered.", ["rule"], registry=registry
        )
        ProcessCollector(registry=registry)

    def trusted(self, generation: int, lists: Mapping[str, datetime], *, refused: bool) -> None:
        """Say which generation of trust is in force, and when each network's list ends."""
        self._generation.set(generation)
        self._refused_trust.set(refused)
        self._lists.clear()
        for network, ends in lists.items():
            self._lists.labels(network).set(ends.timestamp())

    def announced(self, network: str, number: int, *, refused: bool) -> None:
        """Say how far an authority's journal stands in the log, and whether its file is refused."""
        self._acts.labels(network).set(number)
        self._refused_acts.labels(network).set(refused)

    def cut(self, rule: str) -> None:
        """Count one call that was cut."""
        self._cut.labels(rule).inc()

    def watch(
        self,
        *,
        queued: Callable[[], int],
        pulls: Callable[[], int],
        leases: Callable[[], int],
        keeper: Callable[[], int | None],
    ) -> None:
        """Ask these whenever the metrics are read, on another thread."""
        self._queued.set_function(queued)
        self._pulls.set_function(pulls)
        self._leases.set_function(leases)
        if keeper() is not None:
            # It may be started anew, and so be another process; there is none with the number 0.
            ProcessCollector("exchange_keeper", pid=lambda: keeper() or 0, registry=self.registry)

    def called(
        self,
        path: str,
        status: str,
        seconds: float,
        trace: str = "",
        messages: Sequence[str] = (),
    ) -> None:
        """Count one call and its *messages*; *trace* is what its exemplar names if it was slow."""
        if self.spans is not None and messages:
            self.spans.add(CALLS.get(path, path), messages, seconds, status=status)
        counted = self._by_call.get((path, status))
        if counted is None:
            method = _METHODS.get(path, "other")
            counted = self._calls.labels(method, status), self._times.labels(method)
            if method != "other":  # what strangers call is not remembered
                self._by_call[path, status] = counted
        calls, times = counted
        calls.inc()
        times.observe(seconds, {"trace_id": trace} if trace and seconds >= SLOW else None)

    def drained(self, work: Sequence[Work], outcomes: Sequence[Outcome], seconds: float) -> None:
        """Count one transaction and what became of its messages."""
        if self.spans is not None:
            self.spans.add("drain", _ids(work), seconds, messages=len(work))
        self._committed.inc()
        self._size.observe(len(work))
        self._duration.observe(seconds)
        counts = Counter(map(_key, work, outcomes))
        for (kind, outcome), count in counts.items():
            name = _KINDS.get(kind) or str(kind)
            self._messages.labels(name, _OUTCOMES.get(outcome, "retry")).inc(count)
        if any(outcome is Refused for _, outcome in counts):
            self._refused(outcomes)

    def drain_failed(self) -> None:
        """Count one transaction of which nothing was written."""
        self._failed.inc()

    def _refused(self, outcomes: Sequence[Outcome]) -> None:
        codes = Counter(one.refusal.code.name for one in outcomes if isinstance(one, Refused))
        for code, count in codes.items():
            self._refusals.labels(code).inc(count)


def _ids(work: Sequence[Work]) -> Iterator[str]:
    for piece in work:
        if isinstance(piece, Pushed):
            if piece.received.message is not None:
                yield piece.received.message.id
        elif piece.statement is not None:
            yield piece.statement.message_id


#: An enum's own hash and value are Python code, asked of every message; its identity is not.
_KINDS: dict[object, str] = {id(kind): kind.value for kind in Kind}


def _key(piece: Work, outcome: Outcome) -> tuple[object, type[Outcome]]:
    if isinstance(piece, Pushed):
        message = piece.received.message
        return "unread" if message is None else id(message.kind), type(outcome)
    if piece.statement is None:
        return "noted" if piece.refusal is None else "unread", type(outcome)
    return "written" if piece.statement.code is None else "refused", type(outcome)


class Standing(Collector):
    """Reads how the database stands, on the thread that serves the metrics."""

    def __init__(
        self,
        database: str,
        certificates: Callable[[], Mapping[str, datetime]],
        clock: Callable[[], datetime],
        *,
        origin: str = "",
    ) -> None:
        self._room = FiguresRoom.open(database)
        #: The log whose head is told, where the database has several.
        self._origin = origin
        self._certificates = certificates
        self._clock = clock
        self._reading = threading.Lock()
        self._read: tuple[datetime, list[Metric]] | None = None

    def close(self) -> None:
        """Close the connections."""
        with self._reading:
            self._room.close()

    def describe(self) -> list[Metric]:
        """Say nothing beforehand: nothing is read when this is registered."""
        return []

    def collect(self) -> list[Metric]:
        """Return the figures, as fresh as `FRESH` says."""
        with self._reading:
            now = self._clock()
            if self._read is None or not timedelta() <= now - self._read[0] < timedelta(
                seconds=FRESH
            ):
                self._read = now, list(self._families(now))
            return self._read[1]

    def _families(self, now: datetime) -> Iterator[Metric]:
        days = _family("certificate_days", "Days left of a certificate.", "certificate")
        for name, end in self._certificates().items():
            days.add_metric([name], (end - now) / timedelta(days=1))
        yield days
        try:
            figures, folder = self._room.figures(self._origin), self._room.folder()
            owing = self._room.owing(now)
        except ExchangeError:
            yield _alone("figures_readable", "Whether the database can be read.", 0)
            return
        yield _alone("figures_readable", "Whether the database can be read.", 1)
        if folder is not None:
            free = shutil.disk_usage(folder).free
            yield _alone("space_free_bytes", "Free where the database lives.", free)
        yield _alone("log_size", "Entries of the log.", figures.log.size)
        if figures.log.checkpoint is not None:
            signed = figures.log.checkpoint.timestamp()
            yield _alone(
                "log_checkpoint_timestamp_seconds", "When the newest checkpoint was signed.", signed
            )
        if figures.unacknowledged is not None:
            age = (now - figures.unacknowledged.accepted).total_seconds()
            yield _alone("unacknowledged_oldest_seconds", "The oldest unacknowledged.", age)
        yield from _by_organisation(figures, now)
        overdue = _family("overdue", "Deadlines it owes that have passed.", "organisation")
        soon = _family("due_soon", "Deadlines it owes that are to be reminded of.", "organisation")
        for one in owing[:MOST_LABELLED]:
            overdue.add_metric([one.organisation], one.overdue)
            soon.add_metric([one.organisation], one.soon)
        yield from (overdue, soon)


def _by_organisation(figures: Figures, now: datetime) -> Iterator[Metric]:
    waiting = _family("waiting", "Deliveries not acknowledged.", "organisation")
    urgent = _family("waiting_urgent", "Urgent deliveries not acknowledged.", "organisation")
    oldest = _family("waiting_oldest_seconds", "Age of the first in line.", "organisation")
    oldest_urgent = _family(
        "waiting_urgent_oldest_seconds", "Age of the first urgent in line.", "organisation"
    )
    stopped = _family("stopped_lanes", "Lanes that stand still.", "organisation")
    for one in figures.mailboxes[:MOST_LABELLED]:
        who = [one.organisation]
        waiting.add_metric(who, one.waiting)
        urgent.add_metric(who, one.urgent)
        stopped.add_metric(who, one.stopped)
        for family, since in ((oldest, one.oldest), (oldest_urgent, one.oldest_urgent)):
            family.add_metric(who, 0.0 if since is None else (now - since).total_seconds())
    lags = _family("lag_seconds", "From accepted to written, median.", "organisation")
    for lag in figures.lags[:MOST_LABELLED]:
        lags.add_metric([lag.organisation], lag.median)
    contact = _family("contact_timestamp_seconds", "When it last called.", "organisation", "method")
    for organisation in list(figures.contacts)[:MOST_LABELLED]:
        for method, time in figures.contacts[organisation].items():
            contact.add_metric([organisation, method], time.timestamp())
    yield from (waiting, urgent, oldest, oldest_urgent, stopped, lags, contact)


def _family(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"exchange_{name}", meaning, labels=labels)


def _alone(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"exchange_{name}", meaning, value=value)


class MetricsServer:
    """Serves a registry at ``/metrics``, on a thread of its own."""

    def __init__(self, measures: Measures, standing: Standing, place: tuple[str, int]) -> None:
        """Listen at *place*; raises `ConfigurationError` where that cannot be."""
        host, port = place
        measures.registry.register(standing)
        self._standing = standing
        try:
            self._server: WSGIServer
            self._server, self._thread = prometheus_client.start_http_server(
                port, host, measures.registry
            )
        except OSError as error:
            raise cannot_listen(f"{host}:{port}", error, "metrics") from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop serving, and close the connections."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._standing.close()
