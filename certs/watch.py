"""How everything with an end stands: fine, due, or broken; for people, programs and Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path

from cryptography import x509

from certs import pem, trust
from certs.crl import CheckedList
from certs.errors import Refused, Sentence
from certs.files import read, read_certificates, read_signing_key
from certs.journal import Journal, read_journal
from certs.register import Register, State, due_at
from certs.revocation import lists_path
from certs.rules import issued
from certs.screen import shown_time
from certs.show import kind_of


class Standing(IntEnum):
    """How one thing stands; the worst is the exit code."""

    FINE = 0
    DUE = 1
    BROKEN = 2


#: A root goes to every peer and is confirmed there before anything is issued under it, and an
#: issuing certificate lives two years.
ROOT_AHEAD = timedelta(days=3 * 365)
#: The longest profile lives a year; with less than that left, the authority can issue no full one.
ISSUING_AHEAD = timedelta(days=395)
#: For how long an expired certificate that nobody renewed is still worth a word.
MOURNED = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One thing that is watched: what kind, which, until when, and what to do."""

    kind: str
    name: str
    standing: Standing
    what: Sentence
    until: datetime | None = None


def watch(
    files: Iterable[Path],
    now: datetime,
    *,
    folder: Path | None = None,
    authority: Path | None = None,
) -> list[Watched]:
    """Look at certificate *files*, a trust *folder* and an *authority*; never raises `Refused`."""
    lists = _lists_in_force(folder, now) if folder is not None else []
    found = [_certificate(path, now, lists) for path in files]
    if folder is not None:
        found += _trust(folder, now)
    if authority is not None:
        found += _authority(authority, now)
    return found


def exposition(found: Sequence[Watched]) -> str:
    """Return *found* in Prometheus's text format (0.0.4)."""
    lines = [
        "# HELP certs_standing 0 fine, 1 due, 2 broken.",
        "# TYPE certs_standing gauge",
    ]
    lines += [f"certs_standing{_labels(one)} {int(one.standing)}" for one in found]
    lines += [
        "# HELP certs_until_seconds When it ends, as Unix time.",
        "# TYPE certs_until_seconds gauge",
    ]
    lines += [
        f"certs_until_seconds{_labels(one)} {int(one.until.timestamp())}"
        for one in found
        if one.until is not None
    ]
    return "\n".join(lines) + "\n"


def _labels(one: Watched) -> str:
    name = one.name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{{kind="{one.kind}",name="{name}"}}'


def _broken(kind: str, name: str, refused: Refused) -> Watched:
    return Watched(kind=kind, name=name, standing=Standing.BROKEN, what=refused.sentence)


def _lists_in_force(folder: Path, now: datetime) -> list[CheckedList]:
    """Return every list that can be read; which one cannot, `_trust` says."""
    found: list[CheckedList] = []
    for network in trust.networks(folder):
        try:
            found += trust.installed_lists(folder, network, now)
        except Refused:
            continue
    return found


def _certificate(path: Path, now: datetime, lists: Sequence[CheckedList]) -> Watched:
    try:
        chain = read_certificates(path)
        _check_pair(path, chain[0])
    except Refused as refused:
        return _broken("certificate", str(path), refused)
    leaf = chain[0]
    for one in lists:
        entry = one.crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
        if entry is not None and issued(leaf, one.issuer):
            since = shown_time(entry.revocation_date_utc)
            return Watched(
                kind=kind_of(leaf), name=str(path), standing=Standing.BROKEN,
                what=Sentence(en=f"revoked since {since}", zh=f"已于 {since} 吊销"),
            )  # fmt: skip
    ends = min(one.not_valid_after_utc for one in chain)
    return _dated(
        kind_of(leaf), str(path), (leaf.not_valid_before_utc, due_at(leaf), ends), now, _RENEW
    )


