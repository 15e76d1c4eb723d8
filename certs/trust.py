"""
Whom we trust: a folder with the other networks' bundles, each confirmed by two people.

In the folder, for every network::

    NETWORK.pem        its roots: what a bridge and a receipt's reader go by
    NETWORK.crl.pem    its revocation lists
    NETWORK.vkeys      the verifier keys of its logs and witnesses, one a line, if it has any
    NETWORK.bundle     the bundle in force
    NETWORK.pending    the bundle that waits for its confirmations, and who gave one

Nothing is ever pooled into one file.  An import changes nothing until two named persons have each
typed the fingerprint as the other side read it out; the tool does not show it to them.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import crl, pem
from certs.bundle import Bundle, parse_bundle, read_bundle, typed_groups
from certs.crl import CheckedList, crl_pem
from certs.errors import Refused, Sentence
from certs.files import read, replace, sync_folder
from certs.lock import locked
from certs.office import Office
from certs.register import key_digest
from certs.screen import shown_time
from certs.show import fingerprint

CONFIRMATIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A bundle that was imported and does not count yet."""

    bundle: Bundle
    persons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What the folder holds of one network."""

    network: str
    bundle: Bundle | None
    pending: Pending | None


def networks(folder: Path) -> list[str]:
    """Return the networks that *folder* knows of, trusted or waiting."""
    found = {one.stem for pattern in ("*.bundle", "*.pending") for one in folder.glob(pattern)}
    return sorted(found)


def trusted(folder: Path, network: str, now: datetime) -> Trusted:
    """Return what *folder* holds of *network*; raises `Refused` when a file there is damaged."""
    in_force, waiting = folder / f"{network}.bundle", folder / f"{network}.pending"
    bundle = None
    if in_force.exists():
        try:
            bundle = parse_bundle(str(in_force), read(in_force), now, past=True)
        except Refused as refused:
            why = refused.sentence
            raise Refused(
                en=f"What is in force for {network} is damaged. {why.en} Move {in_force} away and import the "
                "network's bundle again; two persons confirm it anew.",
                zh=f"{network} 的现行信任包已损坏。{why.zh}请移走 {in_force}，重新导入该网络的信任包，由两人重新确认。",
            ) from refused
    return Trusted(network=network, bundle=bundle, pending=_pending(waiting, now))


def import_bundle(office: Office, folder: Path, path: Path) -> tuple[Bundle, list[Sentence]]:
    """
    Lay the bundle in *path* up until it is confirmed; return it and what it would change.

    Raises `Refused` when it is older than the one in force, or no good at all.
    """
    bundle = read_bundle(path, office.now)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        changes = compare(folder, bundle, office.now)
        now_held = trusted(folder, bundle.network, office.now)
        same = [one.bundle.digest for one in (now_held, now_held.pending) if one and one.bundle]
        if bundle.digest not in same:
            office.record("trust-import", _facts(bundle))
            _write_pending(folder, Pending(bundle=bundle, persons=()))
    return bundle, changes


def confirm(office: Office, folder: Path, network: str, person: str, typed: str) -> Pending:
    """
    Take *person*'s confirmation that the fingerprint *typed* is what the other side read out.

    With the second person's, the bundle comes into force.  Raises `Refused`.
    """
    with locked(folder):
        pending = _pending(folder / f"{network}.pending", office.now)
        if pending is None:
            raise Refused(
                en=f"No bundle of {network} waits for confirmation in {folder}. Import one first: certs "
                "trust import",
                zh=f"{folder} 中没有待确认的 {network} 信任包。请先导入：certs trust import",
            )
        if len(pending.persons) < CONFIRMATIONS:
            pending = _confirmed(office, folder, pending, person, typed)
        # Also when both had confirmed and the process was then killed.
        if len(pending.persons) >= CONFIRMATIONS:
            _install(folder, pending.bundle, office.now)
        return pending


def compare(folder: Path, new: Bundle, now: datetime) -> list[Sentence]:
    """Return what would change if *new* came into force; raises `Refused` when it must not."""
    _check_owner(folder, new, now)
    old = trusted(folder, new.network, now).bundle
    if old is None:
        first = Sentence(
            en=f"{new.network} is not trusted yet; this would be its first bundle (number {new.number}).",
            zh=f"尚未信任 {new.network}；这将是其首个信任包（第 {new.number} 号）。",
        )
        return [first, *_differences((), new.roots, (), new.verifiers), *_lists(new.lists)]
    if new.number < old.number or (new.number == old.number and new.digest != old.digest):
        raise Refused(
            en=f"This is bundle {new.number} of {new.network}, but bundle {old.number} is in force: "
            "numbers never go back. Ask the network for its newest bundle, and how this came about.",
            zh=f"这是 {new.network} 的第 {new.number} 号信任包，而现行为第 {old.number} 号，编号不得倒退。"
            "请向该网络索取最新信任包，并问明缘由。",
        )
    if new.digest == old.digest:
        return [Sentence(en=f"Bundle {old.number} of {new.network} is in force already; nothing would "
                         "change.", zh=f"{new.network} 的第 {old.number} 号信任包已生效，无任何变化。")]  # fmt: skip
    said = [
        Sentence(
            en=f"number: {old.number} -> {new.number}", zh=f"编号：{old.number} → {new.number}"
        )
    ]
    if not new.vouched_by(old.roots):
        said.append(Sentence(
            en="WARNING: no root that is trusted now vouches for this bundle. Unless the network has "
            "announced that it lost its root, this is an attack.",
            zh="警告：现受信任的根证书均不能为该信任包作证。除非该网络已宣布根密钥丢失，否则即为攻击。",
        ))  # fmt: skip
    said += _differences(old.roots, new.roots, old.verifiers, new.verifiers)
    still = (*new.issuing, *new.roots)
    crl.succeed("The bundle", new.lists, [one for one in old.lists if one.issuer in still])
    return said + _lists(new.lists)


def installed_lists(folder: Path, network: str, now: datetime) -> list[CheckedList]:
    """Return the lists of *network* in force, ended or not; or refuse."""
    bundle, path = trusted(folder, network, now).bundle, folder / f"{network}.crl.pem"
    if bundle is None or not path.exists():
        return []
    issuers = (*bundle.issuing, *bundle.roots)
    try:
        return [
            checked
            for one in pem.crls(str(path), read(path))
            for checked in crl.check(str(path), [one], issuers, one.last_update_utc)
        ]
    except Refused as refused:
        why = refused.sentence
        raise Refused(
            en=f"The list in force for {network} is damaged. {why.en} Move {path} away and import the newest "
            "list at once: certs crl import",
            zh=f"{network} 的现行吊销列表已损坏。{why.zh}请移走 {path}，并立即导入最新列表：certs crl import",
        ) from refused


def import_lists(folder: Path, network: str, path: Path, now: datetime) -> list[CheckedList]:
    """
    Put the lists in *path* in force for *network*; return them.

    They need no confirmation: each must be signed by an authority of the network that is trusted
    already, be current, and be no older than the one in force.  Raises `Refused`.
    """
    with locked(folder):
        bundle = trusted(folder, network, now).bundle
        if bundle is None:
            raise Refused(
                en=f"{network} is not trusted in {folder}, so nobody can say who signs its lists. Import "
                "its bundle first: certs trust import",
                zh=f"{folder} 中尚未信任 {network}，无从核对其吊销列表的签名。请先导入其信任包：certs trust import",
            )
        issuers = (*bundle.issuing, *bundle.roots)
        offered = crl.known(pem.crls(str(path), read(path)), issuers)
        new = crl.check(str(path), offered, issuers, now)
        before = installed_lists(folder, network, now)
        alive = [one for one in before if now < one.issuer.not_valid_after_utc]
        crl.succeed(str(path), new, alive)
        replace(folder / f"{network}.crl.pem", _lists_file(bundle, new))
        return new


def _confirmed(office: Office, folder: Path, pending: Pending, person: str, typed: str) -> Pending:
    name = " ".join(unicodedata.normalize("NFKC", person).split())
    if not name:
        raise Refused(
            en="A confirmation needs the name of who gives it. Give --person.",
            zh="确认须载明确认人姓名。请给出 --person。",
        )
    if name.casefold() in (one.casefold() for one in pending.persons):
        raise Refused(
            en=f"{name} has confirmed this bundle already; the second confirmation must come from "
            "another person, who compares the fingerprint anew.",
            zh=f"{name} 已确认过该信任包；第二次确认须由另一人重新核对指纹后作出。",
        )
    bundle = pending.bundle
    if typed_groups(typed) != bundle.fingerprint:
        raise Refused(
            en=f"That is not the fingerprint of the imported bundle {bundle.number} of {bundle.network}. "
            "Have it read out once more; if it differs again, the file was exchanged on its way: do not "
            "confirm, and tell the other side.",
            zh=f"该指纹与已导入的 {bundle.network} 第 {bundle.number} 号信任包不符。请对方重读一遍；若仍不符，"
            "说明文件在途中被调换：不要确认，并立即告知对方。",
        )
    office.record("trust-confirm", {**_facts(bundle), "person": name})
    made = Pending(bundle=bundle, persons=(*pending.persons, name))
    _write_pending(folder, made)
    return made


def _install(folder: Path, bundle: Bundle, now: datetime) -> None:
    """Bring *bundle* into force; its lists first, so that no root is trusted without them."""
    stem, lists = bundle.network, list(bundle.lists)
    kept = {one.issuer: one for one in installed_lists(folder, stem, now)}
    newest = [
        old if (old := kept.get(one.issuer)) is not None and old.number > one.number else one
        for one in lists
    ]
    replace(folder / f"{stem}.crl.pem", _lists_file(bundle, newest))
    replace(
        folder / f"{stem}.pem", b"".join(one.public_bytes(Encoding.PEM) for one in bundle.roots)
    )
    if bundle.verifiers:
        replace(folder / f"{stem}.vkeys", "".join(f"{one}\n" for one in bundle.verifiers).encode())
    else:
        (folder / f"{stem}.vkeys").unlink(missing_ok=True)
    replace(folder / f"{stem}.bundle", bundle.statement.line() + b"\n")
    (folder / f"{stem}.pending").unlink()
    sync_folder(folder)


def _lists_file(bundle: Bundle, lists: Sequence[CheckedList]) -> bytes:
    return crl_pem((one.crl for one in lists), bundle.issuing)


def _facts(bundle: Bundle) -> dict[str, object]:
    return {
        "network_of": bundle.network, "bundle_number": bundle.number, "bundle": bundle.digest,
    }  # fmt: skip


def _write_pending(folder: Path, pending: Pending) -> None:
    said = {"bundle": pending.bundle.statement.line().decode(), "persons": pending.persons}
    path = folder / f"{pending.bundle.network}.pending"
    replace(path, json.dumps(said, ensure_ascii=False).encode() + b"\n")


def _pending(path: Path, now: datetime) -> Pending | None:
    if not path.exists():
        return None
    try:
        said = json.loads(read(path))
        line, persons = str(said["bundle"]).encode(), tuple(map(str, said["persons"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            en=f"{path} is damaged. Import the bundle again: certs trust import",
            zh=f"{path} 已损坏。请重新导入信任包：certs trust import",
        ) from error
    return Pending(bundle=parse_bundle(str(path), line, now, past=True), persons=persons)


def _check_owner(folder: Path, new: Bundle, now: datetime) -> None:
    """Refuse a root whose key vouches for another network already."""
    mine = {key_digest(root.public_key()) for root in new.roots}
    for network in networks(folder):
        other = trusted(folder, network, now).bundle
        if network == new.network or other is None:
            continue
        if mine & {key_digest(root.public_key()) for root in other.roots}:
            raise Refused(
                en=f"A root of this bundle is also trusted for {network}; one authority must not vouch "
                "for two networks. Ask both networks.",
                zh=f"该信任包中的根证书同时被 {network} 信任；一个机构不得为两个网络担保。请向双方核实。",
            )


def _differences(
    old_roots: Sequence[x509.Certificate],
    new_roots: Sequence[x509.Certificate],
    old_keys: Sequence[str],
    new_keys: Sequence[str],
) -> list[Sentence]:
    said = []
    for sign, roots in (
        ("+", [one for one in new_roots if one not in old_roots]),
        ("-", [one for one in old_roots if one not in new_roots]),
        ("=", [one for one in old_roots if one in new_roots]),
    ):
        for root in roots:
            until = shown_time(root.not_valid_after_utc)
            said.append(Sentence(en=f"{sign} root {fingerprint(root)}, until {until}",
                                 zh=f"{sign} 根证书 {fingerprint(root)}，至 {until}"))  # fmt: skip
    for sign, keys in (("+", set(new_keys) - set(old_keys)), ("-", set(old_keys) - set(new_keys))):
        said += [
            Sentence(en=f"{sign} verifier key {one}", zh=f"{sign} 验证公钥 {one}")
            for one in sorted(keys)
        ]
    return said


def _lists(lists: Sequence[CheckedList]) -> list[Sentence]:
    return [
        Sentence(
            en=f"revocation list {one.number}: {len(one.crl)} revoked, until {shown_time(one.until)}",
            zh=f"第 {one.number} 号吊销列表：吊销 {len(one.crl)} 份，至 {shown_time(one.until)}",
        )
        for one in lists
    ]
