"""``exchange certs acts submit|logged``: an authority's acts in the bridge's log, where both networks see them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certs.cli.acts import acts
from certs.errors import Refused
from certs.files import replace
from certs.screen import shown_time
from exchange.cli.gateway import config_option, dial, is_gateway, read_gateway
from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.screen import clean, show_json, show_table
from exchange.erasure import DESTROY
from exchange.errors import ConfigurationError
from exchange.reckoning import RECKONING
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.note import NoteVerifier
    from exchange.views import EnteredAct

#: How often `submit` looks whether the bridge has entered the acts, in seconds.
_LOOK = 0.2


@command(
    "submit",
    en="Hand the journal of a network's authority (its acts.jsonl, or a copy of it) to the bridge that --config names: "
    "it is verified against that network's roots, must go on from what the log has of it, and is put where the "
    "configuration says ([acts]); the running bridge then enters what is new.\n"
    "Exit 0: the log has all of it. Exit 1: it is in place, and the bridge has not entered it yet: does it run? "
    "Exit 2: it is refused, and nothing was changed.",
    zh="将某网络认证机构的操作记录（acts.jsonl 或其副本）提交给 --config 所指网桥：以该网络根证书核验，须承接日志中已有的"
    "记录，再存入配置所指位置（[acts]），由运行中的网桥将新增部分记入日志。\n"
    "退出码 0：已全部记入；1：文件已就位，网桥尚未记入，请确认其在运行；2：被拒绝，未作改动。",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@option("--wait", type=click.IntRange(0, 600), default=10, show_default=True, metavar="SECONDS",
        en="How long to wait for the running bridge.", zh="等待网桥记入的秒数。")  # fmt: skip
@config_option
@json_option
@click.pass_context
def submit(context: click.Context, *, file: Path, wait: int, config: Path, as_json: bool) -> None:
    """Hand a journal to the bridge."""
    from exchange.bridge.announcing import require_goes_on
    from exchange.chain import read_act
    from exchange.config import load_settings
    from exchange.server.journals import read_journal_copy
    from exchange.trust import TrustStore

    settings = load_settings(config, os.environ)
    try:
        with file.open("rb") as lines:
            network = read_act(lines.readline(1 << 20).rstrip(b"\n")).source
    except OSError as error:
        raise ConfigurationError(_UNREADABLE.fill(file=file), file=str(file)) from error
    place = settings.acts.get(network)
    if place is None:
        raise ConfigurationError(_NO_PLACE.fill(network=clean(network), file=config))
    roots = TrustStore.load(settings.networks).roots(network)
    new = read_journal_copy(network, file, roots)
    require_goes_on(network, new, _chain(settings.database, network))
    if file.resolve() != place.resolve():
        _put(place, b"".join(line + b"\n" for line in new))
    entered = _wait(settings.database, network, len(new), wait)
    if as_json:
        said = {"network": network, "acts": len(new), "file": str(place), "entered": entered}
        show_json(said)
    elif entered:
        say(_ENTERED.fill(network=network, count=len(new)))
    else:
        say(_IN_PLACE.fill(network=network, file=place), err=True)
    context.exit(0 if entered else 1)


def _wait(database: str, network: str, count: int, seconds: int) -> bool:
    """Return whether the bridge has entered *count* acts, once it has or time is up."""
    pause, looks = threading.Event(), round(seconds / _LOOK)
    for _ in range(looks + 1):
        if len(_chain(database, network)) >= count:
            return True
        pause.wait(_LOOK if looks else 0)
    return False


def _put(place: Path, content: bytes) -> None:
    try:
        replace(place, content)
    except Refused as refused:
        raise ConfigurationError(
            Text(en=refused.sentence.en, zh=refused.sentence.zh), file=str(place)
        ) from refused


def _chain(database: str, source: str) -> list[bytes]:
    from exchange.query.acts import ActsRoom

    room = ActsRoom.open(database)
    try:
        return [line for _, line in room.chains().get(source, ())]
    finally:
        room.close()


@command(
    "logged",
    en="List the acts that stand in the bridge's log, every network's and the bridge's own: with a gateway's "
    "configuration those that the bridge gives to both networks, each proved to be in its log, and whole chains "
    "checked against your own trust; with a bridge's configuration those of its database.\n"
    "Exit 0: everything holds. Exit 1: something does not, and is named.",
    zh="列出网桥日志中的操作记录（各网络认证机构及网桥自身）。用网关配置时为网桥向双方网络公开的记录，逐条证明其在日志中，"
    "完整的链以本端信任核验；用网桥配置时取自其数据库。\n退出码 0：全部成立；1：有不成立之处，并予指明。",
)
@option("--source", default="", metavar="NETWORK|LOG", en="Only those of this authority or bridge.",
        zh="仅列出该认证机构或网桥的记录。")  # fmt: skip
@config_option
@json_option
@click.pass_context
def logged(context: click.Context, *, source: str, config: Path, as_json: bool) -> None:
    """List the acts in the log."""
    if is_gateway(config):
        with dial(config) as client:
            found = list(client.directory.acts(source))
            logs, roots = _gateway_trust(config)
    else:
        found, logs, roots = _at_bridge(config, source)
    wrong = _wrong(found, logs, roots)
    if as_json:
        show_json({"acts": [_row(one) for one in found], "wrong": [_both(one) for one in wrong]})
    elif not found:
        say(_NONE)
    else:
        heads = Text(en="entry|entered|of|no.|act|about", zh="条目|记入时间|来源|序号|操作|对象")
        show_table(heads.say(language()).split("|"), [_cells(one) for one in found])
    if not as_json:
        for text in wrong:
            say(text, err=True)
    context.exit(1 if wrong else 0)


acts.add_command(submit)
acts.add_command(logged)


def _gateway_trust(
    config: Path,
) -> tuple[list[NoteVerifier], dict[str, Sequence[Any]]]:
    from exchange.note import NoteVerifier
    from exchange.trust import TrustStore

    files = read_gateway(config)
    store = TrustStore.load(files.trust)
    logs = [NoteVerifier.load(path) for path in files.log_verifiers]
    return logs, {network: store.roots(network) for network in store.networks}


def _at_bridge(
    config: Path, source: str
) -> tuple[list[EnteredAct], list[NoteVerifier], dict[str, Sequence[Any]]]:
    from exchange.config import load_settings
    from exchange.note import LogKey
    from exchange.query.acts import ActsRoom
    from exchange.trust import TrustStore

    settings = load_settings(config, os.environ)
    store, found, token = TrustStore.load(settings.networks), [], ""
    room = ActsRoom.open(settings.database)
    try:
        while True:
            page, token = room.page(source=source, limit=500, page_token=token)
            found += page
            if not token:
                break
    finally:
        room.close()
    logs = [LogKey.load(settings.log_key).verifier]
    return found, logs, {network: store.roots(network) for network in store.networks}


def _wrong(
    found: Sequence[EnteredAct],
    logs: Sequence[NoteVerifier],
    roots: dict[str, Sequence[Any]],
) -> list[Text]:
    """Return what does not hold: a leaf that the log does not prove, a chain that is not its source's."""
    from exchange.cli.chains import broken_at
    from exchange.errors import ExchangeError
    from exchange.log import LeafKind, TrustedLogs
    from exchange.merkle import leaf_hash

    wrong: list[Text] = []
    trusted = TrustedLogs(list(logs))
    for one in found:
        try:
            one.proof.verify(LeafKind.ADMINISTRATIVE, leaf_hash(one.line), trusted)
        except ExchangeError as error:
            wrong.append(_named(one.source, one.number, error.text))
    for source in dict.fromkeys(one.source for one in found):
        chain = [one for one in found if one.source == source]
        if [one.number for one in chain] != list(range(1, len(chain) + 1)):
            wrong.append(_named(source, len(chain), _INCOMPLETE))
            continue
        broken = broken_at(source, [one.line for one in chain], logs, roots.get(source, ()))
        if broken is not None:
            wrong.append(_named(source, *broken))
    return wrong


