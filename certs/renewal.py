"""
How a holder renews: a new key here, a request out, an answer in, and the pair changes in one go.

Run it from a timer, as often as you like; every run does what is due and no more::

    STEM.key, STEM.pem         what is in use
    STEM.next.key              the key of the coming certificate
    OUTBOX/<id>.renewal        the request, signed by the key in use; carry it to the authority
    INBOX/<id>.pem             the answer; or <id>.refused, which says why not
    STEM.next.pem              the answer, checked, on its way into use
    STEM.deploy                the pair has changed and the deploy hook has not succeeded yet

Each step leaves a state that the next run goes on from, whenever the process is killed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.csr import build_request, new_key
from certs.errors import Refused, Sentence, said
from certs.files import (
    key_pem,
    read,
    read_certificates,
    read_signing_key,
    replace,
    sync_folder,
    write_new,
)
from certs.lock import locked
from certs.profiles import PROFILES, Profile
from certs.register import due_at, key_digest
from certs.rules import Finding, Trust, judge
from certs.screen import shown_time
from certs.show import kind_of
from certs.statements import Signer, state
from certs.token import SUFFIX

RENEWAL_TYPE = "application/vnd.hotline-exchange.renewal.v1"

#: Hooks reload a service; one that hangs must not keep the next run from its work.
HOOK_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Shell commands: before the pair changes, after it has, and at the end in any case."""

    pre: str | None = None
    deploy: str | None = None
    post: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One certificate in use: where its files are and where requests and answers cross."""

    stem: Path
    outbox: Path
    inbox: Path
    trust: Trust

    def beside(self, suffix: str) -> Path:
        """Return the file of the stem with *suffix*."""
        return self.stem.with_name(self.stem.name + suffix)


def renew(
    holding: Holding,
    now: datetime,
    *,
    hooks: Hooks = Hooks(),
    early: bool = False,
    dry_run: bool = False,
) -> list[Sentence]:
    """Do what is due, or with *dry_run* only say it; *early* does not wait for two thirds of life."""
    with locked(holding.stem.absolute().parent):
        if holding.beside(".next.pem").exists() or holding.beside(".deploy").exists():
            if dry_run:
                return [_WOULD_FINISH]
            return _finish(holding, hooks)
        chain, key = _in_use(holding)
        profile = _profile(holding, chain[0])
        waiting = holding.beside(".next.key")
        if waiting.exists():
            return _answered(holding, chain, profile, now, hooks, dry_run=dry_run)
        due = due_at(chain[0])
        if now < due and not early:
            when = shown_time(due)
            return [Sentence(en=f"{holding.stem}: nothing is due before {when}.",
                             zh=f"{holding.stem}：{when} 之前无需更新。")]  # fmt: skip
        if now >= chain[0].not_valid_after_utc:
            raise Refused(
                en=f"{holding.beside('.pem')} has ended: its key can ask for nothing any more. Make a new "
                "request (certs csr) and have it issued by a person (certs issue).",
                zh=f"{holding.beside('.pem')} 已到期，其密钥不能再提出申请。请重新申请（certs csr），由认证机构人员签发（certs issue）。",
            )
        if dry_run:
            return [Sentence(en=f"{holding.stem}: would make a new key and put a request into {holding.outbox}.",
                             zh=f"{holding.stem}：将生成新密钥，并把申请放入 {holding.outbox}。")]  # fmt: skip
        write_new(waiting, key_pem(new_key(profile)), private=True)
        return [_ask(holding, chain[0], key)]


def request_id(key: Signer) -> str:
    """Return by what a request and its answer are known: the beginning of its key's digest."""
    return key_digest(key.public_key())[:16]


def _in_use(holding: Holding) -> tuple[list[x509.Certificate], Signer]:
    key_path, chain_path = holding.beside(".key"), holding.beside(".pem")
    if holding.beside(SUFFIX).exists():
        raise Refused(
            en=f"The key of {holding.stem} is in a token, whose PIN a timer does not have. Make a new request "
            "in the token (certs csr --token) and have it issued (certs issue).",
            zh=f"{holding.stem} 的密钥在令牌中，定时器没有其 PIN。请在令牌中重新申请（certs csr --token），"
            "由认证机构签发（certs issue）。",
        )
    chain, key = read_certificates(chain_path), read_signing_key(key_path)
    if chain[0].public_key() != key.public_key():
        raise Refused(
            en=f"{key_path} is not the key of {chain_path}. Put back the pair that belongs together; "
            "nothing was renewed.",
            zh=f"{key_path} 与 {chain_path} 不配对。请恢复配对的文件；未作任何更新。",
        )
    return chain, key


def _profile(holding: Holding, leaf: x509.Certificate) -> Profile:
    kind = kind_of(leaf)
    for name, profile in PROFILES.items():
        if name == kind:
            return profile
    raise Refused(
        en=f"{holding.beside('.pem')} is none of the certificates that this tool renews. Renew it where "
        "it was issued.",
        zh=f"{holding.beside('.pem')} 不属于本工具可更新的证书。请在其签发处更新。",
    )


def _ask(holding: Holding, leaf: x509.Certificate, key: Signer) -> Sentence:
    """Put the request for the waiting key into the outbox, signed by the key in use."""
    waiting = read_signing_key(holding.beside(".next.key"))
    request = build_request(holding.stem.name[:64], waiting)
    statement = state(
        RENEWAL_TYPE,
        {
            "request": request.public_bytes(Encoding.PEM).decode(),
            "certificate": leaf.public_bytes(Encoding.PEM).decode(),
        },
        key,
        leaf,
    )
    path = holding.outbox / f"{request_id(waiting)}.renewal"
    if not path.exists():
        replace(path, statement.line() + b"\n")
    return Sentence(
        en=f"{holding.stem}: asked for renewal; carry {path} to the authority (certs answer) and its "
        f"answer into {holding.inbox}.",
        zh=f"{holding.stem}：已申请更新；请将 {path} 送交认证机构（certs answer），并把答复放入 {holding.inbox}。",
    )


