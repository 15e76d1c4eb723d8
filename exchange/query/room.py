"""What every reader of a database is: opened by URL, checked for its version, closed."""

from __future__ import annotations

from typing import Self

from exchange.keyring import RingFile
from exchange.store.engines import Engines, connect
from exchange.store.schema import check_version


class Room:
    """Reads one database; safe to use from several threads."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @classmethod
    def open(cls, url: str, ring: RingFile | None = None) -> Self:
        """
        Open the database at *url* for reading; raises as `Store.open` does, but needs no log key.

        Without *ring*, what messages say is read only where it is not encrypted.
        """
        engines = connect(url, ring=ring)
        try:
            check_version(engines)
        except BaseException:
            engines.close()
            raise
        return cls(engines)

    def close(self) -> None:
        """Close every connection."""
        self._engines.close()