def _check_pair(path: Path, leaf: x509.Certificate) -> None:
    """Refuse when the key beside *path* is another one's; an encrypted key is not asked for."""
    key_path = path.with_suffix(".key")
    if not key_path.exists() or b"ENCRYPTED" in read(key_path):
        return
    if read_signing_key(key_path).public_key() != leaf.public_key():
        raise Refused(
            en=f"{key_path} is not the key of {path}. If a renewal was interrupted, run certs renew "
            "again; else put back the right pair.",
            zh=f"{key_path} 与 {path} 不配对。若更新被中断，请再次执行 certs renew；否则恢复正确的一对文件。",
        )


def _dated(
    kind: str,
    name: str,
    times: tuple[datetime, datetime, datetime],
    now: datetime,
    remedy: Sentence,
) -> Watched:
    begins, due, ends = times
    until = shown_time(ends)
    if now < begins:
        standing = Standing.BROKEN
        what = Sentence(
            en=f"not valid before {shown_time(begins)}: a clock is wrong",
            zh=f"{shown_time(begins)} 之前无效：时钟有误",
        )
    elif now >= ends:
        standing = Standing.BROKEN
        what = Sentence(en=f"ended at {until}: {remedy.en}", zh=f"已于 {until} 失效：{remedy.zh}")
    elif now >= due:
        standing = Standing.DUE
        what = Sentence(en=f"ends at {until}: {remedy.en}", zh=f"将于 {until} 失效：{remedy.zh}")
    else:
        standing = Standing.FINE
        what = Sentence(en=f"until {until}", zh=f"至 {until}")
    return Watched(kind=kind, name=name, standing=standing, what=what, until=ends)


def _list(name: str, one: CheckedList, now: datetime, remedy: Sentence) -> Watched:
    begins = one.crl.last_update_utc
    due = begins + (one.until - begins) * 2 / 3
    return _dated("revocation-list", name, (begins, due, one.until), now, remedy)


def _trust(folder: Path, now: datetime) -> Iterator[Watched]:
    names = trust.networks(folder)
    yield from _unconfirmed(folder)
    if not names:
        yield Watched(kind="trust", name=str(folder), standing=Standing.BROKEN, what=_NO_TRUST)
    for network in names:
        try:
            held = trust.trusted(folder, network, now)
            if held.pending is not None:
                yield _pending(network, held.pending)
            if held.bundle is None:
                continue
            if tuple(read_certificates(folder / f"{network}.pem")) != held.bundle.roots:
                yield Watched(
                    kind="trust", name=network, standing=Standing.BROKEN, what=_NOT_CONFIRMED
                )
            for root in held.bundle.roots:
                times = (root.not_valid_before_utc, root.not_valid_after_utc - ROOT_AHEAD / 6,
                         root.not_valid_after_utc)  # fmt: skip
                yield _dated("trusted-root", network, times, now, _NEW_BUNDLE)
            lists = trust.installed_lists(folder, network, now)
            if not lists:
                yield Watched(
                    kind="revocation-list", name=network, standing=Standing.BROKEN, what=_NEW_LIST
                )
            for one in lists:
                yield _list(network, one, now, _NEW_LIST)
        except Refused as refused:
            yield _broken("trust", network, refused)


def _unconfirmed(folder: Path) -> Iterator[Watched]:
    """Find roots in the folder that never came through a confirmation."""
    for path in sorted(folder.glob("*.pem")):
        if not path.name.endswith(".crl.pem") and not (folder / f"{path.stem}.bundle").exists():
            yield Watched(
                kind="trust", name=path.stem, standing=Standing.BROKEN, what=_NOT_CONFIRMED
            )


def _pending(network: str, pending: trust.Pending) -> Watched:
    given = len(pending.persons)
    if given >= trust.CONFIRMATIONS:
        return Watched(
            kind="pending-bundle", name=network, standing=Standing.BROKEN, what=_INTERRUPTED
        )
    return Watched(
        kind="pending-bundle",
        name=network,
        standing=Standing.DUE,
        what=Sentence(
            en=f"bundle {pending.bundle.number} has {given} of {trust.CONFIRMATIONS} confirmations: certs "
            "trust confirm",
            zh=f"第 {pending.bundle.number} 号信任包已有 {given}/{trust.CONFIRMATIONS} 次确认：certs trust confirm",
        ),
    )


