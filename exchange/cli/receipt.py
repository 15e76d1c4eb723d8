"""``exchange receipt``: prove a receipt from one file, offline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.archive import extract
from exchange.cli.grammar import group, json_option, language, option, say
from exchange.cli.screen import show_json
from exchange.cli.trust import read_trust, trust_options
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.cosignature import WitnessKey
    from exchange.log import StoredProof
    from exchange.proof import Proof
    from exchange.wire.receipt_files import ReceiptFile

receipt = group(
    "receipt",
    en="Receipts (回执): who signed what, provable without a bridge.",
    zh="回执：谁签署了什么，无需网桥即可证明。",
)

_MARKS = {"holds": "✓", "broken": "✗", "not-shown": "–"}
_HOLDS = Text(en="The receipts of message {id} hold.", zh="消息 {id} 的回执成立。")
_PARTLY = Text(
    en="Nothing contradicts the receipts of message {id}, and this much is proved: {shown}.\n"
    "NOT shown, so do not rely on it: {missing}. The trail's file has the rest: exchange ticket "
    "trail ID --receipts DIR",
    zh="消息 {id} 的回执未见矛盾，已证明：{shown}。\n"
    "未能证明、不可依赖：{missing}。完整文件可由 exchange ticket trail 单编号 --receipts 文件夹 取得。",
)
_UNPROVED = Text(
    en="Nothing contradicts the receipts of message {id}, but nothing is proved either. NOT shown: "
    "{missing}.",
    zh="消息 {id} 的回执未见矛盾，但也未能证明任何一项。未能证明：{missing}。",
)
_EXCLUDED = Text(
    en="Excluded, unless the log's operator acted together with every one of {witnesses}: that the entry was "
    "put in later than each first signed, or that up to its newest head anything was changed, taken out or "
    "shown differently to others.",
    zh="除非日志运营方与下列各见证者合谋（{witnesses}），否则已排除：条目晚于各自首次联署才写入；至其最近联署的检查点为止，"
    "任何内容被更改、删除或对他人另作展示。",
)
_BROKEN = Text(
    en="The receipts of message {id} do not hold: see ✗ above.",
    zh="消息 {id} 的回执不成立：见上文 ✗ 项。",
)


@receipt.command(
    "verify",
    text=Text(
        en="Prove the receipt FILE offline, each obligation by itself.\n"
        "✓ is proved, ✗ is contradicted, – is not shown by this file. Exit: 0 nothing contradicts it, "
        "also where part of it is\nnot shown (the last lines name what, --json has 'not_shown'); 1 "
        "something does, or this is no receipt file; 2 misused.",
        zh="离线验证回执文件，逐项给出结论。\n✓ 已证明，✗ 有矛盾，– 文件中未能证明。退出码：0 未见矛盾，"
        "有未能证明的项时亦为 0（末行列出，--json 见 not_shown）；\n1 有矛盾或并非回执文件，2 用法有误。",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@option(
    "--message", type=click.Path(path_type=Path),
    en="The message's envelope, where the receipt file does not hold it.",
    zh="消息信封文件（回执文件中没有消息时使用）。",
)  # fmt: skip
@option(
    "--witness", "witnesses", multiple=True, type=click.Path(path_type=Path), metavar="FILE.vkey",
    en="A witness's verifier key: say whether it co-signed, by when, and what that excludes; may be repeated.",
    zh="见证者验证公钥，可多次给出：说明其是否及何时联署、由此排除了什么。",
)  # fmt: skip
@trust_options
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    file: Path,
    message: Path | None,
    witnesses: tuple[Path, ...],
    roots: tuple[str, ...],
    logs: tuple[Path, ...],
    register: Path | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Prove one file."""
    from exchange.proof import prove

    trust = replace(read_trust(roots, logs, register, config), witnesses=_witness_keys(witnesses))
    proof = prove(_read(file, message), trust)
    lang = language()
    if as_json:
        show_json(
            {
                "holds": proof.holds,
                "not_shown": proof.not_shown,
                "message_id": proof.message_id,
                "digest": proof.digest.hex(),
                "witnesses": list(proof.witnesses),
                "obligations": [
                    {
                        "number": one.number,
                        "what": one.what.say(lang),
                        "verdict": one.verdict.value,
                        "found": one.found.say(lang),
                    }
                    for one in proof.obligations
                ],
            }
        )
    else:
        for one in proof.obligations:
            click.echo(f"{_MARKS[one.verdict.value]} {one.number}. {one.what.say(lang)}")
            click.echo(f"     {one.found.say(lang)}")
        say(_conclusion(proof))
        if proof.witnesses:
            say(_EXCLUDED.fill(witnesses=", ".join(proof.witnesses)))
    context.exit(0 if proof.holds else 1)


