"""Roundup and django-helpdesk as processes of their own, and the people who work with them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.systems.between import Between, between
from tests.systems.installing import FOLDER, HERE, PYTHON, helpdesk_environment

#: The password of the tracker's people, who live for one test run.
PASSWORD = "of-the-tests-alone"

#: What a tracker's administrator adds to Roundup's classic template.
_TRACKER = f"""
from roundup.password import Password
for name in ("feedback", "reopened", "returned", "taken-back", "closed"):
    stat.create(name=name, order="9")
db.getclass("keyword").create(name="police")
for name, zone in (("exchange", "0"), ("zhang", "8")):
    user.create(username=name, password=Password("{PASSWORD}", config=db.config),
                address=name + "@localhost", roles="User", timezone=zone)
"""


class Failed(AssertionError):
    """A system answered somebody with the error *status*."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Person:
    """Somebody who works with a system at *port*, without anything of ours in between."""

    port: int
    headers: Mapping[str, str]

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        """Return what the system answers, and its headers."""
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            raw,
            {"Content-Type": "application/json", **self.headers, **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read()), dict(answer.headers.items())
        except urllib.error.HTTPError as refused:
            with refused:
                text = f"{method} {path}: {refused.read().decode()}"
                raise Failed(refused.code, text) from refused


class Zhang(Person):
    """Answers the hotline, in Roundup."""

    def opens(self, title: str, text: str) -> str:
        """Open an issue that is to cross; return its number."""
        data = {"title": title, "messages": self._note(text), "keyword": "police"}
        return str(self.ask("POST", "/rest/data/issue", data)[0]["data"]["id"])

    def _note(self, text: str) -> str:
        data = {"content": text, "author": "zhang", "date": "."}
        return str(self.ask("POST", "/rest/data/msg", data)[0]["data"]["id"])

    def works(self, issue: str, status: str, text: str) -> None:
        """Write something about an issue and set its status."""
        change = {"messages": f"+{self._note(text)}", "status": status}
        self.changes(issue, change)

    def changes(self, issue: str, change: Mapping[str, str]) -> None:
        """Change an issue as it is now; where the adapter was quicker, look again."""
        path = f"/rest/data/issue/{issue}"
        while True:
            _, headers = self.ask("GET", path)
            try:
                self.ask("PATCH", path, dict(change), {"If-Match": headers["ETag"]})
                return
            except Failed as failed:
                if failed.status != 412:
                    raise

    def sees(self, issue: str) -> dict[str, Any]:
        """Return an issue: its title, its status, how many notes it has and what the last one says."""
        path = f"/rest/data/issue/{issue}?@fields=title,status,messages&@verbose=2"
        found = self.ask("GET", path)[0]["data"]["attributes"]
        path = f"/rest/data/msg/{found['messages'][-1]['id']}?@fields=content&@verbose=3"
        last = self.ask("GET", path)[0]["data"]["attributes"]["content"]
        return {
            "title": found["title"],
            "status": found["status"]["name"],
            "notes": len(found["messages"]),
            "last": last,
        }

    def priority(self, issue: str) -> str:
        """Return an issue's priority."""
        path = f"/rest/data/issue/{issue}?@fields=priority&@verbose=2"
        return str(self.ask("GET", path)[0]["data"]["attributes"]["priority"]["name"])

    def notes(self) -> int:
        """Return how many notes there are, whatever they are about."""
        return int(self.ask("GET", "/rest/data/msg")[0]["data"]["@total_size"])

    def issues(self, title: str) -> list[str]:
        """Return the numbers of the issues of this title."""
        found, _ = self.ask("GET", "/rest/data/issue?@fields=title")
        return [one["id"] for one in found["data"]["collection"] if one["title"] == title]


