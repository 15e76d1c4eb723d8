"""``exchange log``: everything stored, checked against the signed log."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.anew import begin_anew
from exchange.cli.checkpoint import checkpoint, database_option
from exchange.cli.gateway import config_option
from exchange.cli.grammar import Misused, group, json_option, language, option, say
from exchange.cli.join import join
from exchange.cli.root import telling
from exchange.cli.screen import show_json
from exchange.cli.signatures import Signatures, Vouching
from exchange.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exchange.cosignature import WitnessKey
    from exchange.note import NoteVerifier
    from exchange.store.logs import Registered

log = group(
    "log",
    en="The bridge's append-only log (RFC 9162), and all that must agree with it.",
    zh="网桥的只增日志（RFC 9162）及须与之一致的全部存储。",
)

_SHARED = Text(
    en="It has {count} logs, all checked: {logs}.", zh="其中共有 {count} 份日志，均已核验：{logs}。"
)
_BY_ITSELF = Text(
    en="The log {origin} was checked with the key that the database itself names: whoever changed the one "
    "could have changed the other. Name the key you trust: --log FILE.vkey",
    zh="日志 {origin} 是用数据库自身所载的公钥核验的：能改动其一者亦能改动另一。请用 --log 文件.vkey 给出可信公钥。",
)
_HOLDS = Text(
    en="Everything stored agrees with the log {origin}: {size} entries.",
    zh="全部存储与日志 {origin} 一致：共 {size} 条。",
)
_CHANGED = Text(
    en="{count} findings: the stored history does not hold as it is.",
    zh="发现 {count} 处：存储的历史不能成立。",
)
_CHAINED = Text(
    en="Every signer's certificate chains to its network's root, as of its entry's time.",
    zh="每个签名者证书在其条目收录时均可验证至所属网络的根证书。",
)
_NOT_CHAINED = Text(
    en="Signers' certificates were not chained to a root: name each network's with --trust.",
    zh="未将签名者证书验证至根证书：请用 --trust 给出各网络的根证书。",
)
_ARCHIVED = Text(
    en="The contents of {count} entries stand in archives: that they were accepted is proved here, what "
    "they say was not looked at. Name the folder with --archive DIR.",
    zh="其中 {count} 条的内容已归档：其收录已在此证明，内容未核验。请用 --archive 文件夹 指明归档所在。",
)
_UNBOUND = Text(
    en="Of {count} hand-offs not everything could be reckoned again: the log does not say their rules in a form "
    "that this program knows, or content was destroyed and no statement says how they stand now. Of these "
    "only what is still stated was checked.",
    zh="有 {count} 次移交不能全部重新推算：日志未以本程序所知的形式载明其规则，或其内容已销毁而没有声明载明其现状；"
    "仅核验了仍有载明的部分。",
)
_UNKNOWN = Text(
    en="{count} co-signatures are by none of the witnesses' keys that are known here (a witness may have a new "
    "one): they fit their checkpoints, who signed them was not checked.",
    zh="有 {count} 份联署不出自此处已知的见证者公钥（见证者可能已换钥）：与检查点相符，签名未核验。",
)
_ARCHIVES_HOLD = Text(
    en="The archives hold, too: {count} entries.", zh="归档内容亦成立：{count} 条。"
)
_NO_KEY = Text(
    en="Which log? Name its verifier key with --log FILE.vkey, or the bridge's configuration.",
    zh="请用 --log 文件.vkey 给出日志验证公钥，或指明网桥配置。",
)


@log.command(
    "verify",
    text=Text(
        en="Check everything: every checkpoint, leaf, message, receipt, refusal, certificate, "
        "state, deadline, co-signature and attachment, and that its network's root vouched for each signer when it was recorded. Each row "
        "at fault is named. Exit: 0 everything holds, 1 something does not.",
        zh="核验全部：检查点、日志条目、消息、回执、拒绝、证书、状态、时限、联署与附件，以及各签名者在收录时是否由其网络根证书"
        "担保；逐行指出问题。退出码：0 全部成立，1 有不成立之处。",
    ),
)
@option(
    "--log", "verifier_files", type=click.Path(path_type=Path), metavar="FILE.vkey", multiple=True,
    en="The log's verifier key, else that of the configured log key; may be repeated where several logs "
    "share the database.",
    zh="日志验证公钥，默认取配置中的日志密钥；多份日志共用数据库时可多次给出。",
)  # fmt: skip
@option(
    "--trust", "roots", multiple=True, metavar="NETWORK=FILE",
    en="A network's roots, former ones too, or a folder of NETWORK.pem files; may be repeated; else "
    "those of the configuration.",
    zh="某网络的根证书（含以往的），或含“网络.pem”文件的文件夹，可多次给出；默认取配置。",
)  # fmt: skip
@option(
    "--archive", "archives", type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR", en="Where the archive files are: what was archived is checked, too.",
    zh="归档文件所在文件夹：一并核验已归档内容。",
)  # fmt: skip
@database_option
@config_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    verifier_files: tuple[Path, ...],
    roots: tuple[str, ...],
    archives: Path | None,
    database: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """Check everything that is stored."""
    from exchange.cli.tickets import database_of, ring_of
    from exchange.query.evidence import EvidenceRoom
    from exchange.store.archived import archived_entries, check_archives
    from exchange.store.audit import audit
    from exchange.store.engines import connect
    from exchange.store.logs import logs_of
    from exchange.store.reckoned import Reckoned
    from exchange.store.renewal import verifiers
    from exchange.store.unlogged import Witnessed

    verifier = _verifier(verifier_files, database, config)
    # The configuration speaks for its own database, not for any that is named beside it.
    configured = database is None or not verifier_files
    vouching = _vouching(roots, config if configured else None)
    url = database_of(database, config)
    findings: list[Text] = []

    def progress() -> Text:
        return Text(
            en="Interrupted: not everything was checked; {count} findings so far. Nothing is ever "
            "changed by checking.",
            zh="已中断：尚未全部核验，至此发现 {count} 处。核验不作任何改动。",
        ).fill(count=len(findings))

    room, engines = EvidenceRoom.open(url), connect(url, ring=ring_of(database, config))
    try:
        with telling(progress):
            others, unvouched = _others(
                logs_of(engines), verifier, _given(verifier_files, config if configured else None)
            )
            logs = [key for one in (verifier, *others.values()) for key in verifiers(engines, one)]
            logs += _further(config if configured else None)
            reader = Signatures(room, verifier, vouching, logs)
            seen, reckoned = Witnessed(_witnesses(config if configured else None)), Reckoned()
            walks = [audit(engines, verifier, reader, others, witnessed=seen, reckoned=reckoned)]
            walks.append(_chains(url, logs, vouching))
            if archives is not None:
                walks.append(check_archives(engines, archives, reader, reckoned))
            for found in chain.from_iterable(walks):
                findings.append(found)
                if not as_json:
                    click.echo(f"✗ {found.say(language())}")
        heads, elsewhere = room.logs(), archived_entries(engines)
    finally:
        room.close()
        engines.close()
    checked = Checked(
        verifier=verifier, logs=heads, former=logs, unvouched=unvouched, unbound=reckoned.unbound,
        unknown=seen.unknown,
    )  # fmt: skip
    archive = Archives(entries=elsewhere, checked=archives is not None)
    if as_json:
        show_json(_as_data(checked, archive, findings, chained=vouching is not None))
    else:
        _tell(checked, archive, findings, chained=vouching is not None)
    context.exit(1 if findings else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Which logs were checked, and whose key the database itself is the only source of."""

    verifier: NoteVerifier
    logs: list[Registered]
    former: list[NoteVerifier]
    unvouched: list[str]
    #: Hand-offs of which something could not be reckoned again.
    unbound: int
    #: Co-signatures by none of the witnesses' keys that are known.
    unknown: int

    @property
    def size(self) -> int:
        """The entries of the log that was asked for."""
        return next((one.size for one in self.logs if one.origin == self.verifier.name), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archives:
    """How many entries stand in archives, and whether those were looked at."""

    entries: int
    checked: bool


def _as_data(
    found: Checked, archives: Archives, findings: list[Text], *, chained: bool
) -> dict[str, object]:
    return {
        "holds": not findings,
        "chained": chained,
        "origin": found.verifier.name,
        "size": found.size,
        "archived": archives.entries,
        "archives_checked": archives.checked,
        "unbound_handoffs": found.unbound,
        "unknown_cosignatures": found.unknown,
        "logs": [one.name for one in found.former],
        "shared_by": [
            {
                "origin": one.origin,
                "size": one.size,
                "key_from_database": one.origin in found.unvouched,
            }
            for one in found.logs
        ],
        "findings": [{"en": text.en, "zh": text.zh} for text in findings],
    }


def _tell(found: Checked, archives: Archives, findings: list[Text], *, chained: bool) -> None:
    if findings:
        say(_CHANGED.fill(count=len(findings)))
    else:
        say(_HOLDS.fill(origin=found.verifier.name, size=found.size))
        if len(found.logs) > 1:
            shown = ", ".join(f"{one.origin} ({one.size})" for one in found.logs)
            say(_SHARED.fill(count=len(found.logs), logs=shown))
    for origin in found.unvouched:
        say(_BY_ITSELF.fill(origin=origin))
    if archives.entries and not (archives.checked and findings):
        told = _ARCHIVES_HOLD if archives.checked else _ARCHIVED
        say(told.fill(count=archives.entries))
    if found.unbound:
        say(_UNBOUND.fill(count=found.unbound))
    if found.unknown:
        say(_UNKNOWN.fill(count=found.unknown))
    if not chained:
        say(_NOT_CHAINED)
    elif not findings:
        say(_CHAINED)


log.command(
    "checkpoint",
    text=Text(
        en="Print the newest signed checkpoint (a C2SP note), to be kept elsewhere.",
        zh="打印最新的签名检查点（C2SP 格式），供异地留存。",
    ),
)(checkpoint)


log.command(
    "begin-anew",
    text=Text(
        en="Go on in a new log after the database was put back from a backup, citing the old one: "
        "callers may hold receipts of what the backup does not know, and no log may have two "
        "histories. The bridge must be stopped. deploy/BACKUP.md has the whole course.",
        zh="数据库由备份恢复后，在引用旧日志的新日志中继续：调用方可能持有备份之后的回执，而同一日志不得有两份历史。"
        "须先停止网桥。完整步骤见 deploy/BACKUP.md。",
    ),
)(begin_anew)


log.command(
    "join",
    text=Text(
        en="Let the configured bridge share a PostgreSQL or MariaDB database that another bridge began: its log joins "
        "those that are there, for ever. For the first one to join, the other bridge must be stopped for "
        "that moment. Each bridge has a configuration of its own, with its own origin and log key.",
        zh="使所配置的网桥与他者共用其已建立的 PostgreSQL 或 MariaDB 数据库：其日志永久加入该库。首次有日志加入时，须暂停"
        "原有网桥。每个网桥各有自己的配置、origin 与日志密钥。",
    ),
)(join)


def _chains(url: str, logs: list[NoteVerifier], vouching: Vouching | None) -> Iterator[Text]:
    """Yield what does not hold of the chains of acts."""
    from exchange.cli.chains import broken_at
    from exchange.query.acts import ActsRoom
    from exchange.store.tree import finding

    room = ActsRoom.open(url)
    try:
        chains = room.chains()
    finally:
        room.close()
    for source, acts in chains.items():
        networks = vouching.networks if vouching is not None else None
        roots = None
        if networks is not None:
            roots = networks.roots(source) if source in networks.networks else ()
        found = broken_at(source, [line for _, line in acts], logs, roots)
        if found is not None:
            number, why = found
            yield finding("act", "leaf_index", acts[number - 1][0], why.en, why.zh)


def _given(files: tuple[Path, ...], config: Path | None) -> dict[str, NoteVerifier]:
    """Return the verifier keys that are named, by options and the configuration, by log."""
    from exchange.cli.trust import read_verifier
    from exchange.config import load_settings
    from exchange.note import LogKey

    keys = [read_verifier(file) for file in files]
    if config is not None and config.exists():
        keys.append(LogKey.load(load_settings(config, os.environ).log_key).verifier)
    return {key.name: key for key in keys}


def _others(
    logs: list[Registered], own: NoteVerifier, given: Mapping[str, NoteVerifier]
) -> tuple[dict[str, NoteVerifier], list[str]]:
    """Return the keys of the other logs by name, and of which the database itself is the source."""
    from exchange.note import NoteVerifier

    others: dict[str, NoteVerifier] = {}
    unvouched: list[str] = []
    for one in logs:
        if one.origin == own.name:
            continue
        if one.origin in given:
            others[one.origin] = given[one.origin]
        elif one.verifier:
            others[one.origin] = NoteVerifier.parse(one.verifier)
            unvouched.append(one.origin)
    return others, unvouched


def _verifier(given: tuple[Path, ...], database: str | None, config: Path) -> NoteVerifier:
    from exchange.note import LogKey

    if given:
        from exchange.cli.trust import read_verifier

        return read_verifier(given[0])
    if database is not None and not config.exists():
        raise Misused(_NO_KEY, click.get_current_context(silent=True))
    from exchange.config import load_settings

    return LogKey.load(load_settings(config, os.environ).log_key).verifier


def _further(config: Path | None) -> list[NoteVerifier]:
    """Return the keys of the bridges that relays reach: a refusal of theirs may be recorded here."""
    if config is None or not config.exists():
        return []
    from exchange.cli.trust import read_verifier
    from exchange.config import load_settings

    return [read_verifier(path) for path in load_settings(config, os.environ).further_logs]


def _witnesses(config: Path | None) -> list[WitnessKey]:
    """Return the keys of the witnesses that the bridge knows: of others nobody can say who signed."""
    if config is None or not config.exists():
        return []
    from exchange.config import load_settings
    from exchange.server.witnessing import load_witnesses

    known = load_witnesses(load_settings(config, os.environ).witnesses)
    return [key for keys in known.values() for key in keys]


def _vouching(roots: tuple[str, ...], config: Path | None) -> Vouching | None:
    """Return who vouches for signers, by the options or the bridge's configuration; None for nobody."""
    from datetime import UTC, datetime

    from exchange.cli.trust import root_files
    from exchange.trust import TrustStore

    files, registered = root_files(roots), {}
    if config is not None and config.exists():
        from exchange.config import load_settings
        from exchange.divisions import load_divisions
        from exchange.organisations import load_register

        settings = load_settings(config, os.environ)
        files = files or settings.networks
        table = load_divisions(settings.tables.divisions)
        register = load_register(settings.register, on=datetime.now(UTC).date(), table=table)
        registered = {one.code: one.network for one in register}
    return Vouching(networks=TrustStore.load(files), registered=registered) if files else None
