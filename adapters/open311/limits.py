"""Who may ask how often: a bucket of calls for each address, of which so many are remembered."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address

#: Addresses remembered; beyond them the one that asked longest ago begins anew.
REMEMBERED = 10_000


class Limits:
    """At most *per_minute* calls a minute of each caller, up to as many at once."""

    def __init__(self, per_minute: int, remembered: int = REMEMBERED) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._remembered = remembered
        #: Of each caller: the calls left, and when that was so (seconds of a steady clock).
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, now: float) -> float:
        """Count one call of *caller*'s; return 0, or the seconds until it would be one too many no more."""
        left, then = self._buckets.pop(caller, (self._size, now))
        left = min(self._size, left + (now - then) * self._rate)
        granted = left >= 1
        self._buckets[caller] = (left - 1 if granted else left, now)
        if len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - left) / self._rate


def caller_of(peer: str, forwarded: str, proxy: str) -> str:
    """
    Return who asks: *peer*, or, where that is the site's own *proxy*, whom it says it asks for.

    Of a chain the last counts, which that proxy wrote itself.  IPv6 callers count by their /64,
    since one of them has all of it.
    """
    named = forwarded.rpartition(",")[2].strip() if proxy and peer == proxy else ""
    try:
        address = ip_address(named or peer)
    except ValueError:
        return peer
    if address.version == 6:
        return str(int(address) >> 64)
    return str(address)
