"""
The forms a bundle's file can have: the bytes themselves, or JSON or XML that a content filter reads.

JSON and XML hold the signed bytes in base64, and beside them what those say, in words.  Who receives
such a file reads the bytes alone, and refuses it where the words are not theirs: a filter that let
the words pass has let the bytes pass.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

from exchange.client import readable
from exchange.errors import InvalidRequest, VerificationError
from exchange.text import Text

#: What XML 1.0 cannot hold; the signed bytes have it, the words beside them do without.
_UNFIT = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_form(signed: bytes, form: str) -> bytes:
    """Return the file of a signed bundle in *form*: ``bundle``, ``json`` or ``xml``."""
    if form == "bundle":
        return signed
    encoded, told = base64.b64encode(signed).decode(), readable(signed)
    if form == "json":
        whole = {"signed": encoded, "content": told}
        return (json.dumps(whole, ensure_ascii=False, indent=1) + "\n").encode()
    root = ET.Element("bundle")
    ET.SubElement(root, "signed").text = encoded
    root.append(_element("content", told))
    ET.indent(root, " ")
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def read_form(content: bytes, form: str) -> bytes:
    """
    Return the signed bundle in a file of *form*.

    Raises `InvalidRequest` where it is none, `VerificationError` where its words are not its bytes'.
    """
    if form == "bundle":
        return content
    try:
        read = _from_json if form == "json" else _from_xml
        signed, same = read(content)
    except (ValueError, KeyError, TypeError, RecursionError, ET.ParseError) as error:
        raise InvalidRequest(_NO_FORM.fill(form=form)) from error
    if not same:
        raise VerificationError(_OTHER_WORDS)
    return signed


def _from_json(content: bytes) -> tuple[bytes, bool]:
    """Return the signed bytes, and whether the words beside them are theirs."""
    whole = json.loads(content)
    signed = _signed(whole["signed"])
    return signed, bool(whole["content"] == readable(signed))


def _from_xml(content: bytes) -> tuple[bytes, bool]:
    """Return the signed bytes, and whether the words beside them are theirs."""
    root = _parsed(content)
    found, words = root.find("signed"), root.find("content")
    if found is None or words is None or len(root) != 2:
        raise ValueError("other elements")
    signed = _signed(found.text or "")
    ours = _parsed(ET.tostring(_element("content", readable(signed)), encoding="utf-8"))
    return signed, [*_said(words)] == [*_said(ours)]


def _signed(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError(type(text))
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(error) from error


def _parsed(content: bytes) -> ET.Element:
    """Return the root; a document type could define entities without end, so none may stand there."""
    text = content.decode("utf-8")
    if "<!" in text:
        raise ValueError("a document type, comment or CDATA section")
    return ET.fromstring(text)  # noqa: S314 - without a document type there is nothing to expand


def _element(name: str, value: object) -> ET.Element:
    element = ET.Element(name)
    if isinstance(value, Mapping):
        element.extend(_element(str(key), inner) for key, inner in value.items())
    elif isinstance(value, list):
        element.extend(_element("item", inner) for inner in value)
    elif isinstance(value, bool):
        element.text = "true" if value else "false"
    else:
        element.text = _UNFIT.sub("\ufffd", str(value)).replace("\r", "\ufffd")
    return element


def _said(element: ET.Element) -> Iterator[tuple[str, str]]:
    """Yield name and text of every element, in order; how it is laid out does not count."""
    yield element.tag, (element.text or "") if len(element) == 0 else f"({len(element)})"
    for inner in element:
        yield from _said(inner)


_NO_FORM = Text(en="This is no bundle in the form '{form}'.", zh="内容不是 {form} 形式的摆渡包。")
_OTHER_WORDS = Text(
    en="What can be read in the file is not what its signed bytes say: it was changed on the way.",
    zh="文件的可读部分与其签名内容不符：途中已被改动。",
)
