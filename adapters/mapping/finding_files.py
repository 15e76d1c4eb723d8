"""What is missing in what a mapping says of files."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.mapping.document import Document
from adapters.mapping.finding import Finding, Weight
from exchange.text import Text


def file_findings(document: Document) -> Iterator[Finding]:
    """Yield what is to be said about the section ``[attachments]``."""
    attachments = document.attachments
    if attachments is None:
        return
    if attachments.heard is None:
        yield Finding(weight=Weight.WARNING, key="attachments", text=_NO_HEARD)
    for key, folder in (("folder", attachments.folder), ("inbox", attachments.inbox)):
        if folder is not None and not folder.is_dir():
            text = _NO_FOLDER.fill(folder=folder)
            yield Finding(weight=Weight.WARNING, key=f"attachments.{key}", text=text)


_NO_HEARD = Text(
    en="files that come have no place here: say in [attachments.heard] what they are written as.",
    zh="收到的附件没有去处：请以 [attachments.heard] 说明写入何处。",
)
_NO_FOLDER = Text(
    en="the folder {folder} is not there (paths are below the mapping's own folder).",
    zh="文件夹 {folder} 不存在（相对路径以映射文件所在文件夹为准）。",
)
