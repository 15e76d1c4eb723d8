"""
The same as files over the gap: a head with proofs goes to the witness, the co-signed head comes back.

Files come late, twice and in any order.  What goes out holds proofs from several sizes, as nobody
here knows which head the witness saw last; the SHA-256 in it tells a damaged file from a log that
cannot prove itself.  What comes back is the checkpoint itself, co-signed (c2sp.org/tlog-cosignature).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from exchange.errors import InvalidRequest, VerificationError
from exchange.merkle import HASH_SIZE, MAX_PATH
from exchange.note import decode_base64, encode_base64
from exchange.text import Text
from exchange.witness.evidence import read_json
from exchange.witness.watching import NotSigned

_FORMAT = "hotline-exchange/witness-head@1"
#: A note of 128 KiB and 64 proofs of at most 8 kB.
MAX_FILE = 1024 * 1024
MAX_PROOFS = 64

_UNREADABLE = Text(
    en="This is no export for a witness, or it was damaged on its way: {why}. Nothing was signed. Take the "
    "file that `exchange witness export` wrote, once more.",
    zh="这不是供见证者使用的导出文件，或在途中损坏：{why}。未作签署。请重新取用 exchange witness export 写出的文件。",
)
_NO_PROOF = Text(
    en="The file has no proof from the {size} entries that were seen (it has from: {sizes}). Nothing was "
    "signed. Ask for: exchange witness export --from {size}",
    zh="文件中没有自已见 {size} 条起的证明（现有起点：{sizes}）。未作签署。请索取：exchange witness export --from {size}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A log's signed head, and by size the proofs that lead from there to it."""

    origin: str
    note: bytes
    proofs: Mapping[int, tuple[bytes, ...]]

    def encode(self) -> bytes:
        """Return the head as a file."""
        data: dict[str, Any] = {
            "format": _FORMAT,
            "origin": self.origin,
            "checkpoint": self.note.decode(),
            "proofs": {
                str(size): [encode_base64(step) for step in path]
                for size, path in sorted(self.proofs.items())
            },
        }
        data["sha256"] = _digest(data)
        return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()

    @classmethod
    def decode(cls, content: bytes) -> Head:
        """Return the head that *content* is, nothing of it verified; raises `InvalidRequest`."""
        data = read_json(content, _FORMAT, MAX_FILE, _UNREADABLE)
        try:
            if data.pop("sha256") != _digest(data):
                raise InvalidRequest(_UNREADABLE.fill(why="sha256"))
            if len(data["proofs"]) > MAX_PROOFS:
                raise InvalidRequest(_UNREADABLE.fill(why=f"proofs > {MAX_PROOFS}"))
            return cls(
                origin=str(data["origin"]),
                note=str(data["checkpoint"]).encode(),
                proofs={int(size): _path(path) for size, path in data["proofs"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, VerificationError) as error:
            raise InvalidRequest(_UNREADABLE.fill(why=type(error).__name__)) from error

    def prove(self, first: int, second: int) -> Sequence[bytes]:
        """Return the proof from *first*; raises `NotSigned` where the file has none."""
        del second  # there is but one head
        if first not in self.proofs:
            sizes = ", ".join(map(str, sorted(self.proofs))) or "–"
            raise NotSigned(_NO_PROOF.fill(size=first, sizes=sizes))
        return self.proofs[first]


def _path(steps: Sequence[str]) -> tuple[bytes, ...]:
    if len(steps) > 2 * MAX_PATH:
        raise ValueError(steps)
    path = tuple(decode_base64(step) for step in steps)
    if any(len(step) != HASH_SIZE for step in path):
        raise ValueError(steps)
    return path


def _digest(data: Mapping[str, Any]) -> str:
    canonical = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
