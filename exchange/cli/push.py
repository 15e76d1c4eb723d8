"""``exchange push``: sign messages and push them, each with its own outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.gateway import config_option, read_gateway
from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.root import telling
from exchange.cli.screen import clean, show_json_line
from exchange.errors import InvalidRequest
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.cli.push_files import CitedFile
    from exchange.client import ExchangeClient, GatewayFiles, PushResult, SealedMessage, Sealer

_TOGETHER = 128

_BOM = b"\xef\xbb\xbf"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r"))

#: Faults shown at once; a file of another format has one in each line.
_SHOWN = 20

_NOTHING = Text(
    en="Nothing was sent. Mend what is named and push the same again.",
    zh="未发送任何内容。请修正后重新推送。",
)
_MORE = Text(en="… and {count} more lines like these.", zh="……另有 {count} 行。")
_EMPTY = Text(
    en="{files}: there is no message in it. Write one JSON object a line.",
    zh="{files}：其中没有消息。请每行写一个 JSON 对象。",
)
_TYPED = Text(
    en="Reading messages from the keyboard, one JSON object a line; Ctrl-D ends, Ctrl-C gives up.",
    zh="正从键盘读取消息，每行一个 JSON 对象；Ctrl-D 结束，Ctrl-C 放弃。",
)
_FILE = Text(en="{id}  attachment {name}: the bridge has it", zh="{id}  附件 {name}：网桥已收齐")
_NO_FILE = Text(
    en="{id}  attachment {name} is not carried: {code}: {en}",
    zh="{id}  附件 {name} 未传送：{code}：{zh}",
)
_NO_ENVELOPE = Text(
    en="this is neither JSON lines in UTF-8 nor a sealed envelope of this contract.",
    zh="既不是 UTF-8 的 JSON 行，也不是本接口的已签名信封。",
)


@command(
    "push",
    en="Sign messages (JSON lines: kind, ticket_id, created, act, groups …) with the configured "
    "signer and push them;\na binary file is pushed as one sealed envelope. FILE - or none reads "
    "standard input. Every line is read before the\nfirst is sent: if one is wrong, nothing is. "
    "Files that a message cites ('files': attachment id to a name beside FILE) are sent behind it. "
    "Pushing the same again repeats, never doubles.\nExit: 0 all stored, 1 something was wrong, "
    "refused or failed, or there was no message, 2 misused.",
    zh="用所配置的签名者签署消息（每行一个 JSON：kind、ticket_id、created、act、groups 等）并推送；\n"
    "二进制文件按一个已签名信封推送。文件为 - 或省略时读标准输入。先读完所有行再发送，有一行不对则全部不发。\n"
    "消息所引用的附件（files：附件编号对应 FILE 同目录的文件名）随后发送。重复推送相同内容不会重复入库。退出码：0 全部存储，1 有错误、拒绝、失败或没有消息，2 用法有误。",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@option(
    "--receipts", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    en="Write each answer as a receipt file there.", zh="将每条应答写为该文件夹中的回执文件。",
)  # fmt: skip
@config_option
@json_option
@click.pass_context
def push(
    context: click.Context,
    *,
    files: tuple[Path, ...],
    receipts: Path | None,
    config: Path,
    as_json: bool,
) -> None:
    """Push messages; exit code 1 when one was refused or failed."""
    from exchange.client import ExchangeClient, read_certificates

    gateway = read_gateway(config)
    sealer = _sealer(gateway)
    chain = tuple(read_certificates(gateway.signer_chain))
    counts = {"stored": 0, "refused": 0, "failed": 0}

    def progress() -> Text:
        return Text(
            en="Interrupted: {stored} stored, {refused} refused, {failed} failed were answered; of "
            "anything else nothing is known. Push the same again: what is stored is not doubled.",
            zh="已中断：已应答的有：存储 {stored}、拒绝 {refused}、失败 {failed}；其余情况不明。"
            "请重新推送相同内容，已存储的不会重复。",
        ).fill(**counts)

    with telling(progress), ExchangeClient.dial(gateway, sealer=sealer) as client:
        cited: dict[str, list[CitedFile]] = {}
        looking = f"exchange ticket --config {config}"
        messages = _read(files or (Path("-"),), partial(_seal, client, looking, cited))
        for start in range(0, len(messages), _TOGETHER):
            batch = messages[start : start + _TOGETHER]
            for message, result in zip(batch, _push(client, batch), strict=True):
                counts[_report(result, as_json=as_json)] += 1
                if result.stored is not None:
                    for file in cited.get(message.message_id, ()):
                        counts["failed"] += _put(client, message, file, as_json=as_json)
                if receipts is not None and result.receipt:
                    _keep(receipts, message, result, chain)
    if not as_json:
        say(
            Text(
                en="{stored} stored, {refused} refused, {failed} failed.",
                zh="存储 {stored}，拒绝 {refused}，失败 {failed}。",
            ).fill(**counts)
        )
    context.exit(1 if counts["refused"] or counts["failed"] else 0)


def _put(client: ExchangeClient, message: SealedMessage, file: CitedFile, *, as_json: bool) -> bool:
    """Put one file and say what became of it; return whether the bridge does not have it."""
    from exchange.cli.push_files import put

    refusal = put(client, file)
    if as_json:
        show_json_line(
            {
                "message_id": message.message_id,
                "attachment_id": file.name,
                "sha256": file.file.sha256.hex(),
                "outcome": "whole" if refusal is None else "refused",
                "code": refusal.name if refusal is not None else "",
                "text": refusal.text.say(language()) if refusal is not None else "",
            }
        )
    elif refusal is None:
        say(_FILE.fill(id=message.message_id, name=clean(file.name)))
    else:
        text = refusal.text
        name = clean(file.name)
        say(
            _NO_FILE.fill(
                id=message.message_id, name=name, code=refusal.name, en=text.en, zh=text.zh
            )
        )
    return refusal is not None


def _push(client: ExchangeClient, batch: Sequence[SealedMessage]) -> list[PushResult]:
    return client.push_sealed(batch)


def _sealer(gateway: GatewayFiles) -> Sealer:
    """
    Return the signer, with salts that follow from its key.

    So the same line pushed again gives the same bytes, and is recognised as a repeat.
    """
    import hmac

    from exchange.client import Sealer, derived_salts
    from exchange.envelope import SigningKey, read_private_file

    signer = SigningKey.load(gateway.signer_key, gateway.signer_chain)
    secret = hmac.digest(read_private_file(gateway.signer_key), b"exchange push: salts", "sha256")
    return Sealer(gateway.organisation, signer, salts=derived_salts(secret))


def _read(
    files: Sequence[Path], seal: Callable[[bytes, Path], SealedMessage]
) -> list[SealedMessage]:
    """
    Return every message of *files*, sealed; about 3 KB of memory each.

    Raises `InvalidRequest` naming each wrong line, file and number, or that there is none.
    """
    found: list[SealedMessage] = []
    faults: list[Text] = []
    for file in files:
        content = _content(file)
        if _is_binary(content):
            found += _judged(str(file), faults, partial(_sealed, content))
            continue
        for number, line in enumerate(content.removeprefix(_BOM).splitlines(), 1):
            if line.strip():
                place = f"{file}:{number}"
                found += _judged(place, faults, partial(seal, line, file.parent))
    if not found and not faults:
        names = ", ".join(map(str, files))
        faults.append(_EMPTY.fill(files=names))
    if faults:
        more = [_MORE.fill(count=len(faults) - _SHOWN)] if len(faults) > _SHOWN else []
        said = [*faults[:_SHOWN], *more, _NOTHING]
        raise InvalidRequest(
            Text(en="\n".join(one.en for one in said), zh="\n".join(one.zh for one in said))
        )
    return found


def _content(file: Path) -> bytes:
    if str(file) != "-":
        return file.read_bytes()
    if sys.stdin.isatty():
        say(_TYPED, err=True)
    return sys.stdin.buffer.read()


def _is_binary(content: bytes) -> bool:
    """Return whether *content* holds what text never does: control characters, as digests do."""
    text = content.removeprefix(_BOM).lstrip().startswith((b"{", b"["))
    return not text and len(content.translate(None, _CONTROLS)) < len(content)


def _judged(
    place: str, faults: list[Text], question: Callable[[], SealedMessage]
) -> Iterator[SealedMessage]:
    """Yield the message that *question* gives, or note in *faults* why there is none."""
    try:
        yield question()
    except InvalidRequest as error:
        why = error.text
        faults.append(Text(en=f"{place}: {clean(why.en)}", zh=f"{place}：{clean(why.zh)}"))


def _seal(
    client: ExchangeClient,
    looking: str,
    cited: dict[str, list[CitedFile]],
    line: bytes,
    folder: Path,
) -> SealedMessage:
    """Return the message of one line, sealed; note in *cited* its files, which lie in *folder*."""
    from exchange.cli.push_files import cite
    from exchange.client import read_line, require_whole

    message = read_line(line)
    require_whole(message, looking)
    message, files = cite(message, folder, client.seals)
    (sealed,) = client.sealer.seal([message])
    if files:
        cited[sealed.message_id] = files
    return sealed


def _sealed(envelope: bytes) -> SealedMessage:
    from exchange.client import SealedMessage
    from exchange.wire.headers import read_envelope

    received = read_envelope(envelope)
    message = received.message
    if message is None:
        raise InvalidRequest(_NO_ENVELOPE)
    return SealedMessage(
        message_id=message.id,
        kind=message.kind,
        ticket_id=message.ticket_id,
        handoff_id=message.handoff_id,
        recipient=message.recipient,
        urgency=message.urgency,
        previous=message.previous,
        digest=message.digest,
        envelope=envelope,
    )


def _report(result: PushResult, *, as_json: bool) -> str:
    """Print one outcome; return its word."""
    problem = result.refusal.text if result.refusal is not None else None
    word, code = "stored", ""
    if result.refusal is not None:
        word, code = "refused", result.refusal.code.name
    elif result.failure is not None:
        word, code, problem = "failed", result.failure.reason, result.failure.text
    if as_json:
        show_json_line(
            {
                "message_id": result.message_id,
                "digest": result.digest.hex(),
                "outcome": word,
                "leaf_index": result.stored.index if result.stored is not None else None,
                "code": code,
                "text": problem.say(language()) if problem is not None else "",
                "violations": [
                    {"field": v.field, "rule": v.rule, "text": v.text.say(language())}
                    for v in (result.refusal.violations if result.refusal is not None else ())
                ],
            }
        )
        return word
    said = {
        "stored": Text(en="stored", zh="已存储"),
        "refused": Text(en="refused", zh="拒绝"),
        "failed": Text(en="failed", zh="失败"),
    }[word].say(language())
    detail = f" {code}: {clean(problem.say(language()))}" if problem is not None else ""
    click.echo(f"{result.message_id}  {said}{detail}")
    return word


def _keep(
    folder: Path, message: SealedMessage, result: PushResult, chain: tuple[bytes, ...]
) -> None:
    from exchange.cli.receipts_out import from_answers, write_receipts

    file = from_answers(
        message.message_id, [result.receipt], envelope=message.envelope, chains=[chain]
    )
    write_receipts(folder, [file])
