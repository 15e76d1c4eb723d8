"""The files that say whom the bridge trusts, read as one thing: all of it is right, or none counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from certs.denylist import DenyList, read_denylist
from certs.errors import Refused
from exchange.config import Settings
from exchange.errors import ConfigurationError
from exchange.revocation import Remembered, RevocationList, read_revocations
from exchange.server.credentials import tls_configuration
from exchange.server.in_force import Material
from exchange.settings import Tls
from exchange.text import Text
from exchange.trust import TrustStore, Withdrawals

#: Of a file: when it was written, how large it is, which one it is; None where there is none.
Stamp = tuple[int, int, int] | None

_VANISHED = Text(
    en="The deny list {file} is gone, and {count} entries of it are in force. Put it back; to let "
    "everybody in again, remove the entries: exchange certs deny remove",
    zh="禁止名单 {file} 已不存在，而其中 {count} 项仍在生效。请恢复该文件；如需撤销，请用 exchange certs deny remove",
)


class StillChanging(Exception):
    """Somebody wrote while the files were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFiles:
    """Where they are."""

    tls: Tls
    networks: Mapping[str, Path]
    crls: Mapping[str, Path]
    deny: Path
    grace: timedelta
    #: The lists that were in force before this process began.
    remembered: Sequence[Remembered] = ()

    @classmethod
    def of(cls, settings: Settings) -> TrustFiles:
        """Return those that *settings* name."""
        return cls(
            tls=settings.tls,
            networks=settings.networks,
            crls=settings.revocation.crls,
            deny=settings.revocation.deny,
            grace=timedelta(hours=settings.revocation.grace_hours),
        )

    def paths(self) -> tuple[Path, ...]:
        """Return all of them, always in the same order."""
        pair = (self.tls.key, self.tls.certificate)
        return (*pair, *self.networks.values(), *self.crls.values(), self.deny)

    def stamps(self) -> tuple[Stamp, ...]:
        """Return what tells, at little cost, that a file was written."""
        return tuple(map(stamp_of, self.paths()))

    def digest(self) -> str:
        """Return the SHA-256 over the files as they are now."""
        whole = sha256()
        for path in self.paths():
            try:
                content = path.read_bytes()
            except OSError as error:
                whole.update(f"{type(error).__name__}\0".encode())
            else:
                whole.update(len(content).to_bytes(8) + content)
        return whole.hexdigest()

    def read(self, now: datetime, before: TrustStore | None = None) -> Material:
        """
        Return what the files say; *before* is the store in force, whose lists none may fall behind.

        Raises `ConfigurationError` naming the file that is wrong, and `StillChanging`.
        """
        digest = self.digest()
        try:
            material = self._read(now, before, digest)
        finally:
            if self.digest() != digest:
                raise StillChanging
        return material

    def _read(self, now: datetime, before: TrustStore | None, digest: str) -> Material:
        roots = TrustStore.load(self.networks)
        held = before.withdrawals if before is not None else Withdrawals()
        lists: list[RevocationList] = []
        for network, path in self.crls.items():
            lists += read_revocations(
                network,
                path,
                roots.roots(network),
                seen=held.shown(network),
                before=[one for one in held.lists if one.network == network],
                remembered=[one for one in self.remembered if one.network == network],
                now=now,
            )
        store = roots.with_withdrawals(
            Withdrawals(
                lists=lists,
                networks=self.crls.keys(),
                grace=self.grace,
                denials=self._denials(held),
                after=held,
            )
        )
        return Material(store=store, tls=tls_configuration(self.tls, store, now), digest=digest)

    def _denials(self, held: Withdrawals) -> DenyList:
        try:
            found = read_denylist(self.deny)
        except Refused as refused:
            text = Text(en=refused.sentence.en, zh=refused.sentence.zh)
            raise ConfigurationError(text, file=str(self.deny)) from refused
        inside = held.denials.entries if isinstance(held.denials, DenyList) else ()
        if inside and not self.deny.exists():
            raise ConfigurationError(
                _VANISHED.fill(file=self.deny, count=len(inside)), file=str(self.deny)
            )
        return found


def stamp_of(path: Path) -> Stamp:
    """Return what tells, at little cost, that the file *path* was written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