def _conclusion(proof: Proof) -> Text:
    """Return the last sentence: what the whole proves, and by name what it does not."""
    from exchange.proof import Verdict

    if not proof.holds:
        return _BROKEN.fill(id=proof.message_id)
    if not proof.not_shown:
        return _HOLDS.fill(id=proof.message_id)
    shown, missing = (
        [f"{one.number}. {one.what.en}" for one in proof.obligations if one.verdict is verdict]
        for verdict in (Verdict.HOLDS, Verdict.NOT_SHOWN)
    )
    shown_zh, missing_zh = (
        [f"{one.number}. {one.what.zh}" for one in proof.obligations if one.verdict is verdict]
        for verdict in (Verdict.HOLDS, Verdict.NOT_SHOWN)
    )
    text = _PARTLY if shown else _UNPROVED
    return Text(
        en=text.en.format(id=proof.message_id, shown="; ".join(shown), missing="; ".join(missing)),
        zh=text.zh.format(
            id=proof.message_id, shown="；".join(shown_zh), missing="；".join(missing_zh)
        ),
    )


@receipt.command(
    "show",
    text=Text(
        en="Show what the receipt FILE says, verifying nothing.",
        zh="显示回执文件内容，不作验证。",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(*, file: Path, as_json: bool) -> None:
    """Show one file."""
    data = _data(_read(file, None))
    if as_json:
        show_json(data)
        return
    lang = language()
    click.echo(f"{Text(en='message', zh='消息').say(lang)}: {data['message_id']}")
    if data["author"]:
        click.echo(f"{Text(en='author', zh='作者').say(lang)}: {data['author']}")
    if data["stored"]:
        stored = Text(
            en="stored: {log}, entry {index}, {time}", zh="已存储：{log} 第 {index} 条，{time}"
        )
        say(stored.fill(**data["stored"]))
    for one in data["onward"]:
        onward = Text(
            en="carried on by a relay: {log}, entry {index}, {time}",
            zh="经中继转递：{log} 第 {index} 条，{time}",
        )
        say(onward.fill(**one))
    for one in data["written"]:
        written = Text(
            en="written: by {organisation}, {time} {local_number}",
            zh="已写入：{organisation}，{time} {local_number}",
        )
        say(written.fill(**one))
    for one in data["refused"]:
        refused = Text(
            en="refused: by {organisation}, {time}, {code}",
            zh="已拒收：{organisation}，{time}，{code}",
        )
        say(refused.fill(**one))
    say(Text(en="Nothing of this is verified: run exchange receipt verify.",
             zh="以上内容未经验证：请运行 exchange receipt verify。"))  # fmt: skip


receipt.command(
    "extract",
    text=Text(
        en="Take the receipt files of one ticket out of the archive FILE.",
        zh="从归档文件中取出一张单的回执文件。",
    ),
)(extract)


def _witness_keys(files: tuple[Path, ...]) -> tuple[WitnessKey, ...]:
    """Return the keys in *files*; raises `ConfigurationError`."""
    from exchange.cosignature import read_witness_keys
    from exchange.envelope import read_file

    return tuple(
        key
        for file in files
        for key in read_witness_keys(read_file(file).decode("utf-8", "replace"))
    )


def _read(file: Path, message: Path | None) -> ReceiptFile:
    from exchange.wire.receipt_files import envelope_parts, read_receipt_file

    found = read_receipt_file(file.read_bytes())
    if message is None:
        return found
    return replace(found, **envelope_parts(message.read_bytes()))


def _entry(proof: StoredProof) -> dict[str, Any]:
    from exchange.log import Checkpoint, parse_leaf
    from exchange.note import split_note

    return {
        "log": Checkpoint.parse(split_note(proof.note)[0]).origin,
        "index": proof.index,
        "time": parse_leaf(proof.leaf).time.isoformat(),
    }


def _data(found: ReceiptFile) -> dict[str, Any]:
    return {
        "message_id": found.message_id,
        "author": found.author,
        "recipient": found.recipient,
        "stored": _entry(found.stored) if found.stored is not None else {},
        "onward": [_entry(one) for one in found.onward],
        "written": [
            {
                "organisation": one.statement.organisation,
                "time": one.statement.time.isoformat(),
                "local_number": one.statement.local_number,
                "in_log": one.proof is not None,
            }
            for one in found.written
        ],
        "refused": [
            {
                "organisation": one.organisation,
                "time": one.time.isoformat(),
                "code": one.code.name if one.code is not None else "",
            }
            for one in found.refused
        ],
    }
