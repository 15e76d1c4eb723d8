"""A platform that answers what it was handed at once, before the spool has noted that it came."""

from __future__ import annotations

import io
from pathlib import Path

from adapters.jsonl import JsonLines
from adapters.runner import Runner
from adapters.telling import Voice
from exchange.acts import Kind
from exchange.client import IncomingMessage
from exchange.server.serving import utc_now
from exchange.text import Text
from tests.adapters.linked import Link, exchange_once
from tests.adapters.test_jsonl import drop, line_of, offer, opening, receipts
from tests.pki import CITY_110, CITY_12345


class Quick(JsonLines):
    """Files that close a hand-off while the message with its result is still being handed over."""

    runner: Runner | None = None

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, answer it, and have the answer kept."""
        number = super().deliver(item)
        if item.message.kind is Kind.RESULT:
            assert self.runner is not None
            reply = {"reply": {"text": "满意。"}}
            drop(self.outbox.parent, "close.jsonl", line_of("close", "W-1", groups=reply))
            self.runner.collect()
        return number


def test_an_answer_that_is_quicker_than_the_spool_names_what_it_answers(link: Link) -> None:
    """Whoever is killed, or out of disk, between the two has the same before it."""
    hotline, police = link.folder / "hotline", link.folder / "police"
    quick = Quick(hotline)
    quick.runner = link.runner(CITY_12345, quick)
    other = link.runner(CITY_110, JsonLines(police))
    drop(hotline, "offer.jsonl", opening(), offer())
    exchange_once(quick.runner, other)
    taken = line_of("take", "J-1", act={"local_number": "J-1"})
    settled = {"settlement": "SETTLEMENT_SETTLED"}
    result = line_of("result", "J-1", act=settled, groups={"disposal": {"content": "已劝止。"}})
    drop(police, "result.jsonl", taken, result)
    exchange_once(other, quick.runner)
    assert not [name for name in receipts(hotline) if "refused" in name]
    assert list((police / "inbox").glob("*-close-*.json"))


class Full(io.StringIO):
    """A log whose disk is full."""

    def write(self, _text: str, /) -> int:
        """Fail as a full disk does."""
        raise OSError(28, "No space left on device")


def test_a_log_on_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    """What is said fails nobody: the loops would end with it."""
    Voice(Full(), "en", utc_now)(Text(en="came: an offer", zh="收到移交"))
