"""
The files of a platform's records: those its rows name are got, those that come are written.

What leaves is the affair of `adapters.table.leaving`.  What came is written in one transaction with the
note that it was: told again, it changes nothing.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from adapters.copies import unkept
from adapters.durable import copy_file
from adapters.mapping.document import Attachments, HearRule
from adapters.mapping.misfit import Misfit
from adapters.platform import Indigestible
from adapters.spool_files import FileNews
from adapters.table.database import PlatformDatabase, Unwritable
from adapters.table.expecting import file_id_of
from adapters.table.gathering import NotYet
from adapters.table.incoming import Heard, Incoming, Subject
from adapters.table.later import Later
from adapters.table.leaving import Leaving, put_aside
from adapters.table.quarantine import Quarantine
from adapters.table.tables import FILE, QUARANTINE
from exchange.causes import cause
from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.text import Text

#: What no file system takes in a name, and what would be another place.
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')


class Filing:
    """Files of the platform in *database*; copies of what leaves are kept in *place*."""

    def __init__(
        self,
        database: PlatformDatabase,
        incoming: Incoming,
        quarantine: Quarantine,
        place: Path,
        clock: Callable[[], datetime],
    ) -> None:
        attachments = database.document.attachments
        if attachments is None:
            raise ConfigurationError(_NONE)
        self._attachments: Attachments = attachments
        self._database = database
        self._incoming = incoming
        self._quarantine = quarantine
        #: What of it leaves; of a platform over HTTP its `fetch` gets what stands at an address.
        self.leaving = Leaving(database, quarantine, attachments, place, clock)
        self._later = Later(clock)
        self._reviewed = False
        #: Of a platform over HTTP: says under which address a file is offered.
        self.address: Callable[[str], str] | None = None

    def gather(self) -> int:
        """Get the files that messages wait for, try what was put aside again; return how many moved."""
        return self.leaving.gather() + self._again()

    def troubled(self) -> Text | None:
        """Return why the files of a message, or one that came, must wait; None where nothing fails."""
        return self.leaving.later.trouble or self._later.trouble

    # -- coming

    def came(self, news: FileNews) -> None:
        """Write what came as the mapping says, or put it aside with its reason; again, nothing changes."""
        file_id = file_id_of(news.message_id, news.sha256)
        with self._database.transaction() as connection:
            query = select(FILE).where(FILE.c.file_id == file_id)
            file = connection.execute(query).first()
            if file is None or file.state == "written":
                return  # nobody here was told of its message, or it was told again
            changes = {"place": str(news.path.resolve())}
            if news.refusal is not None:
                changes = {"state": "refused"}
                told = json.loads(file.body)
                reason = news.refusal.text
                put_aside(self._quarantine, connection, file_id, reason, told)
            connection.execute(FILE.update().where(FILE.c.file_id == file_id).values(**changes))
        if news.refusal is None:
            self._write(file_id, file, news.path)

    def _again(self) -> int:
        """Write what was put aside and is not in quarantine any more, or by another mapping."""
        held = select(QUARANTINE.c.record).where(QUARANTINE.c.side == "file")
        if not self._reviewed:
            held = held.where(QUARANTINE.c.mapping == self._database.document.digest)
        due = FILE.c.file_id.not_in(held) | FILE.c.file_id.in_(self._later.failed)
        query = select(FILE).where(FILE.c.state == "aside", due)
        with self._database.reading() as connection:
            files = connection.execute(query).all()
        self._reviewed = True
        written = 0
        for file in files:
            if not self._later.due(file.file_id):
                continue
            try:
                written += self._write(file.file_id, file, Path(file.place))
                self._later.done(file.file_id)
            except Exception as failure:  # noqa: BLE001 - it is told, and the others go on
                self._database.require()
                self._later.fail(file.file_id, failure)
        return written

    def _write(self, file_id: str, file: Any, path: Path) -> bool:
        """Write one file; False where it is put aside."""
        try:
            heard = self._heard(file_id, file, path)
            self._incoming.prepare(heard)
            with self._database.transaction() as connection:
                record = self._incoming.put(connection, heard)
                self._incoming.link(connection, record, heard.subject)
                self._quarantine.lift(connection, "file", file_id)
                connection.execute(
                    FILE.update().where(FILE.c.file_id == file_id).values(state="written")
                )
        except (Misfit, Unwritable, NotYet) as unfit:
            reason = unfit.text
        except Indigestible as indigestible:
            reason = indigestible.refusal.violations[0].text
        else:
            self._incoming.settled(file_id)
            return True
        self._incoming.settled(file_id)
        with self._database.transaction() as connection:
            original = {**json.loads(file.body), "copy": str(path)}
            put_aside(self._quarantine, connection, file_id, reason, original)
            connection.execute(FILE.update().where(FILE.c.file_id == file_id).values(state="aside"))
        return False

    def _heard(self, file_id: str, file: Any, path: Path) -> Heard:
        rule = self._attachments.heard
        if rule is None:
            raise NotYet(_NO_RULE.fill(copy=path))
        tree = json.loads(file.body)
        told = tree["file"]
        self.leaving.copies.require_type(told["media_type"])
        self.leaving.copies.require_size(int(told["size"]))
        if not path.is_file():
            raise NotYet(_GONE)
        told |= self._bytes(rule, told, path)
        return Heard(
            subject=Subject(
                id=file_id, kind=file.kind, ticket_id=file.ticket_id, handoff_id=file.handoff_id
            ),
            tree=tree,
            rule=rule,
            sheet=self._database.document.sheets[rule.sheet],
        )

    def _bytes(self, rule: HearRule, told: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Return the bytes in the shapes that the rule's columns ask for."""
        wanted = {column.path for column in rule.columns}
        found: dict[str, Any] = {}
        if "file.path" in wanted:
            found["path"] = self._into_inbox(told, path)
        if "file.url" in wanted:
            if self.address is None:
                raise NotYet(_NO_ADDRESS)
            found["url"] = self.address(told["sha256"])
        try:
            if "file.content" in wanted:
                found["content"] = path.read_bytes()
            if "file.base64" in wanted:
                found["base64"] = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise unkept(path, error) from None
        return found

    def _into_inbox(self, told: Mapping[str, Any], path: Path) -> str:
        """Put a copy into the platform's folder, under a name of its own; return the path for the column."""
        inbox, folder = self._attachments.inbox, self._attachments.folder
        if inbox is None:
            raise NotYet(_NO_INBOX)
        target = inbox / f"{told['sha256'][:16]}-{fit_name(told['name'])}"
        try:
            inbox.mkdir(parents=True, exist_ok=True)
            if not target.exists() or target.stat().st_size != path.stat().st_size:
                copy_file(path, target)
        except OSError as error:  # whose own words name the file, as a stranger did
            why = cause(error)
            text = Text(
                en=_NO_COPY.en.format(folder=inbox, why=why.en),
                zh=_NO_COPY.zh.format(folder=inbox, why=why.zh),
            )
            raise StoreUnavailable(text) from None
        path = target.resolve()
        inside = folder is not None and path.is_relative_to(folder.resolve())
        return path.relative_to((folder if folder and inside else inbox).resolve()).as_posix()

    def offered(self, digest: str) -> Path | None:
        """Return the copy of a file that came, by its SHA-256; None where there is none."""
        with self._database.reading() as connection:
            query = select(FILE.c.place).where(FILE.c.place.endswith(f"/{digest}", autoescape=True))
            places = [Path(row.place) for row in connection.execute(query)]
        return next((place for place in places if place.is_file()), None)


