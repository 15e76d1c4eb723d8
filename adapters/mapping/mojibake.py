"""
Text that was written in one encoding and read in another: found, named, never passed on.

Four ways in which it happens between old Chinese systems, each told apart from honest text:

- bytes of GBK in a column that says UTF-8 (they come as surrogates, or as undecodable bytes);
- GBK read as Latin-1 (``ÖÐÎÄ``), as old drivers do;
- UTF-8 read as GBK (``涓枃``);
- what was lost on the way: U+FFFD, ``锟斤拷``.
"""

from __future__ import annotations

import re

from exchange.text import Text

#: U+FFFD in UTF-8, read as GBK: what is left of text that was damaged twice.
_DEAD = ("�", "锟斤拷", "锟�")
_LEAST = 2
_RUNS = re.compile("[\x80-\xff]{2,}")


def mojibake(text: str) -> Text | None:
    """Return what happened to *text*, None where nothing did."""
    if any(dead in text for dead in _DEAD):
        return _LOST
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return _GBK_BYTES if _as_gbk(_raw(text)) else _NO_TEXT
    if _latin(text):
        return _GBK_AS_LATIN
    if _utf8_as_gbk(text):
        return _UTF8_AS_GBK
    return None


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that no undecodable byte left behind
        return b""


def _as_gbk(raw: bytes) -> bool:
    try:
        return _chinese(raw.decode("gb18030")) >= 1
    except UnicodeDecodeError:
        return False


def _latin(text: str) -> bool:
    """
    Whether the letters above ASCII are all Latin-1, stand together, and are Chinese as GBK.

    In European words they stand apart (Zürich), in GBK nearly all stand beside another.
    """
    high = sum(letter > "\x7f" for letter in text)
    if high < 2 * _LEAST or any(letter > "\xff" for letter in text):
        return False
    together = sum(len(run) for run in _RUNS.findall(text))
    try:
        meant = text.encode("latin-1").decode("gbk")
    except UnicodeDecodeError:
        return False
    foreign = [letter for letter in meant if letter > "\x7f"]
    signs = sum("\u3000" <= one <= "\u303f" or "\uff00" <= one <= "\uffef" for one in foreign)
    chinese = _chinese(meant)
    return chinese >= _LEAST and together >= 0.7 * high and chinese + signs >= 0.9 * len(foreign)


def _utf8_as_gbk(text: str) -> bool:
    """Whether the text, as GBK, is well-formed UTF-8 of Chinese and little else."""
    try:
        meant = text.encode("gb18030").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
    return meant != text and _chinese(meant) >= _LEAST


def _chinese(text: str) -> int:
    return sum("一" <= letter <= "鿿" for letter in text)


_GBK_BYTES = Text(
    en="these are bytes of GBK in a column that says UTF-8. Mend the record, or the program that "
    "writes it.",
    zh="UTF-8 列中存有 GBK 字节（乱码）。请修正该记录或其写入程序。",
)
_NO_TEXT = Text(
    en="these bytes are no text, neither of UTF-8 nor of GBK.",
    zh="既不是 UTF-8 也不是 GBK 文本（乱码）。",
)
_GBK_AS_LATIN = Text(
    en="this is GBK that was read as Latin-1. Set the connection's character set, or mend the record.",
    zh="GBK 被按 Latin-1 读取（乱码）。请设置连接字符集，或修正该记录。",
)
_UTF8_AS_GBK = Text(
    en="this is UTF-8 that was read as GBK. Set the character set of whoever wrote it, or mend the "
    "record.",
    zh="UTF-8 被按 GBK 读取（乱码）。请设置写入方字符集，或修正该记录。",
)
_LOST = Text(
    en="characters were lost before it came here (U+FFFD, 锟斤拷). Have it written again.",
    zh="文字在此前已损坏（U+FFFD、锟斤拷），请重新录入。",
)