class Wang(Person):
    """Works at the police desk, in django-helpdesk."""

    def opens(self, title: str, text: str) -> str:
        """Open a ticket; return its number."""
        data = {"queue": 1, "priority": 3, "title": title, "description": text}
        return str(self.ask("POST", "/api/tickets/", data)[0]["id"])

    def works(self, ticket: str, text: str, status: int | None = None) -> None:
        """
        Follow a ticket up, and set its status.

        While nobody answers its webhook, django-helpdesk shows its own user an error, and has kept it.
        """
        data: dict[str, Any] = {"ticket": ticket, "comment": text}
        try:
            self.ask("POST", "/api/followups/", data | ({"new_status": status} if status else {}))
        except Failed as failed:
            if failed.status != 500 or text != self.sees(ticket)["last"]:
                raise

    def sees(self, ticket: str) -> dict[str, Any]:
        """Return a ticket: its title, its status, how many follow-ups it has and what the last one says."""
        found, _ = self.ask("GET", f"/api/tickets/{ticket}/")
        notes = [one["comment"] for one in found["followup_set"]]
        return {
            "title": found["title"],
            "status": found["status"],
            "notes": len(notes),
            "last": notes[-1],
        }

    def tickets(self, title: str) -> list[str]:
        """Return the numbers of the tickets of this title."""
        found, _ = self.ask("GET", "/api/tickets/?page_size=1000")
        return [str(one["id"]) for one in found["results"] if one["title"] == title]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desks:
    """Both systems, the lines to them, and who works there."""

    roundup: Between
    helpdesk: Between
    zhang: Zhang
    wang: Wang
    #: The token by which the adapter works at the helpdesk.
    token: str


@contextmanager
def desks(folder: Path, bell: str) -> Iterator[Desks]:
    """Run both systems with empty databases in *folder*; the helpdesk rings at *bell*."""
    with between() as to_roundup, between() as to_helpdesk:
        tracker = _tracker(folder, to_roundup.port)
        (folder / "helpdesk").mkdir()
        shutil.copy(FOLDER / "helpdesk.sqlite3", folder / "helpdesk")
        environment = helpdesk_environment(folder / "helpdesk")
        with (
            _served(folder, {}, "roundup", str(tracker), "0") as roundup,
            _served(
                folder,
                environment | {"HELPDESK_FOLLOWUP_WEBHOOK_URLS": bell},
                "helpdesk",
                "0",
            ) as helpdesk,
        ):
            to_roundup.system, to_helpdesk.system = roundup, helpdesk
            basic = base64.b64encode(f"zhang:{PASSWORD}".encode()).decode()
            yield Desks(
                roundup=to_roundup,
                helpdesk=to_helpdesk,
                zhang=Zhang(
                    roundup,
                    {
                        "Authorization": f"Basic {basic}",
                        "X-Requested-With": "rest",
                        "Host": f"127.0.0.1:{to_roundup.port}",
                        "Origin": f"http://127.0.0.1:{to_roundup.port}",
                    },
                ),
                wang=Wang(
                    helpdesk, {"Authorization": f"Token {environment['HELPDESK_TOKEN_WANG']}"}
                ),
                token=environment["HELPDESK_TOKEN_EXCHANGE"],
            )


def _tracker(folder: Path, port: int) -> Path:
    """Make a tracker of Roundup's classic template."""
    home = folder / "tracker"
    settings = {
        "tracker_web": f"http://127.0.0.1:{port}/",
        "timezone": "8",
        "mail_domain": "localhost",
        "mail_host": "localhost",
        "mail_debug": str(folder / "mail"),
        "password_pbkdf2_default_rounds": "1000",
    }
    given = ",".join(f"{name}={value}" for name, value in settings.items())
    admin = [str(PYTHON.with_name("roundup-admin")), "-i", str(home)]
    subprocess.run([*admin, "install", "classic", "sqlite", given], check=True, capture_output=True)
    with (home / "initial_data.py").open("a", encoding="utf-8") as data:
        data.write(_TRACKER)
    subprocess.run([*admin, "initialise", PASSWORD], check=True, capture_output=True)
    return home


@contextmanager
def _served(folder: Path, environment: Mapping[str, str], *words: str) -> Iterator[int]:
    """Serve a system; its port."""
    with (folder / f"{words[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [str(PYTHON), str(HERE / "serving.py"), *words],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert "listens on" in first, (folder / f"{words[0]}.log").read_text()
            yield int(first.rpartition(":")[2])
        finally:
            process.kill()
