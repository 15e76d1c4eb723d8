"""The ``[folder]`` section of a mapping file, as values."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from adapters.mapping.document import Condition, Document, Way
from adapters.mapping.parsing_fields import read_condition
from exchange.reading import Table
from exchange.text import Text

#: Seconds for which a file's size and time must have stood still, where the file does not say otherwise.
STILL = 2.0
DELIMITERS = (",", ";", "\t", "|")
ALWAYS = Condition()


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Files whose names match *name* hold rows of *sheet*; rows that *when* does not let in are passed over."""

    sheet: str
    name: str
    #: The names of the columns where a file has no header line.
    columns: tuple[str, ...] = ()
    #: The worksheet of an XLSX file; empty: the first.
    tab: str = ""
    when: Condition = ALWAYS
    #: The columns that a file must have.
    needed: frozenset[str] = frozenset()

    def matches(self, name: str) -> bool:
        """Whether a file of this name is meant, whatever the case of its letters."""
        return fnmatchcase(name.lower(), self.name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The whole section."""

    #: Of CSV files that come; empty: a byte order mark, else UTF-8, else GB18030 (which holds GBK).
    encoding: str
    #: Empty: whichever stands in the header line most often.
    delimiter: str
    still: float
    #: ``.done``: a file is whole when another one, named so after it, is there.
    done: str
    exports: tuple[Export, ...]
    #: Of CSV files that are written.
    out_encoding: str
    out_delimiter: str
    #: Whether the platform keeps what it imported in ``out/done``: what is in neither is lost.
    out_kept: bool = False


def read_folder(document: Document) -> Folder:
    """Return the section of the mapping *document* was read from; raises `DataError`."""
    given = Table.read(Path(document.file)).table("folder")
    still = given.scalar("still") if "still" in given else STILL
    if isinstance(still, bool | str) or still < 0:
        raise given.fault("still", _NO_SECONDS)
    out = given.table("out") if "out" in given else Table({}, file=document.file)
    found = Folder(
        encoding=_encoding(given, ""),
        delimiter=_delimiter(given, ""),
        still=float(still),
        done=given.text("done", ""),
        exports=tuple(_export(document, one) for one in given.tables("file")),
        out_encoding=_encoding(out, "utf-8-sig"),
        out_delimiter=_delimiter(out, ","),
        out_kept=out.boolean("kept", default=False),
    )
    out.done()
    given.done()
    if not found.still and not found.done:
        raise given.fault("still", _NEVER_WHOLE)
    return found


def _export(document: Document, given: Table) -> Export:
    sheet = given.one_of("sheet", document.sheets)
    when = read_condition(given, "when", frozenset({"row"}))
    found = Export(
        sheet=sheet,
        name=given.text("name"),
        columns=given.words("columns", ()),
        tab=given.text("tab", ""),
        when=when,
        needed=_needed(document, sheet, when),
    )
    given.done(("when",))
    return found


def _needed(document: Document, name: str, when: Condition) -> frozenset[str]:
    """Return the columns that what is said of a row is read from."""
    sheet = document.sheets[name]
    found = {*sheet.key, *(sheet.about.columns if sheet.about else ())}
    conditions = [when, sheet.ready]
    for rule in document.say:
        if rule.sheet != name:
            continue
        conditions.append(rule.when)
        found |= {*rule.revision}
        for field in rule.fields:
            if field.way is not Way.HEAR:
                found |= {*field.columns, *((field.display,) if field.display else ())}
    for condition in conditions:
        found |= {*condition.columns}
    return frozenset(found)


def _encoding(given: Table, default: str) -> str:
    word = given.text("encoding", default)
    try:
        if word:
            codecs.lookup(word)
    except LookupError as error:
        raise given.fault("encoding", _NO_ENCODING.fill(word=word)) from error
    # GBK as Windows writes it is a part of GB18030, which knows every character.
    return "gb18030" if word.lower() in ("gbk", "gb2312", "cp936") else word


def _delimiter(given: Table, default: str) -> str:
    word = given.text("delimiter", default)
    if word and word not in DELIMITERS:
        raise given.fault("delimiter", _NO_DELIMITER)
    return word


_NO_SECONDS = Text(en="must be seconds, 0 or more.", zh="须为秒数，不小于 0。")
_NEVER_WHOLE = Text(
    en="is 0, and no 'done' says when a file is whole: half a file would be read.",
    zh="为 0 且未设 done，无法判断文件是否写完：可能读到半个文件。",
)
_NO_ENCODING = Text(
    en="'{word}' is no encoding; write utf-8 or gbk.", zh="“{word}”不是编码；例如 utf-8、gbk。"
)
_NO_DELIMITER = Text(
    en='must be one of "," ";" "|" or a tab ("\\t").', zh='须为 "," ";" "|" 或制表符（"\\t"）之一。'
)