def fit_name(name: str) -> str:
    """Return *name*, which a stranger wrote, as one that any file system takes and that leads nowhere."""
    plain = _UNFIT.sub("_", unicodedata.normalize("NFC", name)).strip(". ") or "file"
    plain = "".join(letter if letter.isprintable() else "_" for letter in plain)
    stem, dot, ending = plain.rpartition(".")
    if not dot or len(ending) > 10:
        stem, ending = plain, ""
    room = 120 - len(ending.encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ") or "file"
    return f"{stem}.{ending}" if ending else stem


_NONE = Text(en="The mapping has no [attachments].", zh="映射文件没有 [attachments]。")
_NO_RULE = Text(
    en="a file came, and the mapping does not say what it is written as: add [attachments.heard], then: "
    "retry. Its copy: {copy}",
    zh="收到附件，但映射文件未说明写入何处：请补充 [attachments.heard] 后执行 retry。副本：{copy}",
)
_GONE = Text(
    en="the copy of the file is there no more; ask its author to cite it anew.",
    zh="附件副本已不存在；请作者重新引用。",
)
_NO_INBOX = Text(
    en="'path' needs 'inbox' or 'folder' in [attachments], where what comes is put.",
    zh="path 须在 [attachments] 设 inbox 或 folder（存放收到的附件）。",
)
_NO_COPY = Text(
    en="What came cannot be put into {folder}: {why}. Nothing is lost; it is tried again.",
    zh="收到的附件无法放入 {folder}：{why}。内容未丢失，将自动重试。",
)
_NO_ADDRESS = Text(
    en="'url' needs [http.listen] with 'files', the address under which the platform gets files.",
    zh="url 须在 [http.listen] 设 files（平台取附件的地址）。",
)
