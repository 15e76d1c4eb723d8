"""Adapters as others would install them: folders with a module and a distribution's metadata."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

GROUP = "[exchange.adapters]"


def plugin(
    folder: Path, distribution: str, points: str, modules: Mapping[str, str], version: str = "1.0"
) -> None:
    """Install *distribution* into *folder*: its *points* are the text of its entry points."""
    home = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    home.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (home / "METADATA").write_text(metadata, encoding="utf-8")
    (home / "entry_points.txt").write_text(points, encoding="utf-8")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def exchange(
    *words: object, path: Path, language: str = "en", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``exchange`` as a process that finds what is installed in *path*, too."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "exchange", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(path), "EXCHANGE_LANG": language},
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
