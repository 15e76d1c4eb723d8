"""A tracker in the manner of many: items whose words stand in notes, ETags, lists of two a page."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 2


class Tracker(ThreadingHTTPServer):
    """Its items, notes and log by number, and every request that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        #: Done before each change of an item is looked at, until it is None.
        self.meddling: Callable[[], None] | None = None
        #: Left out of answers where it is false; and where another page is said to be.
        self.tags = True
        self.elsewhere = ""

    @property
    def base(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/api"

    def asked(self, method: str) -> list[str]:
        """Return the paths that were asked with *method*, without the base."""
        calls = [call.split(" ") for call, _ in self.requests]
        return [path.removeprefix("/api") for made, path in calls if made == method]

    def happens(self, kind: str = "seen", item: int = 0) -> None:
        """Something happens: a line in the log, about an item or, with 0, about none."""
        self.log.append(
            {
                "id": len(self.log) + 1,
                "kind": kind,
                "at": "2026-11-22T10:00:00+08:00",
                "items": [item] * bool(item),
            }
        )


class _Handler(BaseHTTPRequestHandler):
    server: Tracker
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._note()
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        name, _, number = place.path.removeprefix("/api/").partition("/")
        found: list[dict[str, Any]] = getattr(self.server, name)
        if number:
            if int(number) > len(found):
                self._answer({"error": "none"}, 404)
            else:
                self._answer(found[int(number) - 1])
        elif "mark" in query:
            self._answer({"results": [one for one in found if one.get("mark") == query["mark"]]})
        else:
            self._page(name, found, query)

    def _page(self, name: str, found: list[dict[str, Any]], query: dict[str, str]) -> None:
        found = [one for one in found if one["id"] > int(query.get("after") or 0)]
        pages = max(1, -(-len(found) // PAGE))
        page = pages if query["page"] == "last" else int(query["page"])
        at = self.server.elsewhere or f"/api/{name}"
        more = f"&after={query['after']}" if "after" in query else ""
        self._answer(
            {
                "results": found[(page - 1) * PAGE : page * PAGE],
                "next": f"{at}?page={page + 1}{more}" if page < pages else None,
                "previous": f"{at}?page={page - 1}{more}" if page > 1 else None,
            }
        )

    def do_POST(self) -> None:
        self._note()
        name = urlsplit(self.path).path.removeprefix("/api/")
        found: list[dict[str, Any]] = getattr(self.server, name)
        found.append({**self._body(), "id": len(found) + 1, "version": 1})
        self._answer(found[-1], 201)

    def do_PATCH(self) -> None:
        self._note()
        body = self._body()
        item = self.server.items[int(self.path.rpartition("/")[2]) - 1]
        if self.server.meddling is not None:
            self.server.meddling()
        given = self.headers.get("If-Match")
        if given is None or given != _tag(item):
            self._answer({"error": "look again"}, 428 if given is None else 412)
            return
        notes = f"{item['notes']}{body.pop('notes')}" if "notes" in body else item["notes"]
        item.update(body, notes=notes, version=item["version"] + 1)
        self._answer(item)

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((f"{self.command} {self.path}", headers))

    def _body(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        raw = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        if self.server.tags and "version" in body:
            self.send_header("ETag", _tag(body))
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _tag(item: dict[str, Any]) -> str:
    return f'"{item["version"]}"'


@contextmanager
def tracker() -> Iterator[Tracker]:
    """Run a tracker."""
    server = Tracker()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
