"""
Reminding people of what has arrived (S2 requires sound and message, 声音、消息提醒), and of what is due.

The terminal's bell rings once for routine matters and more often for urgent ones; a command can be
named that shows a window, plays a sound or sends a message, and a webhook that rings elsewhere.  None
of them is told personal data.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TextIO
from urllib.parse import urlsplit

from exchange.acts import Urgency
from exchange.client import IncomingMessage, Owed
from exchange.errors import ConfigurationError
from exchange.text import Language, Text

_BELLS = {Urgency.ROUTINE: 1, Urgency.URGENT: 3, Urgency.IMMEDIATE: 6}

#: Seconds a reminding command may take; it must not hold up what arrives next.
_COMMAND_SECONDS = 5

#: Where the secret of the webhook stands, if its calls are to be signed.
RING_SECRET = "EXCHANGE_RING_SECRET"  # noqa: S105 - the variable's name

_LINE = Text(
    en="{mark} {kind} from {author}, ticket {ticket}",
    zh="{mark} 收到“{kind}”，来自 {author}，单号 {ticket}",
)
_DUE = Text(
    en="{mark} due {due}: {what}, ticket {ticket}", zh="{mark} 应于 {due} 前{what}，单号 {ticket}"
)
_MARKS = {
    Urgency.ROUTINE: Text(en="[routine]", zh="【普通】"),
    Urgency.URGENT: Text(en="[URGENT]", zh="【紧急】"),
    Urgency.IMMEDIATE: Text(en="[IMMEDIATE]", zh="【特急】"),
}


class Reminder:
    """
    Rings and tells; *stream* None is silent, *command* empty starts nothing, *webhook* empty calls nobody.

    *secret* signs the webhook's calls as Standard Webhooks do; it needs the extra ``http``.
    """

    def __init__(
        self,
        stream: TextIO | None,
        *,
        command: Sequence[str] = (),
        language: Language = "zh",
        webhook: str = "",
        secret: str = "",
    ) -> None:
        if webhook and (urlsplit(webhook).scheme not in _SCHEMES or not urlsplit(webhook).hostname):
            raise ConfigurationError(_NO_URL)
        if webhook and secret and find_spec("standardwebhooks") is None:
            raise ConfigurationError(_NO_SIGNING)
        self._webhook = webhook
        self._secret = secret
        self._stream = stream
        self._command = tuple(command)
        self._language: Language = language

    def __call__(self, item: IncomingMessage) -> None:
        """
        Remind of *item*.

        The command finds ``EXCHANGE_KIND``, ``_URGENCY``, ``_TICKET``, ``_HANDOFF`` and ``_AUTHOR``
        in its environment, the webhook the same as JSON and ``rings``, how loud it is (1, 3, 6).  Both
        are tried; raises `OSError`, `http.client.HTTPException` or `subprocess.SubprocessError` where
        one of them fails.
        """
        message = item.message
        line = _LINE.say(self._language).format(
            mark=_MARKS[message.urgency].say(self._language),
            kind=message.kind.text.say(self._language),
            author=message.author,
            ticket=message.ticket_id,
        )
        facts = {
            "kind": message.kind.value,
            "urgency": message.urgency.name.lower(),
            "ticket": message.ticket_id,
            "handoff": message.handoff_id,
            "author": message.author,
        }
        self._ring(line, facts, message.urgency, message.id, "message.arrived")

    def due(self, owed: Owed) -> None:
        """
        Remind of what this organisation owes by a deadline that comes or has passed.

        As for what arrives, but ``_KIND`` is the deadline's, ``_DUE`` its time (RFC 3339, UTC) stands
        for the author, and the webhook's ``type`` is ``deadline.due``.
        """
        line = _DUE.say(self._language).format(
            mark=_MARKS[owed.urgency].say(self._language),
            what=owed.what.say(self._language),
            due=owed.due.astimezone().strftime("%Y-%m-%d %H:%M"),
            ticket=owed.ticket_id,
        )
        due = owed.due.isoformat().replace("+00:00", "Z")
        facts = {
            "kind": owed.kind,
            "urgency": owed.urgency.name.lower(),
            "ticket": owed.ticket_id,
            "handoff": owed.handoff_id,
            "due": due,
        }
        self._ring(
            line, facts, owed.urgency, f"{owed.handoff_id}.{owed.kind}.{due}", "deadline.due"
        )

    def _ring(
        self, line: str, facts: dict[str, str], urgency: Urgency, key: str, what: str
    ) -> None:
        rings = _BELLS[urgency]
        if self._stream is not None:
            self._stream.write("\a" * rings + line + "\n")
            self._stream.flush()
        try:
            if self._command:
                named = {f"EXCHANGE_{name.upper()}": fact for name, fact in facts.items()}
                subprocess.run(
                    self._command, env=os.environ | named, timeout=_COMMAND_SECONDS, check=True
                )
        finally:
            if self._webhook:
                self._call(key, {"type": what, **facts, "rings": rings})

    def _call(self, message_id: str, facts: Mapping[str, object]) -> None:
        """Call the webhook once; it is not followed elsewhere, and its answer's body is not read."""
        raw = json.dumps(facts)
        headers = {"Content-Type": "application/json"}
        if self._secret:
            from standardwebhooks import Webhook  # noqa: PLC0415 - an extra, for who signs

            now = datetime.now(UTC)
            headers |= {
                "webhook-id": message_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": Webhook(self._secret).sign(message_id, now, raw),
            }
        place = urlsplit(self._webhook)
        made = _SCHEMES[place.scheme](str(place.hostname), place.port, timeout=_COMMAND_SECONDS)
        try:
            target = (place.path or "/") + (f"?{place.query}" if place.query else "")
            made.request("POST", target, raw, headers)
            status = made.getresponse().status
        finally:
            made.close()
        if not 200 <= status < 300:
            raise OSError(_UNHEARD.fill(status=status).en)


def add_reminding(parser: argparse.ArgumentParser) -> None:
    """Declare how an adapter rings for what came, beside the bell: by a command, by a webhook."""
    parser.add_argument(
        "--remind",
        type=shlex.split,
        default=[],
        metavar="'COMMAND ARGUMENTS'",
        help="one string: a command run for each message that came 收到消息时执行的命令（一个字符串）",
    )
    parser.add_argument(
        "--ring",
        default="",
        metavar="URL",
        help=f"a webhook called for each message that came, signed with {RING_SECRET} 收到消息时调用的 webhook",
    )


def reminding(given: argparse.Namespace, stream: TextIO | None, language: Language) -> Reminder:
    """Return the reminder that `add_reminding` was told of; raises `ConfigurationError`."""
    return Reminder(
        stream,
        command=given.remind,
        language=language,
        webhook=given.ring,
        secret=os.environ.get(RING_SECRET, ""),
    )


_SCHEMES = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}

_NO_URL = Text(
    en="The reminding webhook must be a URL such as https://desk.example/bell.",
    zh="提醒 webhook 须为 URL，例如 https://desk.example/bell。",
)
_NO_SIGNING = Text(
    en=f"To sign the webhook with {RING_SECRET}, install: pip install 'hotline-exchange[http]'.",
    zh=f"以 {RING_SECRET} 签署 webhook 需先安装：pip install 'hotline-exchange[http]'。",
)
_UNHEARD = Text(
    en="the reminding webhook answers HTTP {status}", zh="提醒 webhook 应答 HTTP {status}"
)
