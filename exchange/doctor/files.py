"""Probes of keys, certificates and trust as files."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from certs.errors import Refused
from certs.files import read_certificates
from certs.screen import shown_time
from exchange.certificates import GATEWAY, SIGNER, Purpose, RuleBroken, verify
from exchange.doctor.findings import Finding, Status, failed, fine, wrong
from exchange.envelope import read_private_file
from exchange.errors import ExchangeError
from exchange.text import Text
from exchange.trust import TrustStore

if TYPE_CHECKING:
    from exchange.client import GatewayFiles

#: A certificate that ends within this time is to be renewed now.
SOON = timedelta(days=14)

_RENEW = Text(
    en="Ask your network's authority for a new one: exchange certs csr, then exchange certs issue",
    zh="请向本网络认证机构申请新证书：exchange certs csr，再 exchange certs issue",
)
_MISMATCH = Text(
    en="The certificate was issued for another key, or one of the two is not a PEM file of its kind.",
    zh="该证书是为另一把密钥签发的，或其中之一不是相应的 PEM 文件。",
)
_TOKEN_MEND = Text(
    en="Name the .token file that the request was made with, or have the certificate issued anew.",
    zh="请使用申请证书时生成的 .token 文件，或重新签发证书。",
)
_SET_CLOCK = Text(
    en="Set this machine's clock right: timedatectl set-ntp true (or date -s); then look again.",
    zh="请校准本机时钟：timedatectl set-ntp true（或 date -s），再重新诊断。",
)


def private_keys(keys: Sequence[Path]) -> Iterator[Finding]:
    """Look whether each key can be read by us, and by nobody else."""
    for key in keys:
        try:
            read_private_file(key)
        except ExchangeError as error:
            yield failed("key", Text(en=f"Key {key}", zh=f"密钥 {key}"), error)
        else:
            yield fine("key", f"Key {key} is private", f"密钥 {key} 权限正确")


def pair(name: str, key: Path, chain: Path) -> Iterator[Finding]:
    """Look whether *key* is the key of the first certificate in *chain*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(chain, key)
    except ssl.SSLError:
        yield wrong(
            "pair",
            Text(en=f"{name}: {key} and {chain} do not belong together",
                 zh=f"{name}：{key} 与 {chain} 不匹配"),
            _MISMATCH,
            Text(en="Name the key that the request was made with, or have the certificate issued anew.",
                 zh="请使用申请证书时的密钥，或重新签发证书。"),
        )  # fmt: skip
    else:
        yield fine("pair", f"{name}: key and certificate fit", f"{name}：密钥与证书匹配")


def token(gateway: GatewayFiles) -> Iterator[Finding]:
    """Look whether the token opens, and its key is that of the gateway's certificate."""
    # Late: a library of the wrong version must not keep the doctor from saying so.
    from exchange.client.token import token_fits  # noqa: PLC0415

    key, chain = gateway.gateway_key, gateway.gateway_chain
    name = Text(en=f"The token that {key} names", zh=f"{key} 所指令牌")
    try:
        fitting = token_fits(key, chain, gateway.gateway_pin)
    except ExchangeError as error:
        yield failed("pair", name, error)
        return
    if fitting:
        yield fine(
            "pair",
            "gateway: the token's key and the certificate fit",
            "网关：令牌中的密钥与证书匹配",
        )
    else:
        yield wrong("pair", name, _MISMATCH, _TOKEN_MEND)


def validity(certificates: Mapping[Text, Path], now: datetime) -> Iterator[Finding]:
    """Look at the dates of every certificate in the files, by what each is for."""
    for name, path in certificates.items():
        try:
            found = read_certificates(path)
        except Refused as refused:
            sentence = refused.sentence
            cause = Text(en=sentence.en, zh=sentence.zh)
            yield wrong("certificate", name, cause, _RENEW)
            continue
        begins = max(one.not_valid_before_utc for one in found)
        ends = min(one.not_valid_after_utc for one in found)
        yield _dated(name, path, (begins, ends), now)


