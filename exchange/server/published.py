"""
The sealing keys that organisations published: files that the bridge's operator put into one folder.

The bridge vouches for none of them; whoever seals verifies the signature of each.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from exchange.causes import cause
from exchange.errors import ConfigurationError, VerificationError
from exchange.text import Text
from exchange.wire.sealing import read_key

#: Files looked at, and bytes of each, at most: more is no folder of keys.
MOST_FILES, MOST_BYTES = 10_000, 32_768


def published(folder: Path, organisations: Collection[str]) -> list[bytes]:
    """
    Return the keys in *folder* that speak for *organisations*, each as its file's bytes.

    A file that holds none is passed over, so that one never keeps another's from being found;
    `check_published` names it.
    """
    found: list[bytes] = []
    for path in _files(folder):
        try:
            raw = _read(path)
            if read_key(raw).organisation in organisations:
                found.append(raw)
        except (OSError, VerificationError):
            continue  # half copied, or none: named at the next start
    return found


def check_published(folder: Path) -> None:
    """Raise `ConfigurationError` naming a file of *folder* that holds no sealing key."""
    for path in _files(folder):
        try:
            read_key(_read(path))
        except OSError as error:
            raise _unfit(path, cause(error)) from error
        except VerificationError as error:
            raise _unfit(path, error.text) from error


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []  # nobody seals anything here
    return sorted(folder.glob("*.sealing"))[:MOST_FILES]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _unfit(path: Path, why: Text) -> ConfigurationError:
    return ConfigurationError(
        Text(
            en=f"{path} in the folder 'sealing_keys': {why.en} Remove the file, or ask its owner for it again.",
            zh=f"sealing_keys 文件夹中的 {path}：{why.zh}请移除该文件，或请其所属机构重新提供。",
        ),
        file=str(path),
    )
