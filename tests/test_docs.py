"""
The documents say what the program does: diagram, tables, commands and links are held against it.

What stands in a block of its own is run by ``test_documented_commands.py``.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from exchange.cli.root import run
from exchange.rules import as_rows as rule_rows
from exchange.states import as_rows, mermaid
from tests.documents import Command, steps

ROOT = Path(__file__).resolve().parent.parent
#: Every document that the checkout has.
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*.md")
    if "node_modules" not in path.parts
    and not path.relative_to(ROOT).parts[0].startswith((".", "build", "dist"))
)


def life_cycle() -> str:
    """Return what the README must hold between its life-cycle marks."""
    rows = "".join(f"| {' | '.join(row)} |\n" for row in as_rows())
    table = "| state | decides | answers | moves |\n| --- | --- | --- | --- |\n" + rows
    return f"```mermaid\n{mermaid()}```\n\n{table}"


def test_the_life_cycle_in_the_readme_is_the_table() -> None:
    """The README's diagram and table are drawn from the life cycle's own table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- life cycle:[^\n]*-->\n(.*?)<!-- end of life cycle -->", readme, re.DOTALL
    )

    assert found is not None
    assert life_cycle() == found[1]


def test_the_rules_in_architecture_are_the_rules() -> None:
    """ARCHITECTURE lists every numbered rule with what it rests on."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = "".join(f"| {' | '.join(row)} |\n" for row in rule_rows())

    assert rows in text


def test_the_readme_is_short() -> None:
    """The README stays within the 200 lines a stranger reads."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of a document names a file that is there."""
    path = ROOT / document
    targets = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))

    assert [] == [target for target in targets if not (path.parent / target).exists()]


def commands() -> list[str]:
    """Return every `exchange …` that stands in a sentence or in a block of a document."""
    found = set()
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        found |= set(re.findall(r"(?<!`)`(exchange [^`\n]+)`", text))
        blocks = [step.text for step in steps(ROOT / document) if isinstance(step, Command)]
        found |= {re.split(r" [>|&] ?", one)[0] for one in blocks if one.startswith("exchange ")}
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_documented_commands_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command a document mentions has its sub-commands and options."""
    words = shlex.split(command)[1:]
    names = [word for word in words if re.fullmatch(r"[a-z-]+", word) and word[0] != "-"]
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    if words[:2] == ["adapter", "run"]:
        names, options = words[:2], []  # the rest is the adapter's own, which its tests try
    deepest = max(d for d in (1, 2, 3) if run([*names[:d], "--help"], {}) == 0)
    capsys.readouterr()

    run([*names[:deepest], "--help"], {})

    shown = capsys.readouterr().out
    assert [] == [option for option in options if option not in shown]


def test_documents_show_commands() -> None:
    """The check above looks at something."""
    assert len(commands()) >= 5
