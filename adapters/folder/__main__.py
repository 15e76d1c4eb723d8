"""``python -m adapters.folder run FOLDER --config … --mapping …``: drop folders as a platform."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from adapters.folder.document import read_folder
from adapters.folder.platform import FolderPlatform
from adapters.staging.process import Making, serve
from exchange.text import Text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the adapter, show what is put aside, or have it tried again; return the exit status."""
    return serve("folder", _DESCRIPTION, _made, arguments)


def _made(making: Making) -> FolderPlatform:
    return FolderPlatform(
        read_folder(making.document),
        making.folder,
        making.records,
        making.organisation,
        say=making.say,
        remind=making.remind,
    )


_DESCRIPTION = Text(
    en="CSV and XLSX drop folders, linked by a mapping file.",
    zh="以映射文件对接 CSV、XLSX 交换文件夹。",
)

if __name__ == "__main__":
    sys.exit(main())
