"""What looks at a serving bridge: its counters, the last contacts, and where Prometheus reads them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from functools import partial

from exchange.certificates import RuleBroken, ends
from exchange.config import Settings
from exchange.envelope import read_file
from exchange.errors import ConfigurationError
from exchange.server.address import metrics_place
from exchange.server.contacts import ContactKeeper
from exchange.server.journal import Journal
from exchange.server.metrics import Measures, MetricsServer, Standing
from exchange.server.spans import Spans, open_spans
from exchange.store.contacts import ContactBook


class Observing:
    """The counters, which are always there; contacts and the metrics' address where they are given."""

    def __init__(
        self,
        *,
        contacts: ContactKeeper | None = None,
        serve: Callable[[Measures], MetricsServer] | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.measures = Measures(spans)
        self.contacts = contacts
        self._serve = serve
        self._served: MetricsServer | None = None

    @classmethod
    def open(cls, settings: Settings, journal: Journal, clock: Callable[[], datetime]) -> Observing:
        """Return what *settings* ask for; raises `ConfigurationError` for a wrong address."""
        book = ContactBook(settings.database)
        contacts = ContactKeeper(book.write, journal=journal)
        spans = open_spans(os.environ)
        if not settings.metrics:
            return cls(contacts=contacts, spans=spans)
        place = metrics_place(settings.metrics, settings.metrics_reach)

        def serve(measures: Measures) -> MetricsServer:
            standing = Standing(
                settings.database, partial(_certificates, settings), clock, origin=settings.origin
            )
            try:
                served = MetricsServer(measures, standing, place)
            except BaseException:
                standing.close()
                raise
            journal.info("metrics", port=served.port)
            return served

        return cls(contacts=contacts, serve=serve, spans=spans)

    def start(self) -> None:
        """Begin, on the running event loop; raises `ConfigurationError` for a taken address."""
        if self._serve is not None:
            self._served = self._serve(self.measures)
        if self.contacts is not None:
            self.contacts.start()

    async def close(self) -> None:
        """Keep what was heard, and end."""
        if self.contacts is not None:
            await self.contacts.close()
        loop = asyncio.get_running_loop()
        if self._served is not None:
            await loop.run_in_executor(None, self._served.close)
        if self.measures.spans is not None:
            await loop.run_in_executor(None, self.measures.spans.close)


def _certificates(settings: Settings) -> dict[str, datetime]:
    """Return when the configured certificates end; those that nobody can read are the doctor's."""
    roots = {f"root of {network}": path for network, path in settings.networks.items()}
    found: dict[str, datetime] = {}
    for name, path in {"bridge": settings.tls.certificate, **roots}.items():
        try:
            found[name] = ends(read_file(path))
        except (RuleBroken, ConfigurationError):
            continue
    return found
