"""What a mapping says of files: which columns hold them, where they lie, which may cross."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from adapters.mapping.document import (
    Attachments,
    Column,
    HearRule,
    Keeps,
    SaidFile,
    Sheet,
    Writing,
)
from adapters.mapping.hearing import template_fault
from adapters.mapping.paths import NotAPath, parts
from adapters.mapping.places import HEARD
from exchange.acts import NOTE_KINDS, Kind
from exchange.client.shapes import groups_allowed
from exchange.reading import Table
from exchange.text import Text

#: The group in which a message cites its files.
GROUP = "attachment"
#: The kinds whose messages may wait for a file: notes, which move nothing, so that nobody waits for them.
FILE_KINDS = frozenset(kind for kind in NOTE_KINDS if GROUP in groups_allowed(kind))

#: Bytes of one file at most, where the mapping does not say: what bridges carry by default.
MAX_BYTES = 134_217_728
#: The contract's most.
_MOST_BYTES = 17_179_869_184
#: What of a file that came a column may hold.
FILE_WORDS = (
    "path", "content", "base64", "url", "name", "media_type", "size", "sha256", "description",
    "attachment_id",
)  # fmt: skip
_KEEPS = tuple(one.value for one in Keeps)
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/(\*|[a-z0-9][a-z0-9!#$&^_.+-]*)")


def read_said(given: Table, kind: Kind) -> tuple[SaidFile, ...]:
    """Return the files that a rule for *kind* brings; raises `DataError`."""
    found = given.tables("attachments")
    if found and kind not in FILE_KINDS:
        kinds = ", ".join(sorted(one.value for one in FILE_KINDS))
        raise given.fault("attachments", _WAITS.fill(kind=kind.value, kinds=kinds))
    return tuple(_said(one) for one in found)


def _said(given: Table) -> SaidFile:
    there = [word for word in _KEEPS if word in given]
    if len(there) != 1:
        raise given.fault(there[1] if there else "path", _ONE.fill(words=", ".join(_KEEPS)))
    found = SaidFile(
        keeps=Keeps(there[0]),
        column=_place(given, there[0]),
        name=_place(given, "name"),
        media_type=_place(given, "type"),
        description=_place(given, "description"),
        separator=given.text("separator", ""),
        each=_place(given, "each"),
    )
    if found.separator and (found.keeps not in (Keeps.PATH, Keeps.URL) or found.each):
        raise given.fault("separator", _SEPARATOR)
    if found.each and found.keeps is Keeps.CONTENT:
        raise given.fault("each", _EACH)
    given.done()
    return found


def _place(given: Table, key: str) -> str:
    found = given.text(key, "")
    if found:
        try:
            parts(found)
        except NotAPath as wrong:
            raise given.fault(key, _NO_COLUMN) from wrong
    return found


def read_attachments(
    whole: Table, sheets: Mapping[str, Sheet], said: Sequence[SaidFile]
) -> Attachments | None:
    """Return the section ``[attachments]``, which must be there for files that are *said*; raises `DataError`."""
    if "attachments" not in whole:
        if said:
            raise whole.fault("attachments", _NO_SECTION)
        return None
    given = whole.table("attachments")
    home = Path(whole.file).parent
    folder = _folder(given, home)
    if folder is None and any(file.keeps is Keeps.PATH for file in said):
        raise given.fault("folder", _NO_FOLDER)
    most = given.integer("max_bytes", MAX_BYTES)
    if not 0 < most <= _MOST_BYTES:
        raise given.fault("max_bytes", _BYTES.fill(most=_MOST_BYTES))
    types = given.words("types", ())
    for one in types:
        if _TYPE.fullmatch(one) is None:
            raise given.fault("types", _NO_TYPE.fill(word=one))
    still = given.scalar("still") if "still" in given else 1.0
    if isinstance(still, bool | str) or still < 0:
        raise given.fault("still", _NO_SECONDS)
    named = given.text("inbox", "")
    inbox = home / named if named else folder
    heard = _heard(given.table("heard"), sheets) if "heard" in given else None
    if (
        inbox is None
        and heard is not None
        and any(one.path == "file.path" for one in heard.columns)
    ):
        raise given.fault("inbox", _NO_INBOX)
    found = Attachments(
        folder=folder,
        inbox=inbox,
        max_bytes=most,
        types=types,
        still=float(still),
        heard=heard,
    )
    given.done()
    return found


def _folder(given: Table, home: Path) -> Path | None:
    """Return the folder that rows may read: never one with the mapping, whose secrets stand beside it."""
    named = given.text("folder", "")
    if not named:
        return None
    folder = home / named
    if Path(given.file).resolve().is_relative_to(folder.resolve()):
        raise given.fault("folder", _MAPPING_IN_IT)
    return folder


def _heard(given: Table, sheets: Collection[str]) -> HearRule:
    sheet = given.one_of("sheet", sheets)
    table = given.table("columns")
    found = HearRule(
        name="attachments.heard",
        kinds=frozenset(),
        sheet=sheet,
        writing=Writing.INSERT,
        columns=tuple(_column(table, name) for name in table),
    )
    given.done()
    if not {column.path for column in found.columns} & {f"file.{word}" for word in _KEEPS}:
        raise given.fault("columns", _NO_BYTES.fill(words=", ".join(_KEEPS)))
    return found


def _column(table: Table, name: str) -> Column:
    if table.kind(name) is str:
        word = table.text(name)
        known = {*FILE_WORDS, *(f"header.{one}" for one in HEARD)}
        table.check(name, word, known)
        return Column(column=name, path=word if word.startswith("header.") else f"file.{word}")
    given = table.table(name)
    if sum(key in given for key in ("from", "value", "new")) != 1:
        raise table.fault(name, _ONE.fill(words="from, value, new"))
    new = given.text("new", "")
    wrong = template_fault(new) if new else None
    if wrong is not None:
        raise given.fault("new", wrong)
    word = given.one_of("from", FILE_WORDS) if "from" in given else ""
    found = Column(
        column=name,
        path=f"file.{word}" if word else "",
        value=given.scalar("value") if "value" in given else None,
        new=new,
        length=given.integer("length", 0),
        cut=given.boolean("cut", default=False),
    )
    given.done()
    return found


_WAITS = Text(
    en="'{kind}' waits for no file: say the files in a rule of their own beside it (also = true), of kind "
    "{kinds}.",
    zh="“{kind}”不等待文件：请另设一条规则（also = true）提交附件，种类为 {kinds}。",
)
_ONE = Text(en="exactly one of these must stand here: {words}.", zh="须且仅须给出其一：{words}。")
_SEPARATOR = Text(
    en="stands between several paths or addresses in one column, without 'each'.",
    zh="用于同一列中的多个路径或地址，不与 each 同用。",
)
_EACH = Text(
    en="is for the lists of JSON records; a column of bytes is one file.",
    zh="用于 JSON 记录中的列表；二进制列只含一个文件。",
)
_NO_COLUMN = Text(
    en="is no column; write one such as FJLJ or photo.name.", zh="不是列；例如 FJLJ、photo.name。"
)
_NO_SECTION = Text(
    en="a rule brings files: say where they lie and how large they may be, in [attachments].",
    zh="有规则提交附件：请以 [attachments] 说明其所在文件夹与大小上限。",
)
_NO_FOLDER = Text(
    en='rows name paths: say below which folder they lie, and nothing else does; such as folder = "files".',
    zh='记录中有路径：请写明其所在文件夹，且其中不放其他内容；例如 folder = "files"。',
)
_MAPPING_IN_IT = Text(
    en="this mapping lies in it, and rows could name whatever lies beside it, keys too: make a folder for "
    "files alone.",
    zh="映射文件位于该文件夹内，记录可指向其旁的任何文件（包括密钥）：请另设只放附件的文件夹。",
)
_NO_INBOX = Text(
    en='files that come are kept as paths: say in which folder they are put; such as inbox = "came".',
    zh='收到的附件以路径保存：请写明存放的文件夹；例如 inbox = "came"。',
)
_BYTES = Text(en="must be 1 to {most} bytes.", zh="须为 1 至 {most} 字节。")
_NO_TYPE = Text(
    en="'{word}' is no media type; write image/jpeg or image/*, in small letters.",
    zh="“{word}”不是媒体类型；例如 image/jpeg、image/*（小写）。",
)
_NO_SECONDS = Text(en="must be seconds, 0 or more.", zh="须为秒数，不小于 0。")
_NO_BYTES = Text(
    en="no column takes the bytes: one must be one of {words}.", zh="没有列接收文件内容：须有一列为 {words}。"
)  # fmt: skip