def _named(source: str, number: int, why: Text) -> Text:
    return Text(
        en=f"✗ act {number} of {clean(source)}: {why.en}",
        zh=f"✗ {clean(source)} 第 {number} 条：{why.zh}",
    )


def _row(one: EnteredAct) -> dict[str, Any]:
    from exchange.chain import read_act

    return {
        "leaf_index": one.proof.index,
        "time": one.time.isoformat(),
        "source": one.source,
        "number": one.number,
        "facts": dict(read_act(one.line).facts),
    }


def _both(text: Text) -> dict[str, str]:
    return {"en": text.en, "zh": text.zh}


def _cells(one: EnteredAct) -> list[str]:
    from exchange.chain import read_act

    act = read_act(one.line)
    entered = shown_time(one.time)
    return [
        str(one.proof.index), entered, clean(one.source), str(one.number), clean(act.act),
        clean(_about(act.facts)),
    ]  # fmt: skip


def _about(facts: Any) -> str:
    """Return the one thing about an act that a reader of the list looks for."""
    if "certificate" in facts:
        from certs import pem
        from certs.show import describe

        try:
            (certificate,) = pem.certificates("act", str(facts["certificate"]).encode())
        except (Refused, ValueError):
            return ""
        shown = describe(certificate, datetime.now(UTC))
        return f"{shown.serial[:12]} {', '.join(shown.names)}"
    if facts.get("act") == "trust":
        lists = ", ".join(f"{one['network']} {one['number']}" for one in facts.get("lists", ()))
        denied: Iterable[Any] = facts.get("denied", ())
        return f"CRL {lists or '-'}; deny {len(list(denied))}"
    if facts.get("act") == RECKONING:
        return ", ".join(f"{one['name']} {one['edition']}" for one in facts.get("profiles", ()))
    if facts.get("act") == DESTROY:
        return str(facts.get("statement", ""))[:16]
    keys = ("serial", "reason", "crl_number", "network_of", "bundle_number", "why")
    return " ".join(str(facts[key]) for key in keys if key in facts)


_UNREADABLE = Text(
    en="The file {file} cannot be read; check path and rights.",
    zh="无法读取文件 {file}，请检查路径与权限。",
)
_NO_PLACE = Text(
    en='The bridge has no place for the journal of {network}. Name one in {file}: [acts] "{network}" = '
    '"{network}.acts.jsonl", and restart the bridge.',
    zh='网桥未配置 {network} 操作记录的位置。请在 {file} 中写明：[acts] "{network}" = "{network}.acts.jsonl"，并重启网桥。',
)
_ENTERED = Text(
    en="{network}: the bridge's log has all {count} acts. See: exchange certs acts logged",
    zh="{network}：{count} 条操作已全部记入网桥日志。请查看：exchange certs acts logged",
)
_IN_PLACE = Text(
    en="{network}: verified and in place ({file}), but the bridge has not entered it yet: does it run? It enters it "
    "when it starts.",
    zh="{network}：已核验并就位（{file}），但网桥尚未记入，请确认其在运行；启动时将自动记入。",
)
_NONE = Text(en="The log has no acts.", zh="日志中没有操作记录。")
_INCOMPLETE = Text(en="acts before it are missing", zh="缺少此前的记录")
