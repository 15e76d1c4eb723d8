"""Ferries carry what is sealed as it is, and the keys with it."""

from __future__ import annotations

from datetime import timedelta

from tests.adapters.ferry.gap import Gap
from tests.adapters.province import Province
from tests.adapters.sealed_across import WORDS, cross


def test_sealed_words_cross_by_files(province: Province, gap: Gap) -> None:
    """The two desks read them; neither bridge does, nor whoever looks into the files."""
    seen = bytearray()

    def watched(name: str, content: bytes) -> list[tuple[str, bytes]]:
        seen.extend(content)
        return [(name, content)]

    def carry() -> int:
        moved = gap.turn(watched, watched)
        gap.clock.ahead += timedelta(minutes=20)
        return moved

    cross(province, carry)
    assert seen
    assert [word for word in WORDS if word.encode() in seen] == []
