"""A line to a system on which, at a chosen call, something happens: an edit by somebody else, a cut."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Mischief:
    """Done once to the next call that is *call* (``POST /api/tickets/``): before or after it is heard."""

    call: str
    does: Callable[[], None]
    after: bool = False
    #: Whether the line is cut then: nothing is answered.
    cuts: bool = False


class Between(ThreadingHTTPServer):
    """Passes every call on to the system at *port*."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.system = 0
        self.calls: list[str] = []
        self.planned: list[Mischief] = []
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it is."""
        return int(self.server_address[1])

    def planned_for(self, call: str, *, after: bool) -> Mischief | None:
        """Take what is planned for *call*, None where nothing is."""
        with self._lock:
            for one in self.planned:
                if one.after is after and re.match(one.call, call):
                    self.planned.remove(one)
                    return one
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Between

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        """Pass it on."""
        self._pass()

    def do_POST(self) -> None:
        """Pass it on."""
        self._pass()

    def do_PATCH(self) -> None:
        """Pass it on."""
        self._pass()

    def _pass(self) -> None:
        call = f"{self.command} {self.path}"
        self.server.calls.append(call)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._cut(call, after=False):
            return
        line = http.client.HTTPConnection("127.0.0.1", self.server.system, timeout=60)
        line.request(self.command, self.path, body or None, dict(self.headers))
        answer = line.getresponse()
        raw = answer.read()
        line.close()
        if self._cut(call, after=True):
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _cut(self, call: str, *, after: bool) -> bool:
        planned = self.server.planned_for(call, after=after)
        if planned is None:
            return False
        planned.does()
        if planned.cuts:
            self.close_connection = True
        return planned.cuts


@contextmanager
def between() -> Iterator[Between]:
    """Hold a line; the system at its end is named later."""
    server = Between()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
