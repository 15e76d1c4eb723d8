"""Sentences with facts in them that are themselves in two languages."""

from __future__ import annotations

from exchange.text import Text

#: Nothing to say.
NOTHING = Text(en="", zh="")


def filled(text: Text, /, **facts: object) -> Text:
    """Return *text* with its places filled in; of a fact that is a `Text`, its own language."""
    en = {key: fact.en if isinstance(fact, Text) else fact for key, fact in facts.items()}
    zh = {key: fact.zh if isinstance(fact, Text) else fact for key, fact in facts.items()}
    return Text(en=text.en.format(**en), zh=text.zh.format(**zh))
