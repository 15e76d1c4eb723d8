"""
PEM files, read so that nothing in one is passed over.

The usual parsers drop a broken block, and some drop everything after it: a network would then be
shut out, or a withdrawn root's successor missed, without a word.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Iterator

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"

CERTIFICATE = "CERTIFICATE"
CRL = "X509 CRL"


class Malformed(ValueError):
    """What ends or begins at *line* is no whole block of an expected kind."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


def blocks(text: str, labels: Container[str]) -> Iterator[tuple[str, bytes, int]]:
    """
    Yield every block of *text*: its label, its bytes, and the line on which it ends.

    Words between blocks are comments.  Raises `Malformed` for a block that is not whole, or whose
    label is none of *labels*.
    """
    label: str | None = None
    body: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(map(str.strip, lines), 1):
        if label is None and line.startswith(_BEGIN) and line.endswith(_DASHES):
            label, body = line[len(_BEGIN) : -len(_DASHES)], []
            if label not in labels:
                raise Malformed(number)
        elif label is not None and line == f"{_END}{label}{_DASHES}":
            try:
                yield label, base64.b64decode("".join(body), validate=True), number
            except binascii.Error as error:
                raise Malformed(number) from error
            label = None
        elif _DASHES in line:
            raise Malformed(number)
        elif label is not None:
            body.append(line)
    if label is not None:
        raise Malformed(len(lines))