def _authority(folder: Path, now: datetime) -> Iterator[Watched]:
    try:
        journal = read_journal(folder)
    except Refused as refused:
        yield _broken("journal", str(folder), refused)
        return
    register = Register.of(journal)
    yield Watched(
        kind="journal", name=str(folder), standing=Standing.FINE,
        what=Sentence(en=f"{len(journal.acts)} acts, all signed", zh=f"{len(journal.acts)} 项记录，签名完好"),
    )  # fmt: skip
    for root in register.roots(journal.roots):
        yield _ahead("root", root, ROOT_AHEAD, now, _ROLL_ROOT)
    if journal.issuing:
        yield _ahead("issuing", journal.issuing[-1], ISSUING_AHEAD, now, _ROLL_ISSUING)
    yield from _own_lists(folder, journal, now)
    for each in register.issued.values():
        state, certificate = register.state(each, now), each.certificate
        mourned = state is State.EXPIRED and now - certificate.not_valid_after_utc < MOURNED
        lost = mourned and certificate.serial_number not in register.renewed
        if state is State.DUE or lost:
            until = shown_time(certificate.not_valid_after_utc)
            yield Watched(
                kind=each.profile, name=each.serial, standing=Standing.DUE,
                until=certificate.not_valid_after_utc,
                what=Sentence(
                    en=f"its holder has not renewed it; it ends at {until}", zh=f"持有者尚未更新；{until} 到期",
                ),
            )  # fmt: skip


def _ahead(
    kind: str, certificate: x509.Certificate, ahead: timedelta, now: datetime, remedy: Sentence
) -> Watched:
    ends = certificate.not_valid_after_utc
    name = certificate.subject.rfc4514_string()
    return _dated(kind, name, (certificate.not_valid_before_utc, ends - ahead, ends), now, remedy)


def _own_lists(folder: Path, journal: Journal, now: datetime) -> Iterator[Watched]:
    network = str(journal.acts[0].facts["network"]) if journal.acts else ""
    path = lists_path(folder, network)
    if not path.exists():
        yield Watched(
            kind="revocation-list", name=str(path), standing=Standing.DUE, what=_MAKE_LIST
        )
        return
    try:
        lists = pem.crls(str(path), read(path))
    except Refused as refused:
        yield _broken("revocation-list", str(path), refused)
        return
    for one in lists:
        ends = one.next_update_utc or now
        begins = one.last_update_utc
        times = (begins, begins + (ends - begins) * 2 / 3, ends)
        yield _dated("revocation-list", str(path), times, now, _MAKE_LIST)


_RENEW = Sentence(en="certs renew", zh="certs renew")
_NEW_BUNDLE = Sentence(
    en="ask the network for a bundle with its new root", zh="请向该网络索取含新根的信任包"
)
_NEW_LIST = Sentence(
    en="ask the network for its newest list: certs crl import",
    zh="请向该网络索取最新吊销列表：certs crl import",
)
_NOT_CONFIRMED = Sentence(
    en="its roots are not those that two persons confirmed: find out who changed the file, then certs trust "
    "import",
    zh="其根证书并非经两人确认者：请查明何人改动了文件，再执行 certs trust import",
)
_NO_TRUST = Sentence(
    en="no network is trusted here: certs trust import", zh="此处未信任任何网络：certs trust import"
)
_INTERRUPTED = Sentence(
    en="both have confirmed, but it is not in force: run certs trust confirm once more",
    zh="两人均已确认但尚未生效：请再执行一次 certs trust confirm",
)
_MAKE_LIST = Sentence(en="certs crl make", zh="certs crl make")
_ROLL_ROOT = Sentence(en="begin the roll-over: certs roll root", zh="请开始更换根：certs roll root")
_ROLL_ISSUING = Sentence(en="certs roll issuing", zh="certs roll issuing")