def _answered(
    holding: Holding,
    chain: Sequence[x509.Certificate],
    profile: Profile,
    now: datetime,
    hooks: Hooks,
    *,
    dry_run: bool,
) -> list[Sentence]:
    """Take the answer into use if there is one; else see that the request is out."""
    waiting = read_signing_key(holding.beside(".next.key"))
    answer = holding.inbox / f"{request_id(waiting)}.pem"
    refusal = answer.with_suffix(".refused")
    if refusal.exists():
        why = read(refusal).decode("utf-8", "replace").strip()[:500]
        raise Refused(
            en=f"The authority refused to renew {holding.stem}: {why} Then remove {refusal} and "
            f"{holding.beside('.next.key')}, and run this again.",
            zh=f"认证机构拒绝更新 {holding.stem}：{why} 处理后请删除 {refusal} 与 {holding.beside('.next.key')} 再执行。",
        )
    if not answer.exists():
        if dry_run:
            return [
                Sentence(
                    en=f"{holding.stem}: waits for {answer}.", zh=f"{holding.stem}：等待 {answer}。"
                )
            ]
        return [_ask(holding, chain[0], read_signing_key(holding.beside(".key")))]
    new = read_certificates(answer)
    _check_answer(answer, new, waiting, chain[0], judge(new, holding.trust, profile, now))
    if dry_run:
        return [Sentence(en=f"{holding.stem}: would put {answer} into use and run the hooks.",
                         zh=f"{holding.stem}：将启用 {answer} 并执行挂钩命令。")]  # fmt: skip
    _run(holding, hooks.pre)
    replace(holding.beside(".next.pem"), read(answer))
    return _finish(holding, hooks)


def _check_answer(
    answer: Path,
    new: Sequence[x509.Certificate],
    key: Signer,
    old: x509.Certificate,
    findings: Sequence[Finding],
) -> None:
    wrong = next((one for one in findings if not one.fine), None)
    if wrong is not None:
        raise Refused(
            en=f"{answer} is not taken into use ({wrong.rule}): {wrong.what.en} The old certificate "
            "stays. Ask the authority for a right answer.",
            zh=f"{answer} 未予启用（{wrong.rule}）：{wrong.what.zh}原证书继续使用。请向认证机构索取正确的答复。",
        )
    same_name = _names(new[0]) == _names(old)
    if new[0].public_key() != key.public_key() or not same_name:
        raise Refused(
            en=f"{answer} is not taken into use: it is for another key or another name. The old "
            "certificate stays. Ask the authority for the answer to this request.",
            zh=f"{answer} 未予启用：密钥或名称不符。原证书继续使用。请向认证机构索取对应本申请的答复。",
        )


def _finish(holding: Holding, hooks: Hooks) -> list[Sentence]:
    """Change the pair, or go on with a change that was interrupted; then run the hooks."""
    key, chain = holding.beside(".key"), holding.beside(".pem")
    next_key, next_chain = holding.beside(".next.key"), holding.beside(".next.pem")
    marker, folder = holding.beside(".deploy"), holding.stem.absolute().parent
    try:
        if next_chain.exists():
            identity = read_certificates(next_chain)[0].public_key()
            replace(marker, key_digest(identity)[:16].encode() + b"\n")
            if next_key.exists():
                next_key.rename(key)
            next_chain.rename(chain)
            sync_folder(folder)
        request = read(marker).decode().strip()
        try:
            _run(holding, hooks.deploy)
            (holding.outbox / f"{request}.renewal").unlink(missing_ok=True)
            (holding.inbox / f"{request}.pem").unlink(missing_ok=True)
            marker.unlink()
        finally:
            _run(holding, hooks.post)
    except OSError as error:
        raise Refused(
            en=f"The change to the new certificate stopped: {said(error).en}. Mend that and run the "
            "command again; it goes on from here.",
            zh=f"启用新证书时中断：{said(error).zh}。请排除后重新执行，将从此处继续。",
        ) from error
    until = shown_time(read_certificates(chain)[0].not_valid_after_utc)
    return [Sentence(en=f"{holding.stem}: renewed, valid until {until}.",
                     zh=f"{holding.stem}：已更新，有效期至 {until}。")]  # fmt: skip


def _run(holding: Holding, command: str | None) -> None:
    """Run a hook; raises `Refused` when it fails."""
    if command is None:
        return
    known = {"CERTS_KEY": str(holding.beside(".key")), "CERTS_CHAIN": str(holding.beside(".pem"))}
    try:
        code = subprocess.run(
            ["sh", "-c", command], env={**os.environ, **known}, timeout=HOOK_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        code = -1
    if code != 0:
        ended = f"ended with {code}" if code >= 0 else "did not end"
        raise Refused(
            en=f"The hook {command!r} {ended}. Mend it and run this again; it goes on from here.",
            zh=f"挂钩命令 {command!r} 失败（{code}）。请修正后重新执行，将从此处继续。",
        )


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


_WOULD_FINISH = Sentence(
    en="A renewal was interrupted; this would finish it and run the deploy hook.",
    zh="上次更新被中断；将继续完成并执行 deploy 挂钩。",
)
