"""
Whose key a signature names.

A signer's certificate chain comes with a request or was stored from an earlier one; either way it
is verified against its network's own roots, and its party must be registered: the authority of one
network can issue any organisation's code under its own network's name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from exchange.certificates import Rule
from exchange.errors import VerificationError
from exchange.identity import WITHDRAWN, Party, verify_signer
from exchange.server.in_force import InForce
from exchange.submission import Author
from exchange.withdrawn import RevocationUnknown

Chain = tuple[bytes, ...]

#: Chains kept in memory, and likewise key ids that nobody knows; a city has some hundred signers.
_MOST_KEPT = 4096

#: A key id that the store does not have is not looked up again for so long.  Its chain counts at
#: once when it is shown.
_UNKNOWN_FOR = timedelta(seconds=30)


class Keyring:
    """
    From key ids to authors.

    *stored* returns the chains (DER, leaf first) that the store has of some key ids; it may block.
    """

    def __init__(
        self,
        trust: InForce,
        registered: Collection[Party],
        stored: Callable[[Collection[bytes]], Iterable[Chain]],
        clock: Callable[[], datetime],
    ) -> None:
        self._trust = trust
        self._registered = registered
        self._stored = stored
        self._clock = clock
        self._kept: OrderedDict[bytes, Chain] = OrderedDict()
        #: Key ids that the store did not have, and when it was asked; oldest first.
        self._absent: OrderedDict[bytes, datetime] = OrderedDict()

    def unknown(self, key_ids: Iterable[bytes], offered: Sequence[Chain]) -> set[bytes]:
        """Return the key ids whose chains only the store can have: ask `fetch` for them first."""
        here = {sha256(chain[0]).digest() for chain in offered}
        now = self._clock()
        return {
            key_id
            for key_id in key_ids
            if key_id not in here and key_id not in self._kept and not self._is_absent(key_id, now)
        }

    def fetch(self, key_ids: Collection[bytes]) -> dict[bytes, Chain]:
        """
        Return what the store has of *key_ids*, an empty chain for what it has not.

        It asks once and blocks, so it is called on a reading thread.
        """
        found = {sha256(chain[0]).digest(): chain for chain in self._stored(key_ids)}
        return {key_id: found.get(key_id, ()) for key_id in key_ids}

    def keep(self, chains: Mapping[bytes, Chain]) -> None:
        """Remember fetched *chains*; they are verified whenever they are asked for."""
        now = self._clock()
        for key_id, chain in chains.items():
            if chain:
                self._keep(key_id, chain)
                continue
            self._absent[key_id] = now
            if len(self._absent) > _MOST_KEPT:
                self._absent.popitem(last=False)

    def authors(
        self, key_ids: Iterable[bytes], offered: Sequence[Chain], now: datetime
    ) -> Mapping[bytes, Author]:
        """
        Return who signs with each key; a key that is not trusted at *now* is left out.

        Raises `RevocationUnknown` where only a fresh list of revoked certificates could tell.
        """
        here = {sha256(chain[0]).digest(): chain for chain in offered}
        found: dict[bytes, Author] = {}
        for key_id in key_ids:
            for chain in (here.get(key_id), self._kept.get(key_id)):
                author = self._author(chain, now) if chain else None
                if author is not None:
                    found[key_id] = author
                    break
        return found

    def chains(self, key_ids: Iterable[bytes]) -> list[Chain]:
        """Return the chains that are known by now of *key_ids*."""
        return [self._kept[key_id] for key_id in key_ids if key_id in self._kept]

    def _author(self, chain: Chain, now: datetime) -> Author | None:
        try:
            signer = verify_signer(chain, self._trust.store, now)
        except VerificationError as error:
            rule = Rule(error.facts["rule"])
            if WITHDRAWN.get(rule) is RevocationUnknown:
                # No fault of the message's: a refusal would be for ever, the list may come today.
                raise RevocationUnknown(error.text, **error.facts) from error
            return None  # the answer is the refusal SIGNER_NOT_TRUSTED, given with the message
        if signer.party not in self._registered:
            return None
        self._keep(signer.fingerprint, chain)
        return Author(organisation=signer.organisation, key=signer.key, chain=chain)

    def _is_absent(self, key_id: bytes, now: datetime) -> bool:
        asked = self._absent.get(key_id)
        # A clock set back must not make it longer.
        return asked is not None and timedelta(0) <= now - asked < _UNKNOWN_FOR

    def _keep(self, key_id: bytes, chain: Chain) -> None:
        self._absent.pop(key_id, None)
        self._kept[key_id] = chain
        self._kept.move_to_end(key_id)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
