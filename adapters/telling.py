"""
Saying on a terminal what an adapter does: one line for each thing, in one language.

`Telling` stands between the runner and any `adapters.platform.Adapter` and passes everything on; it
says what came and went by kind, organisation and number, never what a message holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TextIO

from adapters.copies import FileAdapter, GatheringAdapter
from adapters.platform import Adapter, Indigestible, Outgoing
from adapters.spool_files import FileNews
from adapters.spool_records import Decision
from exchange.client import IncomingMessage, IncomingReceipt, OutgoingMessage
from exchange.text import Language, Text

_DECIDED = {
    "stored": Text(
        en="sent: {kind} {id}, stored by the bridge", zh="已发送：{kind} {id}，网桥已存储"
    ),
    "refused": Text(
        en="REFUSED by the bridge: {kind} {id}: {code}: {why}",
        zh="网桥拒绝：{kind} {id}：{code}：{why}",
    ),
    "dropped": Text(
        en="NOT SENT: {kind} {id}: what it builds on was refused ({code})",
        zh="未发送：{kind} {id}：其前序消息被拒绝（{code}）",
    ),
}
_CAME = Text(
    en="came: {kind} from {author}, ticket {ticket}; written as {number}",
    zh="收到：{kind}，来自 {author}，单号 {ticket}；记录号 {number}",
)
_WRITTEN = Text(
    en="receipt: {by} wrote {id} as {number}", zh="回执：{by} 已写入 {id}，记录号 {number}"
)
_SET_ASIDE = Text(
    en="SET ASIDE by {by}: {id}: {code}: {why}", zh="{by} 已搁置：{id}：{code}：{why}"
)
_INDIGESTIBLE = Text(
    en="PUT ASIDE here: {kind} from {author}, ticket {ticket}: {why} Its lane waits, others go on: exchange lane show {lane}",
    zh="本端拒收并隔离：{kind}，来自 {author}，单号 {ticket}：{why}该通道停滞，其余照常：exchange lane show {lane}",
)
_DECLINED = Text(en="REFUSED by {by}: {id}: {code}: {why}", zh="{by} 拒收：{id}：{code}：{why}")
_FILE_LEFT = Text(
    en="attachment {id} of {message}: the bridge has it", zh="附件 {id}（{message}）：网桥已收齐"
)
_FILE_CAME = Text(en="attachment of {message} came: {id}", zh="收到附件（{message}）：{id}")
_FILE_REFUSED = Text(
    en="ATTACHMENT NOT CARRIED: {id} of {message}: {code}: {why}",
    zh="附件未传送：{id}（{message}）：{code}：{why}",
)
_LINKED = Text(en="linked with the bridge", zh="已与网桥连通")
_BACK = Text(en="what failed works again", zh="故障已恢复")
_LOST = Text(
    en="{why} It is tried again by itself; nothing is lost.", zh="{why} 将自动重试，不会丢失内容。"
)
_SUMMARY = Text(
    en="stopped: {sent} sent and stored, {refused} refused, {came} came; "
    "{waiting} wait in the spool for the next start",
    zh="已停止：发送并存储 {sent}，拒绝 {refused}，收到 {came}；暂存库中尚有 {waiting} 条待下次发送",
)


def spoken_language(environment: Mapping[str, str]) -> Language:
    """Return the language that ``EXCHANGE_LANG``, else the locale, asks for, as `exchange` does."""
    locale = next(filter(None, map(environment.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    wish = environment.get("EXCHANGE_LANG") or locale
    return "zh" if wish.lower().startswith("zh") else "en"


class Voice:
    """Says one thing a line on *stream*, in *language*, with the local time of *clock*."""

    def __init__(self, stream: TextIO, language: Language, clock: Callable[[], datetime]) -> None:
        self.language: Language = language
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, text: Text) -> None:
        """Say *text* on one line; several threads may."""
        words = " ".join(text.say(self.language).split())
        with self._lock:
            stamp = self._clock().astimezone().strftime("%H:%M:%S")
            with suppress(OSError):  # a log on a full disk loses lines, never the post
                self._stream.write(f"{stamp} {words}\n")
                self._stream.flush()


def telling(adapter: Adapter, say: Callable[[Text], None]) -> Telling:
    """Return what stands before *adapter* and says what comes and goes, files too where it has them."""
    if not isinstance(adapter, FileAdapter):
        return Telling(adapter, say)
    kind = TellingGathered if isinstance(adapter, GatheringAdapter) else TellingFiles
    return kind(adapter, say)


class Telling:
    """Passes everything on to *adapter*, and says what it was."""

    def __init__(self, adapter: Adapter, say: Callable[[Text], None]) -> None:
        self.say = say
        self._adapter = adapter
        self._counts = {"sent": 0, "refused": 0, "came": 0}
        self._failing: dict[str, str] = {}
        self._linked = False

    def summary(self, waiting: int) -> None:
        """Say what was done in all; *waiting* messages have not left."""
        self.say(_SUMMARY.fill(**self._counts, waiting=waiting))

    def notice(self, what: str, failure: Text | None) -> None:
        """Say that a kind of the runner's work fails, or does so no more; `adapters.runner.Notice`."""
        if failure is None:
            failed = self._failing.pop(what, None)
            if what == "pull" and not self._linked:
                self._linked = True
                self.say(_LINKED)
            elif failed is not None and not self._failing:
                self.say(_BACK)
            return
        known = failure.en in self._failing.values()
        self._failing[what] = failure.en
        if not known:  # the loops meet the same dead link
            self.say(Text(en=_LOST.en.format(why=failure.en), zh=_LOST.zh.format(why=failure.zh)))

    # -- the adapter's methods

    def outgoing(self) -> Sequence[Outgoing]:
        """Pass on."""
        return self._adapter.outgoing()

    def kept(self, messages: Sequence[Outgoing]) -> None:
        """Pass on."""
        self._adapter.kept(messages)

    def unfit(self, message: OutgoingMessage, why: Text) -> None:
        """Pass on: the adapter knows the place, and says it."""
        self._adapter.unfit(message, why)

    def decided(self, decision: Decision) -> None:
        """Pass on, and say it."""
        self._adapter.decided(decision)
        refusal = decision.refusal
        word = "dropped" if decision.dropped else "refused" if refusal else "stored"
        self._counts["sent" if word == "stored" else "refused"] += 1
        why = refusal.text if refusal else Text(en="", zh="")
        code = refusal.code.name if refusal else ""
        self._say(
            _DECIDED[word], kind=decision.kind.text, id=decision.message_id, code=code, why=why
        )

    def deliver(self, item: IncomingMessage) -> str:
        """Pass on, and say it."""
        message = item.message
        try:
            number = self._adapter.deliver(item)
        except Indigestible as indigestible:
            self._say(
                _INDIGESTIBLE,
                kind=message.kind.text,
                author=message.author,
                ticket=message.ticket_id,
                why=indigestible.refusal.text,
                lane=item.lane,
            )
            raise
        self._counts["came"] += 1
        self._say(
            _CAME,
            kind=message.kind.text,
            author=message.author,
            ticket=message.ticket_id,
            number=number,
        )
        return number

    def answered(self, receipt: IncomingReceipt) -> None:
        """Pass on, and say it."""
        self._adapter.answered(receipt)
        refusal, by, message_id = receipt.refusal, receipt.organisation, receipt.message_id
        if refusal is None:
            self._say(_WRITTEN, by=by, id=message_id, number=receipt.local_number)
        else:
            said = _SET_ASIDE if receipt.set_aside else _DECLINED
            self._say(said, by=by, id=message_id, code=refusal.code.name, why=refusal.text)

    def on_arrival(self, item: IncomingMessage) -> None:
        """Pass on."""
        self._adapter.on_arrival(item)

    def _file(self, text: Text, news: FileNews) -> None:
        name = news.attachment_id or news.sha256.hex()[:16]
        if news.refusal is None:
            self._say(text, id=name, message=news.message_id)
        else:
            code, why = news.refusal.name, news.refusal.text
            self._say(_FILE_REFUSED, id=name, message=news.message_id, code=code, why=why)

    def _say(self, text: Text, **facts: Text | str) -> None:
        """Say *text* with its places filled in, each in its own language."""
        en = {name: fact.en if isinstance(fact, Text) else fact for name, fact in facts.items()}
        zh = {name: fact.zh if isinstance(fact, Text) else fact for name, fact in facts.items()}
        self.say(Text(en=text.en.format(**en), zh=text.zh.format(**zh)))


class TellingFiles(Telling):
    """The same before an adapter whose platform gives and takes files, too."""

    def __init__(self, adapter: Adapter, say: Callable[[Text], None]) -> None:
        super().__init__(adapter, say)
        if not isinstance(adapter, FileAdapter):
            raise TypeError(adapter)
        self._files: FileAdapter = adapter

    def file_came(self, news: FileNews) -> None:
        """Pass on, and say it."""
        self._files.file_came(news)
        self._file(_FILE_CAME, news)

    def file_left(self, news: FileNews) -> None:
        """Pass on, and say it."""
        self._files.file_left(news)
        self._file(_FILE_LEFT, news)


class TellingGathered(TellingFiles):
    """The same before one whose files must be got first."""

    def gather(self) -> int:
        """Pass on."""
        return self._adapter.gather() if isinstance(self._adapter, GatheringAdapter) else 0

    def troubled(self) -> Text | None:
        """Pass on."""
        return self._adapter.troubled() if isinstance(self._adapter, GatheringAdapter) else None
