"""
Whom a bridge's operator shuts out at once: the deny list, a TOML file.

It needs nobody's help and beats everything: a certificate that its own authority still vouches for,
and a list of revoked certificates that has not come yet.  Each entry names one thing::

    [[deny]]
    organisation = "140400000000"        # or network, or both: the organisation there alone
    reason = "stolen laptop, case 7"
    since = 2026-11-29T08:00:00Z
    by = "zhang"

    [[deny]]
    certificate = "3f…"                  # SHA-256 of the DER, 64 digits; an authority's shuts out all below it
    …

    [[deny]]
    issuer = "a0…"                       # the issuer's key id, and a serial number of it
    serial = "1f…"
    …

A file that is not there is an empty list.  One that cannot be read as a whole is refused as a whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs.errors import Refused, said

#: Characters of a reason or a name.
LONGEST = 500

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{8,128}")
_SERIAL = re.compile(r"[0-9a-f]{1,40}")
_NETWORK = re.compile(r"[a-z0-9.-]{3,253}")
_ORGANISATION = re.compile(r"[0-9A-Z]{12}|[0-9A-Z]{18}")
_SHAPES = {
    "certificate": (_FINGERPRINT, "64 hexadecimal digits, a SHA-256", "64 位十六进制数（SHA-256）"),
    "issuer": (_KEY_ID, "the hexadecimal key id of an authority", "认证机构密钥标识（十六进制）"),
    "serial": (_SERIAL, "up to 40 hexadecimal digits", "至多 40 位十六进制数"),
    "network": (_NETWORK, "a lower-case domain name", "小写域名"),
    "organisation": (_ORGANISATION, "a code of 12 or 18 characters", "12 或 18 位机构代码"),
}
#: The keys that an entry may name its thing by.
_THINGS = (
    {"certificate"}, {"issuer", "serial"}, {"organisation"}, {"organisation", "network"}, {"network"},
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that is shut out, why, since when and by whom; all digits are lower-case."""

    reason: str
    since: datetime
    by: str
    certificate: str = ""
    issuer: str = ""
    serial: str = ""
    network: str = ""
    organisation: str = ""

    @property
    def thing(self) -> dict[str, str]:
        """Return what is shut out, by key."""
        return {key: value for key in _SHAPES if (value := str(getattr(self, key)))}

    @property
    def id(self) -> str:
        """Return eight digits that stay the same for the same thing."""
        return sha256(json.dumps(self.thing, sort_keys=True).encode()).hexdigest()[:8]


class DenyList:
    """Entries, ready to be asked on every call."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = tuple(entries)
        self._certificates = {e.certificate: e for e in entries if e.certificate}
        self._serials = {(e.issuer, int(e.serial, 16)): e for e in entries if e.issuer}
        self._parties = {
            (e.network, e.organisation): e for e in entries if e.network or e.organisation
        }

    def denies(
        self, network: str, organisation: str, chain: Sequence[x509.Certificate]
    ) -> Entry | None:
        """Return the entry that shuts out *organisation* of *network*, or one of *chain*; or None."""
        for party in ((network, organisation), ("", organisation), (network, "")):
            if party in self._parties:
                return self._parties[party]
        if not self._certificates and not self._serials:
            return None
        for certificate, issuer in zip_longest(chain, chain[1:]):
            found = self._certificates.get(certificate.fingerprint(hashes.SHA256()).hex())
            for key_id in _key_ids(certificate, issuer) if self._serials else ():
                found = found or self._serials.get((key_id, certificate.serial_number))
            if found is not None:
                return found
        return None


def _key_ids(certificate: x509.Certificate, issuer: x509.Certificate | None) -> Iterator[str]:
    """Yield the issuer's key id: as the certificate says it, and as its key makes it (RFC 5280 4.2.1.2)."""
    with suppress(x509.ExtensionNotFound):
        said_id = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        yield (said_id.value.key_identifier or b"").hex()
    if issuer is not None:
        key: Any = issuer.public_key()
        yield x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()


def issuer_key_id(certificate: x509.Certificate) -> str:
    """Return the key id of the certificate's issuer in digits; empty where it does not say."""
    return next(_key_ids(certificate, None), "")


def digits(text: str) -> str:
    """Return hexadecimal digits as they stand in the file: ``AA:BB`` and ``0xaabb`` are ``aabb``."""
    return re.sub(r"[\s:]", "", text).lower().removeprefix("0x")


def make_entry(*, reason: str, since: datetime, by: str, **thing: str) -> Entry:
    """Return an entry; raises `Refused` for a thing that has not its form."""
    named = {key: value for key, value in thing.items() if value}
    wrong = _fault({**named, "reason": reason, "since": since, "by": by})
    if wrong is not None:
        raise Refused(en=wrong[0], zh=wrong[1])
    return Entry(reason=reason, since=since, by=by, **named)


