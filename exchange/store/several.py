"""What a bridge needs of a database that it shares with others, in the words of that database."""

from __future__ import annotations

from exchange.keyring import RingFile
from exchange.store.engines import MARIADB, connect
from exchange.store.leasing import LeasingOutbox
from exchange.store.waking import Waking


def leasing(url: str, seconds: float, ring: RingFile | None = None) -> LeasingOutbox:
    """Return the mailboxes of the database at *url*; a lease lasts so many seconds."""
    engines = connect(url, keyed=True, ring=ring)
    if engines.url.get_backend_name() == MARIADB:
        from exchange.store.mariadb_leasing import MariadbLeasing  # noqa: PLC0415 (with an extra)

        return MariadbLeasing(engines, seconds)
    return LeasingOutbox(engines, seconds)


def waking(url: str, origin: str) -> Waking:
    """Return the lines of *origin*'s bridge to the database at *url*; nothing is connected yet."""
    engines = connect(url)
    if engines.url.get_backend_name() == MARIADB:
        from exchange.store.mariadb_waking import MariadbWaking  # noqa: PLC0415 (with an extra)

        return MariadbWaking(connect(url, keyed=True), origin)
    return Waking(engines, origin)
