"""
The files that a platform's rows name: got before their message goes, kept until it has come to its end.

Rule 1: a message that cites files waits for them by itself; nothing else of its ticket waits.
Rule 2: a file that cannot be had for a day, or may not cross, is cited as one that stays where it is,
and named in quarantine; its message goes.
Rule 3: every file of a message is looked at in each attempt, and what was copied is not copied again, after
a restart neither, while the file at its path is the one that it was (`Copies.standing`).  What stands in a
column or at an address is got again after a restart: only its bytes would say that it is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from adapters.mapping.citing import TEXT, Source, text_at
from adapters.mapping.document import Attachments
from adapters.mapping.misfit import Misfit
from adapters.mapping.parsing_files import GROUP
from adapters.spool_files import FileNews
from adapters.table.database import PlatformDatabase, as_json
from adapters.table.gathering import Copies, Fetch, Never, NotYet
from adapters.table.later import Later
from adapters.table.outgoing import WANTED
from adapters.table.quarantine import Quarantine
from adapters.table.records import UNSAID
from adapters.table.tables import SAID
from exchange.text import Text

#: For so long a file is looked for, ever more seldom; then its message goes without it.
LONGEST = timedelta(days=1)
#: Beside a message that waits: its files that were copied, each with its copy and what it was like.
GOT = "got"
#: How often copies are looked for that no message needs any more.
OFTEN = timedelta(hours=1)
#: The states of messages whose copies may be needed, and what stands in those that have any.
_NEEDING = ("waiting", "kept", "stored", "written", "declined")
_FILES = '"files": {"'


@dataclass(slots=True)
class _Found:
    """What is known of the files of one message that waits: those copied, those that never cross."""

    copies: dict[str, Path] = field(default_factory=dict)
    #: Of files at a path: what they were like when they were copied (`Copies.standing`).
    standings: dict[str, str] = field(default_factory=dict)
    never: dict[str, Text] = field(default_factory=dict)


class Leaving:
    """Files of the platform in *database* that leave, with their *copies*."""

    def __init__(
        self,
        database: PlatformDatabase,
        quarantine: Quarantine,
        attachments: Attachments,
        place: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._quarantine = quarantine
        self._clock = clock
        self.copies = Copies(attachments, place, self._now)
        self.later = Later(self._now)
        self._found: dict[str, _Found] = {}
        self._looked: datetime | None = None
        #: Of a platform over HTTP: gets what stands at an address.
        self.fetch: Fetch | None = None

    def _now(self) -> datetime:
        return self._clock()

    def gather(self) -> int:
        """Get the files that messages wait for; return how many messages may go."""
        with self._database.reading() as connection:
            query = select(SAID.c.message_id).where(SAID.c.state == "files").order_by(SAID.c.seq)
            waiting = [row.message_id for row in connection.execute(query)]
        moved = 0
        for message_id in filter(self.later.due, waiting):
            try:
                moved += self._gather(message_id)
            except Exception as failure:  # noqa: BLE001 - it is told, and the others go on
                self._database.require()
                self.later.fail(message_id, failure)
        if not moved:
            self._forget_unneeded()
        return moved

    def _forget_unneeded(self) -> None:
        """Remove the copies that no message needs: not often, for every message is looked through."""
        now = self._clock()
        if self._looked is not None and timedelta(0) <= now - self._looked < OFTEN:
            return
        if not self.copies.there():
            return
        with self._database.reading() as connection:
            needed = self._needed(connection)
        self.copies.forget_all_but(needed)
        self._looked = now

    def _gather(self, message_id: str) -> bool:
        """Get the files of one message; False where one is not there yet."""
        with self._database.reading() as connection:
            query = select(SAID).where(SAID.c.message_id == message_id, SAID.c.state == "files")
            said = connection.execute(query).first()
        if said is None:
            return False
        body = json.loads(said.body)
        wanted: Mapping[str, Source] = body.pop(WANTED)
        entries = {one["attachment_id"]: one for one in body["groups"][GROUP]["attachments"]}
        found = self._known(message_id, body.pop(GOT, {}))
        missing = self._look(said, wanted, entries, found)
        late = self._clock() - datetime.fromisoformat(said.noted) > LONGEST
        if missing and not late:
            self._note_got(said, found)
            self._wait(said, next(iter(missing.values())))
            return False
        aside = {**found.never, **missing}
        files = {name: str(path.resolve()) for name, path in found.copies.items()}
        for name in files:
            del entries[name]["reference"]
        body |= {"files": files, "owed": [*files]}
        with self._database.transaction() as connection:
            connection.execute(
                SAID.update()
                .where(SAID.c.message_id == message_id, SAID.c.state == "files")
                .values(state="waiting", body=as_json(body), detail="")
            )
            for name, reason in aside.items():
                put_aside(self._quarantine, connection, name, reason, entries[name], said=said)
        self._done(message_id, wanted)
        return True

    def _known(self, message_id: str, got: Mapping[str, Mapping[str, str]]) -> _Found:
        """Return what is known of a message's files; of one that waited before a restart what it *got*."""
        found = self._found.get(message_id)
        if found is None:
            found = self._found[message_id] = _Found()
            for name, one in got.items():
                copy = self.copies.copy_of(one["copy"])
                if copy is not None and one["standing"]:
                    found.copies[name], found.standings[name] = copy, one["standing"]
        return found

    def _note_got(self, said: Any, found: _Found) -> None:
        """Keep with a message that waits which of its files were copied, for after a restart."""
        body = json.loads(said.body)
        got = {
            name: {"copy": found.copies[name].name, "standing": standing}
            for name, standing in found.standings.items()
            if standing
        }
        if got == body.get(GOT, {}):
            return
        with self._database.transaction() as connection:
            same = SAID.c.message_id == said.message_id
            connection.execute(
                SAID.update()
                .where(same, SAID.c.state == "files")
                .values(body=as_json(body | {GOT: got}))
            )

    def _look(
        self,
        said: Any,
        wanted: Mapping[str, Source],
        entries: Mapping[str, Mapping[str, Any]],
        found: _Found,
    ) -> dict[str, Text]:
        """Copy what is there of the files that are not in *found*; return why others are not."""
        missing: dict[str, Text] = {}
        for name, source in wanted.items():
            standing = self.copies.standing(source["path"]) if "path" in source else ""
            if name in found.never or self._same(found, name, standing):
                continue
            try:
                self.copies.require_type(entries[name]["media_type"])
                found.copies[name] = self._copy(said, source)
                found.standings[name] = standing
            except Never as wrong:
                found.never[name] = wrong.text
            except NotYet as wrong:
                missing[name] = wrong.text
        return missing

    @staticmethod
    def _same(found: _Found, name: str, standing: str) -> bool:
        """Whether a file was copied, and is not known to be another since."""
        if name not in found.copies:
            return False
        return not standing or standing == found.standings.get(name)

    def _done(self, message_id: str, wanted: Mapping[str, Source]) -> None:
        """Forget what was known of files whose message goes."""
        self.later.done(message_id)
        del self._found[message_id]
        for source in wanted.values():
            self.copies.forget_standing(source.get("path", ""))

    def _copy(self, said: Any, source: Source) -> Path:
        if "path" in source:
            return self.copies.of_path(source["path"])
        if "url" in source:
            return self.copies.of_url(source["url"], self.fetch)
        at = self._database.at(said.sheet, json.loads(said.row_key))
        if TEXT in source:
            return self._of_text(said.sheet, at, source)
        place = source["content"]
        column = self._database.column(said.sheet, place)
        with self._database.reading() as connection:
            content = connection.execute(select(column).where(at)).scalar()
        if isinstance(content, str):
            raise Never(_NO_BYTES.fill(column=place))
        return self.copies.of_bytes(content)

    def _of_text(self, sheet: str, at: ColumnElement[bool], source: Source) -> Path:
        """Copy what stands in base64 in a row, which is read again: it is too long to be kept beside it."""
        columns = self._database.read_with_a_row(sheet)
        with self._database.reading() as connection:
            row = connection.execute(select(*columns).where(at)).mappings().first()
        if row is None:
            raise NotYet(_NO_ROW)
        try:
            text = text_at(source, self._database.row(sheet, dict(row)))
        except Misfit as misfit:
            raise NotYet(misfit.text) from misfit
        return self.copies.of_base64(text)

    def _wait(self, said: Any, why: Text) -> None:
        self.later.wait(said.message_id)
        detail = f"{why.en} {why.zh}"
        if said.detail != detail:
            with self._database.transaction() as connection:
                same = SAID.c.message_id == said.message_id
                connection.execute(SAID.update().where(same).values(detail=detail))

    def _needed(self, connection: Connection) -> set[str]:
        """Return the digests of copies that messages may still need."""
        query = select(SAID.c.body).where(
            SAID.c.state.in_(_NEEDING), SAID.c.body.is_not(None), SAID.c.body.contains(_FILES)
        )
        bodies = [json.loads(row.body) for row in connection.execute(query)]
        needed = {Path(path).name for body in bodies for path in body.get("files", {}).values()}
        query = select(SAID.c.body).where(SAID.c.state == "files", SAID.c.body.contains(f'"{GOT}"'))
        waiting = [json.loads(row.body) for row in connection.execute(query)]
        needed |= {one["copy"] for body in waiting for one in body.get(GOT, {}).values()}
        return needed | {path.name for one in self._found.values() for path in one.copies.values()}

    def left(self, news: FileNews) -> None:
        """Learn that the bridge has a file whole, or refuses it: then it is put aside, by its name."""
        with self._database.transaction() as connection:
            same = SAID.c.message_id == news.message_id
            said = connection.execute(select(SAID).where(same)).first()
            if said is None:
                return  # of another spool
            if said.body is not None:
                body = json.loads(said.body)
                owed = [name for name in body.get("owed", ()) if name != news.attachment_id]
                kept = still_needed(as_json(body | {"owed": owed}), said.state)
                connection.execute(SAID.update().where(same).values(body=kept))
            if news.refusal is not None:
                told = {
                    "message_id": news.message_id,
                    "sha256": news.sha256.hex(),
                    "size": news.size,
                }
                name, reason = news.attachment_id, news.refusal.text
                put_aside(self._quarantine, connection, name, reason, told, said=said)


