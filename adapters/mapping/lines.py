"""Where in a TOML file a key stands, so that a complaint can name the line."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(
    r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_PIECE = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")


def line_of(text: str, path: str) -> int:
    """
    Return the line of the key *path* (``say[1].fields.act.region``) in *text*, or of what is nearest
    around it; 1 where nothing of it is there.
    """
    best, length = 1, 0
    for number, here in _places(text):
        if (path == here or path.startswith((f"{here}.", f"{here}["))) and len(here) > length:
            best, length = number, len(here)
    return best


def _places(text: str) -> list[tuple[int, str]]:
    """Return each line's number and the path that stands there."""
    found: list[tuple[int, str]] = []
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            prefix = _path(header[2])
            if header[1] == "[[":
                counts[prefix] = counts.get(prefix, -1) + 1
                prefix = f"{prefix}[{counts[prefix]}]"
            else:  # [say.fields] belongs to the [[say]] before it
                for name, count in counts.items():
                    if prefix.startswith(f"{name}."):
                        prefix = f"{name}[{count}]" + prefix[len(name) :]
            found.append((number, prefix))
            continue
        key = _KEY.match(line)
        if key is not None:
            path = _path(key[1])
            found.append((number, f"{prefix}.{path}" if prefix else path))
    return found


def _path(dotted: str) -> str:
    return ".".join("".join(piece) for piece in _PIECE.findall(dotted))
