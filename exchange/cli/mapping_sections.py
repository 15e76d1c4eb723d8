"""What is wrong with the section of a mapping that only one adapter reads: ``[http]``, ``[folder]``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from exchange.errors import ConfigurationError, DataError
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.http.document import Http
    from adapters.mapping.document import Document
    from adapters.mapping.finding import Finding
    from adapters.mapping.parsing import Fault


def section_faults(document: Document) -> list[Fault]:
    """Return what keeps the adapter of *document*'s section from starting: the first, as it reads it."""
    from adapters.mapping.parsing import Fault, fault_of

    path = Path(document.file)
    try:
        _read(document, [])
    except DataError as error:
        return [fault_of(error, path, path.read_text(encoding="utf-8"))]
    except ConfigurationError as error:
        return [Fault(file=document.file, line=1, key=document.section, text=error.text)]
    return []


def section_findings(document: Document) -> Iterator[Finding]:
    """Yield what is to be said of a section that can be read."""
    from adapters.mapping.finding import Finding, Weight

    missing: list[Text] = []
    http = _read(document, missing)
    for text in missing:
        yield Finding(weight=Weight.WARNING, key=document.section, text=text)
    for call in http.calls.values() if http is not None else ():
        held = call.held
        if held is None:
            continue
        seen = [held.meaning.success, held.when, *([held.lost] if held.lost is not None else [])]
        sources = [one.expression.source for one in seen if one.expression is not None]
        if not any("message_id" in one for one in (held.path.source, *sources)):
            yield Finding(weight=Weight.WARNING, key="http.call", text=_BY_NUMBER)


def _read(document: Document, missing: list[Text]) -> Http | None:
    from adapters.staging.tables import staged

    if document.section == "http":
        from adapters.http.parsing import read_http

        staged(document)
        return read_http(document, missing)
    if document.section == "folder":
        from adapters.folder.document import read_folder

        staged(document)
        read_folder(document)
    return None


_BY_NUMBER = Text(
    en="'held' asks by the record's number alone: a number that the platform gives anew after it was put back looks "
    "as if the lost record were there. Ask by {message_id}, or compare it in 'success' and 'lost'.",
    zh="held 仅按记录编号查询：平台恢复后重新分配的编号会使丢失的记录看似仍在。请按 {message_id} 查询，或在 success、lost 中比对。",
)
