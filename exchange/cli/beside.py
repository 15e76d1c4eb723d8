"""Where the adapter of a gateway works: its folder, with its spool, beside the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from exchange.cli.grammar import option
from exchange.errors import ConfigurationError
from exchange.text import Text

_F = TypeVar("_F", bound=Callable[..., Any])

_NO_FOLDER = Text(
    en="Which adapter? There is no spool.db in {beside} and none in {named}. Name the folder that it runs "
    "in: --folder FOLDER.",
    zh="请指明适配器：{beside} 与 {named} 中均无 spool.db。请用 --folder 给出其运行文件夹。",
)


def folder_option(function: _F) -> _F:
    """Declare ``--folder``."""
    return option(
        "--folder", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
        en="Where the adapter runs (has spool.db); else beside the configuration, or the folder of its name: "
        "hotline/ for hotline.toml.",
        zh="适配器的运行文件夹（含 spool.db）；默认为配置文件所在文件夹，或与其同名的文件夹"
        "（hotline.toml 对应 hotline/）。",
    )(function)  # fmt: skip


def adapter_folder(config: Path, folder: Path | None) -> Path:
    """Return the folder of the adapter of *config*; raises `ConfigurationError` where none is found."""
    if folder is not None:
        return folder
    beside, named = config.parent, config.with_suffix("")
    for found in (beside, named):
        if (found / "spool.db").exists():
            return found
    raise ConfigurationError(_NO_FOLDER.fill(beside=beside, named=named))
