"""``exchange push``: sign messages and push them, each with its own outcome."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option, read_gateway
from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.root import telling
from exchange.cli.screen import clean, show_json_line
from exchange.errors import InvalidRequest
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import ExchangeClient, GatewayFiles, PushResult, SealedMessage, Sealer

_TOGETHER = 128

_FIELDS = frozenset(
    {
        "kind", "ticket_id", "created", "handoff_id", "recipient", "previous", "urgency", "marker",
        "classification", "act", "groups", "message_id", "record", "revision",
    }
)  # fmt: skip
_WRONG = Text(en="{place}: {why} Nothing of this line was sent.", zh="{place}：{why}该行未发送。")
_NOT_JSON = Text(en="this is no JSON object.", zh="不是 JSON 对象。")
_MISSING = Text(en="the key '{key}' is missing.", zh="缺少“{key}”键。")
_VALUE = Text(en="'{key}' cannot be '{value}'.", zh="“{key}”不能为“{value}”。")


@command(
    "push",
    en="Sign messages (JSON lines: kind, ticket_id, created, act, groups …) with the configured "
    "signer and push them;\na file that is no JSON is pushed as one sealed envelope. FILE - or "
    "none reads standard input. Pushing the same\nagain repeats, never doubles.",
    zh="用所配置的签名者签署消息（每行一个 JSON：kind、ticket_id、created、act、groups 等）并推送；\n"
    "非 JSON 文件按一个已签名信封推送。文件为 - 或省略时读标准输入。重复推送相同内容不会重复入库。",
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
        messages = _read(files or (Path("-"),), sealer)
        while batch := list(islice(messages, _TOGETHER)):
            for message, result in zip(batch, _push(client, batch), strict=True):
                counts[_report(result, as_json=as_json)] += 1
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


def _read(files: Sequence[Path], sealer: Sealer) -> Iterator[SealedMessage]:
    for file in files:
        name = str(file)
        stream = sys.stdin.buffer if name == "-" else file.open("rb")
        with stream:
            first = stream.readline()
            if not first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and first.strip():
                yield _sealed(name, first + stream.read())
                continue
            number = 1
            line = first.removeprefix(b"\xef\xbb\xbf")
            while line:
                if line.strip():
                    yield from _seal(f"{name}:{number}", line, sealer)
                line, number = stream.readline(), number + 1


def _seal(place: str, line: bytes, sealer: Sealer) -> list[SealedMessage]:
    """Return the line's message, sealed; raises `InvalidRequest` naming place and key."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise _fault(place, Text(en=f"{error}.", zh=f"{error}。")) from error
    if not isinstance(values, dict):
        raise _fault(place, _NOT_JSON)
    try:
        return sealer.seal([_message(place, values)])
    except InvalidRequest as error:
        if error.facts.get("place"):
            raise
        raise _fault(place, error.text) from error


def _message(place: str, values: dict[str, Any]) -> Any:
    from exchange.acts import Classification, Kind, Marker, Urgency
    from exchange.client import OutgoingMessage
    from exchange.reading import nearest

    for key in values:
        if key not in _FIELDS:
            hint = nearest(key, _FIELDS)
            raise _fault(
                place,
                Text(en=f"'{key}' is not known; {hint.en}", zh=f"“{key}”未定义；{hint.zh}"),
            )
    for key in ("kind", "ticket_id", "created"):
        if not values.get(key):
            raise _fault(place, _MISSING.fill(key=key))
    read = dict(values)
    kinds = {"urgency": Urgency, "marker": Marker, "classification": Classification}
    try:
        key = "kind"
        read[key] = Kind(values[key])
        key = "created"
        read[key] = datetime.fromisoformat(values[key])
        if read[key].tzinfo is None:
            raise ValueError(key)
        key = "previous"
        if key in values:
            read[key] = _digest(values[key])
        for key, kind in kinds.items():
            if key in values:
                read[key] = kind[str(values[key]).upper()]
    except (KeyError, ValueError, TypeError) as error:
        raise _fault(place, _VALUE.fill(key=key, value=values[key])) from error
    return OutgoingMessage(**read)


def _digest(text: str) -> bytes:
    """Return a digest given in hexadecimal (as trails show it) or base64 (as the contract does)."""
    return bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)


def _sealed(place: str, envelope: bytes) -> SealedMessage:
    from exchange.client import SealedMessage
    from exchange.wire.headers import read_envelope

    received = read_envelope(envelope)
    message = received.message
    if message is None:
        why = received.refusal.text if received.refusal is not None else _NOT_JSON
        raise _fault(place, why)
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


def _fault(place: str, why: Text) -> InvalidRequest:
    text = Text(
        en=_WRONG.en.format(place=place, why=why.en), zh=_WRONG.zh.format(place=place, why=why.zh)
    )
    return InvalidRequest(text, place=place)
