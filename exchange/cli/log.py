"""``exchange log``: everything stored, checked against the signed log."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.anew import begin_anew
from exchange.cli.gateway import config_option
from exchange.cli.grammar import Misused, group, json_option, language, option, say
from exchange.cli.root import telling
from exchange.cli.screen import show_json
from exchange.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from exchange.envelope import Signature, VerifyingKey
    from exchange.note import NoteVerifier
    from exchange.query.evidence import EvidenceRoom
    from exchange.store import Content
    from exchange.submission import Statement
    from exchange.ticket import Message
    from exchange.trust import TrustStore

log = group(
    "log",
    en="The bridge's append-only log (RFC 9162), and all that must agree with it.",
    zh="网桥的只增日志（RFC 9162）及须与之一致的全部存储。",
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
_ARCHIVES_HOLD = Text(
    en="The archives hold, too: {count} entries.", zh="归档内容亦成立：{count} 条。"
)
_NO_KEY = Text(
    en="Which log? Name its verifier key with --log FILE.vkey, or the bridge's configuration.",
    zh="请用 --log 文件.vkey 给出日志验证公钥，或指明网桥配置。",
)
_database_option = option(
    "--database", metavar="URL", en="This database; else the configured one.",
    zh="数据库 URL；默认取配置。",
)  # fmt: skip


@log.command(
    "verify",
    text=Text(
        en="Check everything: every checkpoint, leaf, message, receipt, refusal, certificate and "
        "state, and that its network's root vouched for each signer when it was recorded. Each row "
        "at fault is named. Exit: 0 everything holds, 1 something does not.",
        zh="核验全部：检查点、日志条目、消息、回执、拒绝、证书与状态，以及各签名者在收录时是否由其网络根证书"
        "担保；逐行指出问题。退出码：0 全部成立，1 有不成立之处。",
    ),
)
@option(
    "--log", "verifier_file", type=click.Path(path_type=Path), metavar="FILE.vkey",
    en="The log's verifier key; else that of the configured log key.",
    zh="日志验证公钥；默认取配置中的日志密钥。",
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
@_database_option
@config_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    verifier_file: Path | None,
    roots: tuple[str, ...],
    archives: Path | None,
    database: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """Check everything that is stored."""
    from exchange.cli.tickets import database_of
    from exchange.query.evidence import EvidenceRoom
    from exchange.store.archived import archived_entries, check_archives
    from exchange.store.audit import audit
    from exchange.store.engines import connect
    from exchange.store.renewal import verifiers

    verifier = _verifier(verifier_file, database, config)
    # The configuration speaks for its own database, not for any that is named beside it.
    configured = database is None or verifier_file is None
    vouching = _vouching(roots, config if configured else None)
    url = database_of(database, config)
    findings: list[Text] = []

    def progress() -> Text:
        return Text(
            en="Interrupted: not everything was checked; {count} findings so far. Nothing is ever "
            "changed by checking.",
            zh="已中断：尚未全部核验，至此发现 {count} 处。核验不作任何改动。",
        ).fill(count=len(findings))

    room, engines = EvidenceRoom.open(url), connect(url)
    try:
        with telling(progress):
            logs = verifiers(engines, verifier)
            reader = Signatures(room, verifier, vouching, logs)
            walks = [audit(engines, verifier, reader)]
            if archives is not None:
                walks.append(check_archives(engines, archives, reader))
            for found in chain.from_iterable(walks):
                findings.append(found)
                if not as_json:
                    click.echo(f"✗ {found.say(language())}")
        size, elsewhere = room.size(), archived_entries(engines)
    finally:
        room.close()
        engines.close()
    if as_json:
        show_json(
            {
                "holds": not findings,
                "chained": vouching is not None,
                "origin": verifier.name,
                "size": size,
                "archived": elsewhere,
                "archives_checked": archives is not None,
                "logs": [one.name for one in logs],
                "findings": [{"en": text.en, "zh": text.zh} for text in findings],
            }
        )
    elif findings:
        say(_CHANGED.fill(count=len(findings)))
    else:
        say(_HOLDS.fill(origin=verifier.name, size=size))
    if not as_json and elsewhere:
        told = _ARCHIVED if archives is None else _ARCHIVES_HOLD
        if archives is None or not findings:
            say(told.fill(count=elsewhere))
    if not as_json and vouching is None:
        say(_NOT_CHAINED)
    elif not as_json and not findings:
        say(_CHAINED)
    context.exit(1 if findings else 0)


@log.command(
    "checkpoint",
    text=Text(
        en="Print the newest signed checkpoint (a C2SP note), to be kept elsewhere.",
        zh="打印最新的签名检查点（C2SP 格式），供异地留存。",
    ),
)
@_database_option
@config_option
def checkpoint(*, database: str | None, config: Path) -> None:
    """Print the newest checkpoint."""
    from exchange.cli.tickets import database_of
    from exchange.query.evidence import EvidenceRoom

    room = EvidenceRoom.open(database_of(database, config))
    try:
        note = room.checkpoint()
    finally:
        room.close()
    click.echo(note.decode(), nl=False)


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


def _verifier(given: Path | None, database: str | None, config: Path) -> NoteVerifier:
    import os

    from exchange.note import LogKey

    if given is not None:
        from exchange.cli.trust import read_verifier

        return read_verifier(given)
    if database is not None and not config.exists():
        raise Misused(_NO_KEY, click.get_current_context(silent=True))
    from exchange.config import load_settings

    return LogKey.load(load_settings(config, os.environ).log_key).verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouching:
    """Who vouches for signers: each network's roots; *registered*, the network of each organisation."""

    networks: TrustStore
    registered: Mapping[str, str] = field(default_factory=dict)