def _dated(name: Text, path: Path, dates: tuple[datetime, datetime], now: datetime) -> Finding:
    begins, ends = dates
    until = shown_time(ends)
    if now > ends:
        return wrong(
            "certificate",
            Text(en=f"{name.en} has expired: {path}", zh=f"{name.zh}已过期：{path}"),
            Text(en=f"It, or an issuer's in the file, was valid until {until}.",
                 zh=f"该证书或文件中的签发者证书有效期至 {until}。"),
            _RENEW,
        )  # fmt: skip
    if now < begins:
        since = shown_time(begins)
        return wrong(
            "clock",
            Text(en=f"{name.en} is not valid yet: {path}", zh=f"{name.zh}尚未生效：{path}"),
            Text(en=f"It is valid from {since}; this machine's clock says "
                 f"{shown_time(now)}, and is probably behind.",
                 zh=f"其自 {since} 生效，而本机时钟为 {shown_time(now)}，很可能偏慢。"),
            _SET_CLOCK,
        )  # fmt: skip
    if ends - now < SOON:
        days = (ends - now).days
        return wrong(
            "certificate",
            Text(
                en=f"{name.en} ends in {days} days: {path}",
                zh=f"{name.zh}将在 {days} 天后到期：{path}",
            ),
            Text(en=f"It is valid until {until}.", zh=f"有效期至 {until}。"),
            _RENEW,
            Status.WARN,
        )
    return fine("certificate", f"{name.en} is valid until {until}", f"{name.zh}有效期至 {until}")


def trusted(networks: Mapping[str, Path]) -> Iterator[Finding]:
    """Look at the networks' roots."""
    try:
        TrustStore.load(networks)
    except ExchangeError as error:
        yield failed("trust", Text(en="The networks' roots", zh="各网络根证书"), error)
    else:
        names = ", ".join(networks)
        yield fine("trust", f"Trusted networks: {names}", f"受信任的网络：{names}")


def identity(
    chain: Path, networks: Mapping[str, Path], organisation: str, now: datetime, *, signer: bool
) -> Iterator[Finding]:
    """Look whether a leaf is what a bridge will ask of it: name, usage, its own network's root."""
    probe, purpose = ("signer", SIGNER) if signer else ("gateway", GATEWAY)
    name = Text(en=f"The {probe}'s certificate", zh="签名证书" if signer else "网关证书")
    try:
        found = read_certificates(chain)
        trust = TrustStore.load(networks)
    except Refused as refused:
        cause = Text(en=refused.sentence.en, zh=refused.sentence.zh)
        yield wrong(probe, name, cause, _RENEW)
        return
    yield from _identified(probe, name, verify_as(found, trust, purpose, now), organisation)


def verify_as(
    found: Sequence[object], trust: TrustStore, purpose: Purpose, now: datetime
) -> Mapping[str, str] | RuleBroken:
    """Return the parts of the leaf's name, or the rule it breaks."""
    try:
        return verify(found, trust, purpose, now).name  # type: ignore[arg-type]
    except RuleBroken as broken:
        return broken


def _identified(
    probe: str, name: Text, found: Mapping[str, str] | RuleBroken, organisation: str
) -> Iterator[Finding]:
    if isinstance(found, RuleBroken):
        yield wrong(probe, name, found.text, _RENEW)
    elif found["organisation"] != organisation:
        yield wrong(
            probe,
            name,
            Text(en=f"It speaks for {found['organisation']}, the configuration says {organisation}.",
                 zh=f"该证书代表 {found['organisation']}，而配置为 {organisation}。"),
            Text(en="Correct 'organisation', or name the right files.",
                 zh="请更正 organisation 配置或所用文件。"),
        )  # fmt: skip
    else:
        yield fine(
            probe,
            f"{name.en} speaks for {organisation} of {found['network']}",
            f"{name.zh}代表 {found['network']} 的 {organisation}",
        )