def still_needed(body: str | None, state: str) -> str | None:
    """
    Return what is kept of a message in *state*, whose *body* it was.

    All of it as long as the bridge may lack files of it, nothing once it is written; of one that ended
    otherwise no files.
    """
    told = json.loads(body) if body is not None else {}
    if body is None or (told.get("owed") and state not in UNSAID):
        return body
    if state == "written":
        return None
    if state in (*UNSAID, "declined"):
        return as_json({name: one for name, one in told.items() if name not in ("files", "owed")})
    return body


def put_aside(
    quarantine: Quarantine,
    connection: Connection,
    name: str,
    reason: Text,
    original: Any,
    *,
    said: Any = None,
) -> None:
    """Name a file in *quarantine*, with its *reason*, beside the row whose message *said* cites it."""
    quarantine.put(
        connection,
        side="file",
        sheet=said.sheet if said is not None else "",
        record=name,
        row_key=json.loads(said.row_key) if said is not None else {},
        lane="",
        digest="",
        reason=reason,
        original=original,
    )


_NO_ROW = Text(
    en="the row with the file is not there; it is looked for again.",
    zh="含附件的记录不存在，将再次查找。",
)
_NO_BYTES = Text(
    en="the column {column} holds text, not bytes: write base64 = \"{column}\", or path = \"{column}\".",
    zh="列 {column} 是文本而非二进制：请写 base64 = \"{column}\" 或 path = \"{column}\"。",
)  # fmt: skip
