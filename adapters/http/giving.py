"""
A record is given to the platform: what must be there before it, what is asked first, what is sent.

Where it is given a second time, and the mapping says how, the platform is asked whether it heard the
first time.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from adapters.http.calling import Caller, again
from adapters.http.document import Call, Lookup, Meaning, Sending
from adapters.http.filling import Template
from adapters.http.judging import Answer, Verdict, absent
from adapters.http.taking import Shapeless, items_of
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get, put
from adapters.platform import Indigestible
from adapters.staging.conditions import met, text
from adapters.staging.records import Handing
from exchange.text import Text

#: So often a record that somebody else changes just then is read and changed at once; then later.
TRIES = 5
#: Pages of a list in which a record is looked for.
PAGES = 1000

_PLAIN = Meaning()


class Giving:
    """Gives records by way of *caller*; used on its event loop."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def give(self, handing: Handing, call: Call, key: str) -> str:
        """
        Give a record to the platform; return the platform's number, empty where it names none.

        Raises `Indigestible` where the platform will never take it, else `Unanswered`.
        """
        names = {"message_id": handing.message_id, "key": key}
        for first in call.first:
            sending = first.sending
            if sending.body and get(handing.content, sending.body) is None:
                continue  # the record has nothing for it
            body = _body(sending, handing.content, names)
            names[first.name] = await self._sent(sending, body, names, handing, name=first.name)
        body = _body(call.sending, handing.content, names)
        if call.id_field:
            put(body, call.id_field, handing.message_id)
        return await self._sent(call.sending, body, names, handing, etag=call.etag)

    async def _sent(
        self,
        sending: Sending,
        body: Mapping[str, Any],
        names: Mapping[str, str],
        handing: Handing,
        *,
        name: str = "",
        etag: Template | None = None,
    ) -> str:
        """Make one call, unless it was heard before; return the number that is answered."""
        if handing.begun_before and sending.lookup is not None:
            found = await self._found(sending.lookup, names)
            if found is not None:
                return found
        path = sending.path.path(names)
        once = f"{handing.message_id}.{name}" if name else handing.message_id
        answer = await self._answer(
            sending.method, path, body, once, etag.path(names) if etag is not None else ""
        )
        verdict, why, told = self._caller.judged(answer, sending.meaning)
        if verdict is Verdict.ASK and sending.lookup is not None:
            found = await self._found(sending.lookup, names)
            if found is not None:
                return found
        if verdict is Verdict.NEVER:
            raise Indigestible(_NEVER.fill(why=why.en, zh=why.zh))
        if verdict is not Verdict.DONE:
            raise again(sending.method, path, why)
        return _number(told, sending.meaning, path)

    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any], once: str, etag: str
    ) -> Answer:
        """Call; a record with an ETag is changed in the state in which it is now."""
        if not etag:
            return await self._caller.ask(method, path, body, once)
        for _ in range(TRIES - 1):
            answer = await self._caller.ask(method, path, body, once, await self._etag(etag))
            if answer.status != 412:
                return answer
        return await self._caller.ask(method, path, body, once, await self._etag(etag))

    async def _etag(self, path: str) -> str:
        answer = await self._caller.ask("GET", path)
        verdict, why, _ = self._caller.judged(answer, _PLAIN)
        if verdict is not Verdict.DONE:
            raise again("GET", path, why)
        found = answer.headers.get("etag", "")
        if not found:
            raise again("GET", path, _NO_ETAG)
        return found

    # -- whether it is there already

    async def _found(self, lookup: Lookup, names: Mapping[str, str]) -> str | None:
        """Return the number under which the platform has it, None where it has it not."""
        path = lookup.path.path(names)
        for _ in range(PAGES):
            answer = await self._caller.ask("GET", path)
            if absent(answer):
                return None
            verdict, why, told = self._caller.judged(answer, lookup.meaning)
            if lookup.items is None:
                if verdict is Verdict.DONE:
                    return _number(told, lookup.meaning, path)
                if 200 <= answer.status < 300 and told is not None:
                    return None
            if verdict is not Verdict.DONE:
                raise again("GET", path, why)
            item = _listed(lookup, told, names, path)
            if item is not None:
                return _number(item, lookup.meaning, path)
            following = text(get(told, lookup.next)) if lookup.next else ""
            if not following:
                return None
            path = self._caller.page(path, following)
        raise again("GET", path, _FAR.fill(pages=PAGES))


def _listed(lookup: Lookup, told: Any, names: Mapping[str, str], path: str) -> Any:
    """Return the record of a list that is the one looked for, None where none is."""
    try:
        items = items_of(lookup.items or "", told)
    except Shapeless as shapeless:
        raise again("GET", path, shapeless.text) from shapeless
    strangers: list[Misfit] = []
    for item in items:
        try:
            if met(lookup.when, item, {"row": item, "message_id": names["message_id"]}):
                return item
        except Misfit as misfit:  # what it says is nothing to the expression: it is another's
            if isinstance(misfit.__cause__, KeyError):
                strangers.append(misfit)
    if strangers and len(strangers) == len(items):
        raise again("GET", path, strangers[0].text)  # none has what is looked at: that is a slip
    return None


def _body(sending: Sending, content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is sent of *content*; what would be filled from a call that was not made is left out."""
    part = get(content, sending.body) if sending.body else content
    if part is None:
        part = {}
    if not isinstance(part, Mapping):
        raise Misfit(sending.body, _NO_BODY)
    body = copy.deepcopy(dict(part))
    for place, template in sending.fill.items():
        if not template.lacks(names):
            put(body, place, template.filled(names))
    return body


def _number(told: Any, meaning: Meaning, path: str) -> str:
    if not meaning.number:
        return ""
    number = text(get(told, meaning.number)).strip()
    if not number:
        raise again("", path, _NO_NUMBER.fill(place=meaning.number))
    return number


_NEVER = Text(en="The platform refuses the record: {why}.", zh="平台拒收该记录：{zh}。")
_NO_ETAG = Text(
    en="its answer has no ETag, which 'etag' asks for", zh="其应答没有 ETag（映射中设有 etag）"
)
_NO_BODY = Text(
    en="is what 'body' sends, and holds one value: fill columns below it.",
    zh="是 body 所发送的部分，但只有一个值：请填其下级列。",
)
_FAR = Text(
    en="the record is on none of the first {pages} pages of this list: narrow its path",
    zh="前 {pages} 页中没有该记录：请缩小查询范围",
)
_NO_NUMBER = Text(
    en="its answer means success but has no number at {place}",
    zh="应答表示成功，但 {place} 处没有编号",
)
