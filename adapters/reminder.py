"""
Reminding people of what has arrived (S2 requires sound and message, 声音、消息提醒).

The terminal's bell rings once for routine matters and more often for urgent ones; a command can be
named that shows a window, plays a sound or sends a message.  Neither is told personal data.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import TextIO

from exchange.acts import Urgency
from exchange.client import IncomingMessage
from exchange.text import Language, Text

_BELLS = {Urgency.ROUTINE: 1, Urgency.URGENT: 3, Urgency.IMMEDIATE: 6}

#: Seconds a reminding command may take; it must not hold up what arrives next.
_COMMAND_SECONDS = 5

_LINE = Text(
    en="{mark} {kind} from {author}, ticket {ticket}",
    zh="{mark} 收到“{kind}”，来自 {author}，单号 {ticket}",
)
_MARKS = {
    Urgency.ROUTINE: Text(en="[routine]", zh="【普通】"),
    Urgency.URGENT: Text(en="[URGENT]", zh="【紧急】"),
    Urgency.IMMEDIATE: Text(en="[IMMEDIATE]", zh="【特急】"),
}


class Reminder:
    """Rings and tells; *stream* None is silent, *command* empty starts nothing."""

    def __init__(
        self, stream: TextIO | None, *, command: Sequence[str] = (), language: Language = "zh"
    ) -> None:
        self._stream = stream
        self._command = tuple(command)
        self._language: Language = language

    def __call__(self, item: IncomingMessage) -> None:
        """
        Remind of *item*.

        The command finds ``EXCHANGE_KIND``, ``_URGENCY``, ``_TICKET``, ``_HANDOFF`` and ``_AUTHOR``
        in its environment.  Raises `OSError` or `subprocess.SubprocessError` where it fails.
        """
        message = item.message
        if self._stream is not None:
            line = _LINE.say(self._language).format(
                mark=_MARKS[message.urgency].say(self._language),
                kind=message.kind.text.say(self._language),
                author=message.author,
                ticket=message.ticket_id,
            )
            self._stream.write("\a" * _BELLS[message.urgency] + line + "\n")
            self._stream.flush()
        if self._command:
            facts = {
                "EXCHANGE_KIND": message.kind.value,
                "EXCHANGE_URGENCY": message.urgency.name.lower(),
                "EXCHANGE_TICKET": message.ticket_id,
                "EXCHANGE_HANDOFF": message.handoff_id,
                "EXCHANGE_AUTHOR": message.author,
            }
            subprocess.run(
                self._command, env=os.environ | facts, timeout=_COMMAND_SECONDS, check=True
            )
