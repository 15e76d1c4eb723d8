"""A mapping file's ``[http]`` section, read."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adapters.http.credentials import Secrets, client_tls, headers, proof, server_tls
from adapters.http.document import (
    BODY,
    TIMEOUT,
    WAITING,
    Bell,
    Call,
    First,
    Http,
    Listen,
    Lookup,
    Meaning,
    More,
    Poll,
    Sending,
    Source,
)
from adapters.http.parsing_held import read_held
from adapters.http.places import address, number_at, path_at, require_path, slashed, template
from adapters.mapping.document import Document, Writing
from adapters.mapping.parsing_fields import read_condition
from exchange.reading import Table
from exchange.text import Text

_ANSWER = frozenset({"answer", "status"})
_RECORD = frozenset({"row"})
_FOUND = frozenset({"row", "message_id"})
#: Keys that `read_condition` has read.
_CONDITIONS = ("success", "refused", "when")
#: What a template of a call may hold, beside the names of those made before it.
_NAMES = ("message_id", "key")


def read_http(document: Document, missing: list[Text] | None = None) -> Http:
    """
    Return the section of the mapping *document* was read from; raises `DataError`, `ConfigurationError`.

    Where *missing* is given, it takes what is said of secrets that are not here, which then fails nothing.
    """
    path = Path(document.file)
    whole = Table.read(path)
    return _Reader(document, Secrets(folder=path.parent, missing=missing)).http(whole.table("http"))


class _Reader:
    def __init__(self, document: Document, secrets: Secrets) -> None:
        self._document = document
        self._secrets = secrets
        self._folder = secrets.folder

    def http(self, given: Table) -> Http:
        base = given.text("base", "").rstrip("/")
        if base and (urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).netloc):
            raise given.fault("base", _NO_BASE)
        meaning = self._meaning(given, Meaning())
        calls = [self._call(one, meaning) for one in given.tables("call")]
        polls = tuple(self._poll(one, meaning) for one in given.tables("poll"))
        if (calls or polls) and not base:
            given.text("base")
        found = Http(
            base=base,
            proof=proof(given, self._secrets),
            headers=headers(given.table("headers"), self._secrets) if "headers" in given else {},
            tls=client_tls(given, self._folder),
            timeout=number_at(given, "timeout", TIMEOUT, 0.01),
            body=int(number_at(given, "body", BODY, 1)),
            calls={(one.sheet, one.writing): one for one in calls},
            polls=polls,
            listen=self._listen(given.table("listen"), polls) if "listen" in given else None,
        )
        given.done()
        for rule in self._document.writes:
            if (rule.sheet, rule.writing) not in found.calls:
                raise given.fault("call", _NO_CALL.fill(sheet=rule.sheet, write=rule.writing.value))
        return found

    def _meaning(self, given: Table, outer: Meaning) -> Meaning:
        return Meaning(
            success=read_condition(given, "success", _ANSWER)
            if "success" in given
            else outer.success,
            refused=read_condition(given, "refused", _ANSWER)
            if "refused" in given
            else outer.refused,
            number=path_at(given, "number", outer.number),
        )

    # -- what is given

    def _call(self, given: Table, outer: Meaning) -> Call:
        writing = Writing(given.one_of("write", [one.value for one in Writing], "insert"))
        first: list[First] = []
        for inner in given.tables("first"):
            first.append(self._first(inner, outer, first))
        names = (*_NAMES, *(one.name for one in first))
        usual = "POST" if writing is Writing.INSERT else "PUT"
        sending = self._sending(given, outer, names, usual)
        if writing is Writing.UPDATE:  # the record has its number
            sending = replace(sending, meaning=replace(sending.meaning, number=""))
        found = Call(
            sheet=given.one_of("sheet", self._document.sheets),
            writing=writing,
            sending=sending,
            id_field=path_at(given, "id_field", ""),
            first=tuple(first),
            etag=address(given, names, "etag") if "etag" in given else None,
            held=read_held(given.table("held"), outer) if "held" in given else None,
        )
        given.done(_CONDITIONS)
        return found

    def _first(self, given: Table, outer: Meaning, before: list[First]) -> First:
        names = (*_NAMES, *(one.name for one in before))
        name = given.text("name")
        if not name.isidentifier() or name in names:
            raise given.fault("name", _NO_NAME.fill(names=", ".join(names)))
        sending = self._sending(given, outer, names, "POST")
        if not sending.meaning.number:
            given.text("number")
        given.done(_CONDITIONS)
        return First(name=name, sending=sending)

    def _sending(self, given: Table, outer: Meaning, names: Collection[str], usual: str) -> Sending:
        fill = {}
        if "fill" in given:
            inner = given.table("fill")
            for place in inner:
                require_path(inner, place, place)
                fill[place] = template(inner, place, names)
        return Sending(
            method=given.one_of("method", ("POST", "PUT", "PATCH"), usual),
            path=address(given, names),
            meaning=self._meaning(given, outer),
            body=path_at(given, "body", ""),
            fill=fill,
            lookup=self._lookup(given.table("lookup"), names) if "lookup" in given else None,
        )

    def _lookup(self, given: Table, names: Collection[str]) -> Lookup:
        listed = "items" in given
        wanted = "when" if listed else "success"
        if wanted not in given:
            given.text(wanted)
        found = Lookup(
            path=address(given, names),
            meaning=self._meaning(given, Meaning()),
            items=path_at(given, "items", "") if listed else None,
            when=read_condition(given, "when", _FOUND),
            next=path_at(given, "next", "") if listed else "",
        )
        given.done(("success", "refused", "when") if listed else ("success", "refused"))
        return found

    # -- what is asked for

    def _poll(self, given: Table, outer: Meaning) -> Poll:
        found = Poll(
            source=self._source(given),
            meaning=self._meaning(given, outer),
            path=address(given, ("cursor",)),
            cursor=path_at(given, "cursor", ""),
            last=path_at(given, "last", ""),
            start=given.text("start", ""),
            next=path_at(given, "next", ""),
            back=path_at(given, "back", ""),
            more=tuple(self._more(one, outer) for one in given.tables("more")),
            every=number_at(given, "every", 5, 0.01),
        )
        if found.cursor and found.last:
            raise given.fault("last", _ONE_CURSOR)
        if "cursor" in found.path.places and not (found.cursor or found.last):
            raise given.fault("cursor", _NO_CURSOR)
        if found.next and found.back:
            raise given.fault("back", _ONE_WAY)
        if found.back and (not found.last or found.path.places):
            raise given.fault("back", _NO_WAY_BACK)
        if found.back and found.start and not found.start.isdecimal():
            raise given.fault("start", _NO_START)
        given.done(_CONDITIONS)
        return found

    def _more(self, given: Table, outer: Meaning) -> More:
        found = More(
            path=address(given, (), record=True),
            at=path_at(given, "at", given.text("at")),
            take=path_at(given, "take", ""),
            meaning=self._meaning(given, outer),
            when=read_condition(given, "when", _RECORD),
        )
        given.done(_CONDITIONS)
        return found

    def _source(self, given: Table) -> Source:
        return Source(
            sheet=given.one_of("sheet", self._document.sheets),
            path=slashed(given, "path"),
            items=path_at(given, "items", ""),
            when=read_condition(given, "when", _RECORD),
            echo=path_at(given, "echo", ""),
        )

    # -- what the platform calls

    def _listen(self, given: Table, polls: tuple[Poll, ...]) -> Listen:
        host, _, port = given.text("address").rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise given.fault("address", _NO_ADDRESS)
        endpoints = []
        for one in given.tables("endpoint"):
            endpoints.append(self._source(one))
            one.done(("when",))
        bells = []
        for one in given.tables("bell"):
            sheet = one.one_of("sheet", sorted({poll.source.sheet for poll in polls}))
            bells.append(Bell(path=slashed(one, "path"), sheet=sheet))
            one.done()
        answer: Any = None
        if "answer" in given:
            table = given.table("answer")
            answer = {key: table.scalar(key) for key in table}
        who = proof(given, self._secrets)
        tls = server_tls(given, self._folder)
        asks = tls is not None and tls.verify_mode is ssl.CERT_REQUIRED
        if who.none and not asks:
            raise given.fault("token", _OPEN)
        files = _files_address(given)
        if files and not (who.token or who.user or asks):
            raise given.fault("files", _UNPROVED)
        found = Listen(
            host=host.strip("[]"),
            port=int(port),
            proof=who,
            endpoints=tuple(endpoints),
            bells=tuple(bells),
            tls=tls,
            answer=answer,
            waiting=int(number_at(given, "waiting", WAITING, 1)),
            files=files,
        )
        given.done()
        return found


def _files_address(given: Table) -> str:
    """Return the address under which the platform gets files, empty where none is said."""
    address = given.text("files", "").rstrip("/")
    at = urlsplit(address)
    if address and (at.scheme not in ("http", "https") or not at.netloc or len(at.path) < 2):
        raise given.fault("files", _NO_FILES)
    return address


_NO_BASE = Text(
    en="must be a URL such as https://desk.example/api.",
    zh="须为 URL，例如 https://desk.example/api。",
)
_NO_NAME = Text(
    en="names this call for the templates of those after it: one word, other than {names}.",
    zh="为本调用命名，供其后的模板引用：须为单词，且不同于 {names}。",
)
_ONE_WAY = Text(en="stands beside 'next': give one of the two.", zh="与 next 二者只能取其一。")
_NO_WAY_BACK = Text(
    en="reads a list from its end: 'last' names a number that grows with every record, and the path is that of "
    "the last page, without {cursor}.",
    zh="用于自末页向前读取：须以 last 指明逐条递增的编号，且 path 为末页地址，不含 {cursor}。",
)
_NO_START = Text(
    en="is the number after which to begin, where 'back' is given.",
    zh="与 back 同用时，须为起始编号（其后的记录才读取）。",
)
_NO_ADDRESS = Text(en="must be HOST:PORT, such as 127.0.0.1:8081.", zh="须为 主机:端口。")
_NO_CALL = Text(
    en="the mapping hears into '{sheet}' ({write}), and no [[http.call]] with sheet = \"{sheet}\" and write = "
    '"{write}" says how the platform is told.',
    zh='映射会写入“{sheet}”（{write}），但没有相应的 [[http.call]]（sheet = "{sheet}"，write = "{write}"）。',
)
_ONE_CURSOR = Text(
    en="stands beside 'cursor': give one of the two.", zh="与 cursor 二者只能取其一。"
)
_NO_CURSOR = Text(
    en="the path holds {cursor}: say where the next one stands, in the answer ('cursor') or in the last record "
    "('last').",
    zh="路径含 {cursor}：请指明下一个游标在应答（cursor）或末条记录（last）中的位置。",
)
_OPEN = Text(
    en="anybody could send records here: ask for a token, a user and password, a signature, or a client "
    "certificate (client_ca).",
    zh="该接口对任何人开放：请设置 token、user 与 password、signature 或 client_ca（客户端证书）之一。",
)
_UNPROVED = Text(
    en="a signature is made over what is sent, and who gets a file sends nothing: ask for a token, a user and "
    "password, or a client certificate (client_ca) besides.",
    zh="签名针对所发送的内容，而取文件的请求没有内容：请另设 token、user 与 password 或 client_ca（客户端证书）。",
)
_NO_FILES = Text(
    en="must be the address under which the platform gets files, such as http://10.0.0.5:18182/files.",
    zh="须为平台取附件的地址，例如 http://10.0.0.5:18182/files。",
)
