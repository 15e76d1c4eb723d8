"""A police desk with a JSON interface of its own, that can also lie, dawdle, and break off."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standardwebhooks import Webhook

TOKEN, SECRET = "desk-token", "whsec_ZGVzay1zZWNyZXQtb2YtdGhlLXRlc3Rz"
OUR_TOKEN, OUR_SECRET = "our-token", "whsec_b3VyLXNlY3JldC1vZi10aGUtdGVzdHM="

#: What is done instead of answering well; returns whether the request was dealt with.
Mischief = Callable[["Handler"], bool]


class Desk(ThreadingHTTPServer):
    """The platform: its tickets by number, its actions in order, every request that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tickets: dict[str, dict[str, Any]] = {}
        self.by_request: dict[str, str] = {}
        self.actions: list[dict[str, Any]] = []
        #: What stands at addresses of its own, beside the interface.
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        #: Done to the next requests, one each: before the record is kept, and after it.
        self.before: list[Mischief] = []
        self.after: list[Mischief] = []
        self.lock = threading.Lock()

    @property
    def base(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/api"

    def act(self, ticket: str, what: str, words: str = "") -> dict[str, Any]:
        """Do what a policeman does."""
        seq = len(self.actions) + 1
        action = {
            "seq": seq, "ticket": ticket, "what": what, "words": words,
            "at": f"202611221{seq % 10}0000", "handler": {"name": "王警官"},
        }  # fmt: skip
        self.actions.append(action)
        return action

    def put_back(self, tickets: int) -> None:
        """Lose all but the first *tickets*, as last night's backup does; numbers are given anew."""
        with self.lock:
            kept = [*self.tickets][:tickets]
            self.tickets = {number: self.tickets[number] for number in kept}
            self.by_request = {r: n for r, n in self.by_request.items() if n in kept}

    def asked(self, method: str, path: str) -> list[Any]:
        """Return the bodies of the requests to *path*."""
        return [
            body for m, p, _, body in self.requests if m == method and p.partition("?")[0] == path
        ]


class Handler(BaseHTTPRequestHandler):
    """Answers as the platform's vendor wrote it in 2016: HTTP 200 and a ResultCode."""

    server: Desk
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self._serve()

    def do_POST(self) -> None:
        """Answer."""
        self._serve()

    def do_PUT(self) -> None:
        """Answer."""
        self._serve()

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        desk = self.server
        with desk.lock:
            desk.requests.append((self.command, self.path, headers, body))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer({"error": "who are you?"}, 401)
                return
            if raw:
                Webhook(SECRET).verify(raw, dict(self.headers))
            mine = self.path.startswith("/api/tickets")
            if mine and desk.before and desk.before.pop(0)(self):
                return
            if (content := desk.files.get(self.path)) is not None:
                self.answer(content)
                return
            if self.path.startswith("/media/"):
                self.answer({}, 404)
                return
            try:
                answer = self._do(body)
            except LookupError:
                self.answer({"ResultCode": 4}, 404)
                return
            if mine and desk.after and desk.after.pop(0)(self):
                return
        self.answer(answer)

    def _do(self, body: Any) -> dict[str, Any]:
        desk = self.server
        place = urlsplit(self.path)
        query = parse_qs(place.query)
        if place.path == "/api/actions":
            after = int(query["after"][0])
            found = [one for one in desk.actions if one["seq"] > after][:2]
            following = found[-1]["seq"] if found else after
            return {"ResultCode": 1, "Data": {"List": found, "Next": following}}
        ticket = place.path.removeprefix("/api/tickets/")
        if self.command == "GET" and ticket in desk.tickets:
            return {"ResultCode": 1, "Data": {"BillNo": ticket, **desk.tickets[ticket]}}
        if place.path == "/api/all":
            found = [{"BillNo": number, **desk.tickets[number]} for number in desk.tickets]
            start = int(query.get("from", ["0"])[0])
            more = {"Next": f"/api/all?from={start + 2}"} if start + 2 < len(found) else {}
            return {"ResultCode": 1, "Data": {"List": found[start : start + 2], **more}}
        if self.command in ("GET", "PUT") and "request" not in query and ticket not in desk.tickets:
            raise LookupError(ticket)
        if self.command == "GET":
            number = desk.by_request.get(query["request"][0])
            return {"ResultCode": 1, "Data": {"Found": number is not None, "BillNo": number}}
        if self.command == "PUT":
            desk.tickets[place.path.rpartition("/")[2]].update(body)
            return {"ResultCode": 1}
        request = body["request"]["id"]
        if request not in desk.by_request:
            number = f"J{len(desk.tickets) + 1:04}"
            desk.by_request[request] = number
            desk.tickets[number] = dict(body)
        return {"ResultCode": 1, "Data": {"BillNo": desk.by_request[request]}}

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer with *body*."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def hang_up(self) -> None:
        """Break the connection off, hard."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        self.wfile = open("/dev/null", "wb")  # noqa: PTH123, SIM115 - nothing more is written


@contextmanager
def desk() -> Iterator[Desk]:
    """Run a desk."""
    server = Desk()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
