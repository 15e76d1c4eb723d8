"""The places of a message: which paths there are, and the shape of what stands at each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.mapping.paths import NotAPath, parts
from exchange.acts import Kind
from exchange.client.shapes import Shape, act_shape, group_shape, groups_allowed
from exchange.reading import nearest
from exchange.text import Text


def _plain(
    kind: str, *, required: bool = False, words: tuple[str, ...] = (), length: int = 0
) -> Shape:
    return Shape(type=kind, required=required, words=words, length=length, fields={})


#: What a message says around its act and groups.  *created* is needed: a repeat says the same time.
HEADER: Mapping[str, Shape] = {
    "created": _plain("time", required=True),
    "recipient": _plain("text", length=18),
    "urgency": _plain("word", words=("routine", "urgent", "immediate")),
    "marker": _plain("word", words=("actual", "exercise", "test")),
    "classification": _plain("word", words=("ordinary", "confidential", "secret", "legal_channel")),
    "ticket_id": _plain("text", length=36),
    "handoff_id": _plain("text", length=36),
}
#: What is known of a message that was heard, beside those.
HEARD = (*HEADER, "kind", "message_id", "author", "digest")

_LEAVES = frozenset(
    {"text", "whole", "number", "truth", "bytes", "word", "time", "duration", "coded"}
)


def shape_at(path: str, kinds: Iterable[Kind]) -> Shape:
    """Return the shape at *path* in a message of one of *kinds*; raises `NoSuchPlace`."""
    try:
        first, *rest = parts(path)
    except NotAPath:
        raise NoSuchPlace(_NO_PATH) from None
    several = tuple(kinds)
    if first == "header":
        return _inside(Shape(type="object", fields=HEADER), rest, "header")
    if first == "act":
        tried: NoSuchPlace | None = None
        for kind in several:
            try:
                return _inside(act_shape(kind), rest, "act")
            except NoSuchPlace as wrong:
                tried = tried or wrong
        raise tried or NoSuchPlace(_NO_PATH)
    allowed = {name for kind in several for name in groups_allowed(kind)}
    if first not in allowed:
        everywhere = groups_allowed(Kind.SUPPLEMENT)
        if first in everywhere:
            raise NoSuchPlace(
                _NOT_HERE.fill(group=first, kinds=", ".join(k.value for k in several))
            )
        hint = nearest(str(first), {*allowed, "act", "header"})
        raise NoSuchPlace(
            Text(
                en=f"there is no '{first}' in a message; {hint.en}",
                zh=f"消息中没有“{first}”；{hint.zh}",
            )
        )
    return _inside(group_shape(str(first)), rest, str(first))


class NoSuchPlace(Exception):
    """A path leads nowhere in the messages it is meant for; *text* says what would be right."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def _inside(shape: Shape, rest: list[str | int], where: str) -> Shape:
    found = shape
    for part in rest:
        if isinstance(part, int):
            if not found.repeated:
                raise NoSuchPlace(_NO_LIST.fill(path=where))
            found = Shape(
                type=found.type, required=found.required, words=found.words,
                length=found.length, fields=found.fields,
            )  # fmt: skip
        else:
            if found.repeated:
                raise NoSuchPlace(_LIST.fill(path=where))
            inner = found.fields.get(part)
            if inner is None:
                hint = nearest(part, found.fields)
                raise NoSuchPlace(
                    Text(
                        en=f"there is no '{part}' in {where}; {hint.en}",
                        zh=f"{where} 中没有“{part}”；{hint.zh}",
                    )
                )
            found = inner
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    if found.type not in _LEAVES:
        inner_names = ", ".join(list(found.fields)[:12])
        raise NoSuchPlace(_NO_LEAF.fill(path=where, names=inner_names))
    return found


_NO_PATH = Text(
    en="is no place in a message; write one such as content.content or act.region.",
    zh="不是消息中的位置；例如 content.content 或 act.region。",
)
_NOT_HERE = Text(
    en="the group '{group}' does not stand with: {kinds}.",
    zh="字段组“{group}”不随以下种类发送：{kinds}。",
)
_NO_LIST = Text(en="{path} is no list: leave the [0] out.", zh="{path} 不是列表，请去掉 [0]。")
_LIST = Text(en="{path} is no list: leave the [0] out.", zh="{path} 不是列表，请去掉 [0]。")
_NO_LEAF = Text(
    en="{path} has fields of its own; map one of: {names}.",
    zh="{path} 下还有字段，请指明其一：{names}。",
)
