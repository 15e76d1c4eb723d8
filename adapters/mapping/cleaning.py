"""Clean-up of telephone numbers, addresses and text: each a name that a field can ask for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

_BETWEEN = re.compile(r"[\s\-－—_.()（）]+")
_SPACES = re.compile(r"\s+")
_HAN = "\u3007\u4e00-\u9fff"
_BETWEEN_HAN = re.compile(
    rf"(?<=[{_HAN}])\s+(?=[{_HAN}])|(?<=[{_HAN}])\s+(?=\d)|(?<=\d)\s+(?=[{_HAN}])"
)
_MOBILE = re.compile(r"(?:\+|00)?(?:86)?0?(1[3-9]\d{9})")
_ABROAD = re.compile(r"(?:\+86|0086)(\d+)")


def trim(text: str) -> str:
    """Return *text* without space around it, the ideographic one too."""
    return text.strip().strip("\u3000")


def narrow(text: str) -> str:
    """Return full-width letters, digits and signs as the narrow ones (NFKC)."""
    return unicodedata.normalize("NFKC", text)


def one_line(text: str) -> str:
    """Return *text* on one line, one space where there were several."""
    return _SPACES.sub(" ", text).strip()


def phone(text: str) -> str:
    """
    Return a telephone number as it is dialled inside China: digits, an extension after ``#``.

    ``+86``, ``0086`` and the 0 before a mobile number go; what is no number stays as it is.
    """
    narrowed = narrow(text).strip()
    body, mark, extension = _extension(narrowed)
    digits = _BETWEEN.sub("", body)
    mobile = _MOBILE.fullmatch(digits)
    abroad = _ABROAD.fullmatch(digits)
    if mobile is not None:
        digits = mobile[1]
    elif abroad is not None:
        digits = abroad[1] if abroad[1].startswith("0") else f"0{abroad[1]}"
    if not re.fullmatch(r"\+?\d+", digits):
        return narrowed
    return digits + (f"#{extension}" if mark else "")


def _extension(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"(.*\d)\s*(#|转|ext\.?|x)\s*(\d{1,6})", text, re.IGNORECASE)
    return (found[1], found[2], found[3]) if found else (text, "", "")


def address(text: str) -> str:
    """Return an address without the spaces that stand between its Chinese parts."""
    return _BETWEEN_HAN.sub("", one_line(narrow(text)))


def digits(text: str) -> str:
    """Return only the digits."""
    return "".join(letter for letter in narrow(text) if letter.isdecimal() and letter.isascii())


def upper(text: str) -> str:
    """Return capital letters, as codes and number plates have them."""
    return narrow(text).strip().upper()


CLEANINGS: Mapping[str, Callable[[str], str]] = {
    "trim": trim,
    "narrow": narrow,
    "line": one_line,
    "phone": phone,
    "address": address,
    "digits": digits,
    "upper": upper,
}


def cleaned(text: str, names: Iterable[str]) -> str:
    """Return *text* after the clean-ups called *names*, in their order."""
    for name in names:
        text = CLEANINGS[name](text)
    return text
