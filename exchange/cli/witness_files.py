"""``exchange witness`` over the gap: heads go out and co-signed heads come back, as files; and evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import Misused, json_option, option, say
from exchange.cli.screen import show_json
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.witness.settings import WitnessSettings
    from exchange.witness.watching import Witness

#: Exit codes, as those of `exchange status`.
FINE, DUE, BROKEN = 0, 1, 2

CODES = Text(
    en="Exit: 0 fine, 1 something could not be looked at or signed, 2 a log contradicts itself (alarm).",
    zh="退出码：0 正常，1 有未能查验或签署者，2 有日志自相矛盾（告警）。",
)

COSIGN = Text(
    en="Check the export FILE of a log that comes over the gap, and write the co-signed head to --output. "
    f"It is remembered as what was seen.\n{CODES.en}",
    zh=f"查验经摆渡而来的日志导出文件，将联署后的检查点写入 --output，并记为已见。\n{CODES.zh}",
)
EXPORT = Text(
    en="For the bridge's operator: write its newest head to --output, with proofs from what each witness "
    "co-signed last, for a witness that cannot dial the bridge.",
    zh="供网桥运营方使用：将最新检查点及自各见证者上次联署起的证明写入 --output，供无法拨入网桥的见证者查验。",
)
IMPORT = Text(
    en="For the bridge's operator: keep the co-signed head FILE that came back from a witness of "
    "[witnesses]; hours late, or twice, does no harm.",
    zh="供网桥运营方使用：保存 [witnesses] 中见证者交回的联署检查点文件；迟到或重复均无妨。",
)
EVIDENCE = Text(
    en="Check the evidence FILE of an alarm with the log's verifier key: whether the log itself signed two "
    "heads that contradict each other. Exit: 0 it did, 1 this proves nothing.",
    zh="用日志验证公钥核验告警证据文件：日志是否签署了互相矛盾的两个检查点。退出码：0 是，1 不能证明。",
)
UNKNOWN_LOG = Text(
    en="The log {origin} is not one of this witness's: {logs}.",
    zh="日志 {origin} 不在本见证者的配置中：{logs}。",
)
_COSIGNED = Text(
    en="{origin}, {size} entries: co-signed. Take {file} back to the bridge: exchange witness import",
    zh="{origin}，{size} 条：已联署。请将 {file} 带回网桥执行 exchange witness import。",
)
_EXPORTED = Text(
    en="{origin}, {size} entries, proofs from: {sizes}. Take {file} to the witness: exchange witness cosign",
    zh="{origin}，{size} 条，证明起点：{sizes}。请将 {file} 交给见证者执行 exchange witness cosign。",
)
_KEPT = Text(
    en="The co-signature of {witness}, given at {time}, is kept.",
    zh="已保存 {witness} 于 {time} 的联署。",
)
_SIGNED_BOTH = Text(
    en="The log {origin} signed both heads: one over {seen} entries, then one over {shown}.",
    zh="日志 {origin} 签署了这两个检查点：先为 {seen} 条，后为 {shown} 条。",
)
_PROVED = Text(
    en="They contradict each other: what the first holds is in the second no more. No honest log does this.",
    zh="二者互相矛盾：前者所载已不在后者之中。诚实的日志不会如此。",
)
_TO_BE_SHOWN = Text(
    en="The log must show that the larger begins with the smaller, and did not. Ask its operator for the "
    "consistency proof (RFC 9162): if there is none, the history was rewritten.",
    zh="日志须证明较大者以较小者为开头，而其未能证明。请向运营方索取一致性证明（RFC 9162）；如无，则历史已被改写。",
)


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@option(
    "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    en="Where the co-signed head goes.", zh="联署后检查点的写入位置。",
)  # fmt: skip
@config_option
@json_option
@click.pass_context
def cosign(
    context: click.Context, *, file: Path, output: Path, config: Path, as_json: bool
) -> None:
    """Co-sign a file."""
    from exchange.witness.carrying import MAX_FILE, Head
    from exchange.witness.memory import write_durably
    from exchange.witness.settings import read_witness
    from exchange.witness.watching import HistoryBroken

    settings = read_witness(config)
    head = Head.decode(_at_most(file, MAX_FILE))
    log = settings.logs.get(head.origin)
    if log is None:
        raise Misused(UNKNOWN_LOG.fill(origin=head.origin, logs=", ".join(settings.logs)), None)
    with at_work_in(settings) as at_work:
        try:
            cosigned = at_work.consider_file(log, head.note, head.prove, str(file))
        except HistoryBroken as broken:
            say(broken.text, err=True)
            context.exit(BROKEN)
        write_durably(output, cosigned.note)
        at_work.given(cosigned)
    if as_json:
        show_json({"origin": log.name, "size": cosigned.seen.size, "file": str(output)})
        return
    say(_COSIGNED.fill(origin=log.name, size=cosigned.seen.size, file=output))


@option(
    "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    en="Where the export goes.", zh="导出文件的写入位置。",
)  # fmt: skip
@option(
    "--from", "sizes", multiple=True, type=click.IntRange(0), metavar="SIZE",
    en="Add the proof from this many entries; may be repeated.", zh="另加自该条数起的证明，可多次给出。",
)  # fmt: skip
@config_option
@json_option
def export(*, output: Path, sizes: tuple[int, ...], config: Path, as_json: bool) -> None:
    """Export the head."""
    from exchange.config import load_settings
    from exchange.log import Checkpoint
    from exchange.note import split_note
    from exchange.store.cosignatures import Cosignatures
    from exchange.witness.carrying import MAX_PROOFS, Head
    from exchange.witness.memory import write_durably

    settings = load_settings(config, os.environ)
    kept = Cosignatures.open(settings.database)
    try:
        note = kept.checkpoint(settings.origin)
        size = Checkpoint.parse(split_note(note)[0]).size
        known = [one.size for one in kept.newest() if one.origin == settings.origin]
        starts = sorted({*sizes, *known})[-MAX_PROOFS:]
        proofs = {
            start: kept.proof(settings.origin, start, size) for start in starts if start <= size
        }
    finally:
        kept.close()
    write_durably(output, Head(origin=settings.origin, note=note, proofs=proofs).encode())
    if as_json:
        row = {"origin": settings.origin, "size": size, "proofs_from": sorted(proofs)}
        show_json({**row, "file": str(output)})
        return
    shown = ", ".join(map(str, sorted(proofs))) or "–"
    say(_EXPORTED.fill(origin=settings.origin, size=size, sizes=shown, file=output))


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@json_option
def import_(*, file: Path, config: Path, as_json: bool) -> None:
    """Keep a co-signature."""
    from exchange.config import load_settings
    from exchange.note import MAX_NOTE
    from exchange.server.witnessing import load_witnesses
    from exchange.store.cosignatures import Cosignatures

    settings = load_settings(config, os.environ)
    keys = [key for every in load_witnesses(settings.witnesses).values() for key in every]
    kept = Cosignatures.open(settings.database)
    try:
        found = kept.keep(_at_most(file, MAX_NOTE), keys, datetime.now(UTC))
    finally:
        kept.close()
    if as_json:
        show_json({"kept": [{"witness": w.witness, "time": w.time.isoformat()} for w in found]})
        return
    for one in found:
        say(_KEPT.fill(witness=one.witness, time=one.time.isoformat()))


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@option(
    "--log", "logs", multiple=True, required=True, type=click.Path(path_type=Path),
    metavar="FILE.vkey", en="The log's verifier key.", zh="日志验证公钥。",
)  # fmt: skip
@json_option
def evidence(*, file: Path, logs: tuple[Path, ...], as_json: bool) -> None:
    """Check evidence."""
    from exchange.cli.trust import read_verifier
    from exchange.witness.evidence import MAX_FILE, Evidence
    from exchange.witness.judging import Judgement

    found = Evidence.decode(_at_most(file, MAX_FILE))
    seen, shown, judged = found.check([read_verifier(path) for path in logs])
    if as_json:
        proved = judged is Judgement.REWRITTEN
        show_json(
            {"origin": seen.origin, "seen": seen.size, "shown": shown.size, "contradict": proved}
        )
        return
    say(_SIGNED_BOTH.fill(origin=seen.origin, seen=seen.size, shown=shown.size))
    say(_PROVED if judged is Judgement.REWRITTEN else _TO_BE_SHOWN)


@contextmanager
def at_work_in(settings: WitnessSettings, *, reading: bool = False) -> Iterator[Witness]:
    """Give the witness of *settings*, its memory held until then, or only read."""
    from exchange.note import LogKey
    from exchange.witness.memory import Memory
    from exchange.witness.watching import Witness

    key = LogKey.load(settings.key)
    memory = Memory.open(settings.memory, reading=reading)
    try:
        yield Witness(key, memory, _now)
    finally:
        memory.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _at_most(file: Path, most: int) -> bytes:
    """Return the bytes of *file*, one more than *most* at most: what reads them refuses those."""
    with file.open("rb") as stream:
        return stream.read(most + 1)