def _vouching(roots: tuple[str, ...], config: Path | None) -> Vouching | None:
    """Return who vouches for signers, by the options or the bridge's configuration; None for nobody."""
    import os
    from datetime import UTC, datetime

    from exchange.cli.trust import root_files
    from exchange.trust import TrustStore

    files, registered = root_files(roots), {}
    if config is not None and config.exists():
        from exchange.config import load_settings
        from exchange.organisations import load_register

        settings = load_settings(config, os.environ)
        files = files or settings.networks
        register = load_register(settings.register, on=datetime.now(UTC).date())
        registered = {one.code: one.network for one in register}
    return Vouching(networks=TrustStore.load(files), registered=registered) if files else None


class Signatures:
    """
    Takes what is stored apart and checks who signed it (an `exchange.store.standing.Reader`).

    A signer's certificate must be the organisation's that speaks.  With *vouching*, a root of the
    network it names must have vouched for it when the row was recorded.  The bridge itself signs
    checkpoints and refusals with its log key, which has no certificate: that key is *log_key*, or
    that of one of the *former* logs that it goes on from.
    """

    def __init__(
        self,
        room: EvidenceRoom,
        log_key: NoteVerifier,
        vouching: Vouching | None = None,
        former: Iterable[NoteVerifier] = (),
    ) -> None:
        from exchange.envelope import Verifier

        self._room = room
        self._logs = {log.name: log.key for log in (*former, log_key)}
        self._vouching = vouching
        self._keys: dict[bytes, tuple[VerifyingKey, str, tuple[bytes, ...]]] = {}
        self._verifier = Verifier()

    def message(self, envelope: bytes, at: datetime | None) -> Message:
        """Return the message in *envelope*, recorded *at*; raises `VerificationError`."""
        from exchange.envelope import MESSAGE_TYPE
        from exchange.errors import VerificationError
        from exchange.wire.headers import read_envelope

        received = read_envelope(envelope)
        message, signature = received.message, received.signature
        if message is None or signature is None:
            text = received.refusal.text if received.refusal else _UNSIGNED
            raise VerificationError(text)
        self._check(MESSAGE_TYPE, message.header, signature, message.author)
        self._vouch(signature.key_id, message.author, at)
        return message

    def statement(
        self, kind: Content, statement: bytes, signature: bytes, at: datetime | None
    ) -> Statement:
        """Return what *statement* says; raises `VerificationError` or `InvalidRequest`."""
        from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE
        from exchange.store import Content
        from exchange.wire.receipt_files import signed_statement

        written = kind is Content.WRITTEN
        said = signed_statement("written" if written else "refused", statement, signature)
        payload_type = WRITTEN_TYPE if written else REFUSED_TYPE
        self._check(payload_type, said.statement, said.signature, said.organisation)
        if written or said.organisation not in self._logs:
            self._vouch(said.signature.key_id, said.organisation, at)
        return said

    def _check(self, kind: str, payload: bytes, signature: Signature, organisation: str) -> None:
        from exchange.envelope import ED25519, P256_SHA256, REFUSED_TYPE
        from exchange.errors import VerificationError

        if kind == REFUSED_TYPE and organisation in self._logs:
            key, allowed = self._logs[organisation], {ED25519}
        else:
            key, owner, _ = self._signer(signature.key_id)
            allowed = {P256_SHA256}
            if owner != organisation:
                raise VerificationError(_NOT_OWNER.fill(owner=owner, organisation=organisation))
        self._verifier.verify(kind, payload, signature, key, allowed=allowed)

    def _vouch(self, key_id: bytes, organisation: str, at: datetime | None) -> None:
        """Raise unless the signer's network vouched for its certificate *at* that time."""
        from exchange.errors import VerificationError
        from exchange.identity import verify_signer

        if self._vouching is None or at is None:
            return
        facts = {
            "key": key_id.hex(),
            "organisation": organisation,
            "time": f"{at:%Y-%m-%d %H:%M:%S}",
        }
        try:
            signer = verify_signer(self._signer(key_id)[2], self._vouching.networks, at)
        except VerificationError as broken:
            why = broken.text
            text = Text(en=f"{_CERTIFICATE.en}: {why.en}", zh=f"{_CERTIFICATE.zh}：{why.zh}")
            raise VerificationError(text.fill(**facts)) from broken
        network = self._vouching.registered.get(organisation, signer.network)
        if network != signer.network:
            text = Text(
                en=f"{_CERTIFICATE.en}: the authority of {signer.network} issued it, and the "
                f"organisation is registered in {network}.",
                zh=f"{_CERTIFICATE.zh}：由 {signer.network} 签发，而该机构登记于 {network}。",
            )
            raise VerificationError(text.fill(**facts))

    def _signer(self, key_id: bytes) -> tuple[VerifyingKey, str, tuple[bytes, ...]]:
        from exchange.certificates import RuleBroken, read_der, signer_organisation
        from exchange.envelope import VerifyingKey
        from exchange.errors import VerificationError

        if key_id not in self._keys:
            try:
                chain = self._room.certificate(key_id)
                leaf = read_der(chain)[0]
                owner = signer_organisation(leaf)
            except RuleBroken as broken:
                raise VerificationError(broken.text) from broken
            self._keys[key_id] = VerifyingKey.from_certificate(leaf), owner, chain
        return self._keys[key_id]


_UNSIGNED = Text(en="The message carries no signature.", zh="消息没有签名。")
_CERTIFICATE = Text(
    en="the certificate {key} of {organisation}, as of {time} UTC",
    zh="{organisation} 的证书 {key}（按 {time} UTC）",
)
_NOT_OWNER = Text(
    en="The certificate is {owner}'s, not {organisation}'s.",
    zh="证书属于 {owner}，而非 {organisation}。",
)
