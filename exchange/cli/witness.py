"""``exchange witness``: watch a log for one network and co-sign what was seen, live or by file."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import Misused, group, json_option, option, say
from exchange.cli.screen import show_json
from exchange.cli.witness_files import (
    BROKEN,
    CODES,
    COSIGN,
    DUE,
    EVIDENCE,
    EXPORT,
    FINE,
    IMPORT,
    UNKNOWN_LOG,
    at_work_in,
    cosign,
    evidence,
    export,
    import_,
)
from exchange.errors import ExchangeError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.server.journal import Journal
    from exchange.witness.calling import CalledBridge
    from exchange.witness.settings import Dialling, Watched
    from exchange.witness.watching import Witness

witness = group(
    "witness",
    en="Watch a bridge's log for one network and co-sign what was seen (见证).",
    zh="见证：代表一个网络查验网桥日志并联署。",
)


@witness.command(
    "begin",
    text=Text(
        en="Begin the memory of each configured log that has none: once, before the first look. A witness "
        "whose memory was lost must not begin it again, but put it back.",
        zh="为尚无记忆的日志建立记忆：仅在首次查验前执行一次。记忆丢失时应恢复备份，不得重新建立。",
    ),
)
@config_option
@json_option
def begin(*, config: Path, as_json: bool) -> None:
    """Begin the memory."""
    from exchange.cosignature import WitnessKey
    from exchange.note import LogKey
    from exchange.witness.memory import Memory
    from exchange.witness.settings import read_witness

    settings = read_witness(config)
    key = WitnessKey.of(LogKey.load(settings.key))
    new = Memory.begin(settings.memory, list(settings.logs))
    if as_json:
        show_json({"begun": list(new), "verifier_key": str(key)})
        return
    for origin in new:
        say(
            Text(en="The memory of {origin} was begun.", zh="已建立 {origin} 的记忆。").fill(
                origin=origin
            )
        )
    if not new:
        say(
            Text(
                en="Every log has its memory already; nothing was changed.",
                zh="各日志均已有记忆，未作改动。",
            )
        )
    say(_KEY.fill(key=key))


@witness.command(
    "run",
    text=Text(
        en=f"Look at every configured log again and again, and co-sign what grew out of what was seen; until "
        f"Ctrl-C or SIGTERM, or --once. The journal goes to standard error.\n{CODES.en}",
        zh=f"持续查验所配置的各日志，对由已见内容增长而来者联署，直至 Ctrl-C、SIGTERM，或 --once 仅一次。"
        f"运行日志写到标准错误。\n{CODES.zh}",
    ),
)
@option("--once", is_flag=True, en="Look once, then end.", zh="只查验一次。")
@config_option
@click.pass_context
def run(context: click.Context, *, once: bool, config: Path) -> None:
    """Watch."""
    from exchange.server.journal import open_journal
    from exchange.witness.settings import read_witness

    settings = read_witness(config)
    stop = threading.Event() if once else _asked_to_stop()
    with at_work_in(settings) as at_work, ExitStack() as stack:
        rounds = _Rounds(at_work, stack, open_journal(sys.stderr))
        while True:
            code = max(map(rounds.look, settings.watched), default=FINE)
            if once or stop.wait(settings.every):
                break
    context.exit(code)


class _Rounds:
    """Looks at one log after the other, over connections that are kept."""

    def __init__(self, at_work: Witness, stack: ExitStack, journal: Journal) -> None:
        self._witness = at_work
        self._stack = stack
        self._journal = journal
        self._bridges: dict[Dialling, CalledBridge] = {}

    def look(self, watched: Watched) -> int:
        """Look at one log at one bridge; return the exit code that it would mean."""
        from exchange.witness.calling import CalledBridge
        from exchange.witness.watching import HistoryBroken

        dialling = watched.dialling
        if dialling is None:
            return FINE
        facts: dict[str, Any] = {"origin": watched.log.name, "target": dialling.target}
        try:
            if dialling not in self._bridges:
                self._bridges[dialling] = self._stack.enter_context(CalledBridge(dialling))
            cosigned = self._witness.look(watched.log, self._bridges[dialling])
        except HistoryBroken as broken:
            said = {"said": broken.text.en, "said_zh": broken.text.zh}
            self._journal.error("alarm", why=broken.evidence.why.value, **facts, **said)
            return BROKEN
        except ExchangeError as error:
            said = {"said": error.text.en, "said_zh": error.text.zh}
            self._journal.warning("not-signed", reason=error.reason, **facts, **said)
            return DUE
        if cosigned is None:
            self._journal.debug("unchanged", **facts)
        else:
            facts["time"] = cosigned.time.isoformat()
            self._journal.info("cosigned", size=cosigned.seen.size, **facts)
        return FINE


@witness.command(
    "status",
    text=Text(
        en="Show what the witness has seen of each log, and the alarms that stand.\nExit: 0 fine, 1 never given "
        "to a bridge, 2 an alarm stands.",
        zh="显示对各日志的所见与现有告警。\n退出码：0 正常，1 从未交付网桥，2 有告警。",
    ),
)
@config_option
@json_option
@click.pass_context
def status(context: click.Context, *, config: Path, as_json: bool) -> None:
    """Show what was seen."""
    from exchange.witness.settings import read_witness

    settings = read_witness(config)
    rows: list[dict[str, Any]] = []
    with at_work_in(settings, reading=True) as at_work:
        for origin in settings.logs:
            seen, alarm = at_work.memory.seen(origin), at_work.memory.alarm(origin)
            rows.append(
                {
                    "origin": origin,
                    "size": seen.size,
                    "signed": seen.time.isoformat() if seen.time else "",
                    "given": seen.given.isoformat() if seen.given else "",
                    "alarm": alarm.why.value if alarm else "",
                    "evidence": str(at_work.memory.alarm_file(origin)) if alarm else "",
                }
            )
    code = max((BROKEN if r["alarm"] else FINE if r["given"] else DUE for r in rows), default=FINE)
    if as_json:
        show_json({"logs": rows})
    for row in rows if not as_json else ():
        say(_SEEN.fill(**{**row, "signed": row["signed"] or "–", "given": row["given"] or "–"}))
        if row["alarm"]:
            say(_ALARMED.fill(why=row["alarm"], file=row["evidence"]))
    context.exit(code)


@witness.command(
    "clear",
    text=Text(
        en="End the alarm about the log ORIGIN, once people have found out what happened; its evidence stays "
        "beside it. What was seen stays seen: a rewritten log will be refused again.",
        zh="查明原因后解除关于日志 ORIGIN 的告警，证据仍予保留。已见内容不变：被改写的日志仍会被拒绝。",
    ),
)
@click.argument("origin")
@option(
    "--clock", is_flag=True, en="Forget a time that was signed while this clock was ahead.",
    zh="忘记本机时钟偏快时所签的时间。",
)  # fmt: skip
@config_option
@json_option
def clear(*, origin: str, clock: bool, config: Path, as_json: bool) -> None:
    """End an alarm."""
    from dataclasses import replace

    from exchange.witness.settings import read_witness

    settings = read_witness(config)
    if origin not in settings.logs:
        raise Misused(UNKNOWN_LOG.fill(origin=origin, logs=", ".join(settings.logs)), None)
    now = datetime.now(UTC)
    with at_work_in(settings) as at_work:
        kept = at_work.memory.clear(origin, now)
        if clock:
            at_work.memory.remember(replace(at_work.memory.seen(origin), time=None, given=None))
    if as_json:
        evidence_ = None if kept is None else str(kept)
        show_json(
            {"origin": origin, "cleared": kept is not None, "evidence": evidence_, "clock": clock}
        )
        return
    if kept is not None:
        say(Text(en="The alarm is cleared; its evidence stays in {file}.", zh="告警已解除，证据保留在 {file}。").fill(
            file=kept))  # fmt: skip
    elif not clock:
        say(Text(en="No alarm stands for {origin}.", zh="{origin} 没有告警。").fill(origin=origin))
    if clock:
        say(Text(en="Any time may be signed again.", zh="可重新按当前时间签署。"))


witness.command("cosign", text=COSIGN)(cosign)
witness.command("export", text=EXPORT)(export)
witness.command("import", text=IMPORT)(import_)
witness.command("evidence", text=EVIDENCE)(evidence)


def _asked_to_stop() -> threading.Event:
    """Return what is set when this process is asked to end: between two looks, not within one."""
    asked = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return asked


_KEY = Text(
    en="This witness's verifier key, for the bridges' [witnesses] and for whoever verifies receipts:\n{key}",
    zh="本见证者的验证公钥，供网桥 [witnesses] 与回执验证者使用：\n{key}",
)
_SEEN = Text(
    en="{origin}: {size} entries seen; last signed {signed}, last given {given}",
    zh="{origin}：已见 {size} 条；最近签署 {signed}，最近交付 {given}",
)
_ALARMED = Text(
    en="  ALARM ({why}): nothing of it is co-signed; evidence in {file}",
    zh="  告警（{why}）：不再联署；证据在 {file}",
)