def read_denylist(path: Path) -> DenyList:
    """Return the list in *path*, an empty one where there is no file; raises `Refused`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return DenyList()
    except OSError as error:
        raise _refused(path, said(error).en, said(error).zh) from error
    except UnicodeDecodeError as error:
        raise _refused(path, "it is not UTF-8", "不是 UTF-8 编码") from error
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, f"it is no TOML: {error}", f"不符合 TOML 语法：{error}") from error
    strange = sorted(data.keys() - {"deny"})
    rows = data.get("deny", [])
    if strange or not isinstance(rows, list):
        key = strange[0] if strange else "deny"
        raise _refused(
            path,
            f"'{key}' does not belong there; each entry begins with [[deny]]",
            f"“{key}”不应出现；每项以 [[deny]] 开头",
        )
    found: dict[str, Entry] = {}
    for number, row in enumerate(rows, 1):
        wrong = _fault(row) if isinstance(row, dict) else ("it is no table", "不是表")
        if wrong is not None:
            raise _refused(path, f"entry {number}: {wrong[0]}", f"第 {number} 项：{wrong[1]}")
        entry = Entry(**row)
        found.setdefault(entry.id, entry)
    return DenyList(list(found.values()))


@contextmanager
def changing(path: Path) -> Iterator[dict[str, Entry]]:
    """
    Give the entries of *path* by id to be changed; what they are at the end is written, as a whole.

    Two operators at once take turns.  Raises `Refused`, and then nothing was changed.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        entries = {entry.id: entry for entry in read_denylist(path).entries}
        before = dict(entries)
        yield entries
        if entries != before:
            _write(path, list(entries.values()))
    finally:
        os.close(descriptor)


def _write(path: Path, entries: Sequence[Entry]) -> None:
    """Write beside, make durable, and put in place: a reader sees the old file or the new one."""
    text = _HEAD + "\n".join(_row(entry) for entry in entries)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("x", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)  # the bridge reads it under another user, maybe
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


_HEAD = "# Whom this bridge shuts out / 本网桥禁止的接入方。Written by: exchange certs deny add, remove\n\n"


def _row(entry: Entry) -> str:
    since = entry.since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    lines = ["[[deny]]"]
    lines += [f"{key} = {_quoted(value)}" for key, value in entry.thing.items()]
    lines += [f"reason = {_quoted(entry.reason)}", f"since = {since}", f"by = {_quoted(entry.by)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # TOML's basic strings are JSON's, but that no character of control may stand in either.
    return json.dumps(text, ensure_ascii=False)


def _fault(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with an entry, in English and Chinese, or None."""
    known = {found.name for found in fields(Entry)}
    for key in row.keys() - known:
        return f"'{key}' is not known; valid: {', '.join(sorted(known))}", f"未定义的键“{key}”"
    for key in ("reason", "by"):
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            return f"'{key}' is missing: text in quotes", f"缺少“{key}”（引号括起的文本）"
        if len(value) > LONGEST or not value.isprintable():
            return (
                f"'{key}' is one line of at most {LONGEST} characters",
                f"“{key}”应为一行，至多 {LONGEST} 字",
            )
    since = row.get("since")
    if not isinstance(since, datetime) or since.tzinfo is None:
        return (
            "'since' is missing: a time such as 2026-11-29T08:00:00Z",
            "缺少“since”（带时区的时间）",
        )
    named = set(row) & set(_SHAPES)
    for key in sorted(named):
        shape, en, zh = _SHAPES[key]
        if not isinstance(row[key], str) or not shape.fullmatch(row[key]):
            return f"'{key}' must be {en}", f"“{key}”应为{zh}"
    if named not in _THINGS:
        return _NOT_ONE_THING
    return None


_NOT_ONE_THING = (
    "it must name one thing: a certificate, an issuer and serial, an organisation, or a network",
    "须且只能指明一项：证书、签发者加序列号、机构，或网络",
)


def _refused(path: Path, en: str, zh: str) -> Refused:
    return Refused(
        en=f"The deny list {path} cannot be used: {en}. Mend it, or write it anew with exchange certs "
        "deny.",
        zh=f"禁止名单 {path} 不可用：{zh}。请修正，或用 exchange certs deny 重新写入。",
    )


def _unwritable(path: Path, error: OSError) -> Refused:
    return Refused(
        en=f"The deny list {path} cannot be written: {said(error).en}. Nothing was changed. Check the "
        "folder and its rights, and say it again: until then nobody is shut out by this.",
        zh=f"无法写入禁止名单 {path}：{said(error).zh}，未作任何改动。请检查目录及权限后重新执行；"
        "在此之前并未禁止任何人。",
    )
