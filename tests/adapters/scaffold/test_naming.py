"""A new package: its name can be used, it is whole or not there, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.making import NAME_LONGEST, make, sources
from exchange.cli.root import run
from exchange.errors import ConfigurationError
from tests.adapters.scaffold.plugins import GROUP, exchange, plugin


def names_in(folder: Path) -> list[str]:
    """Return what is in *folder*."""
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "cannot be the name"),
        ("City", "cannot be the name"),
        ("city-desk", "cannot be the name"),
        ("9desk", "cannot be the name"),
        ("_desk", "cannot be the name"),
        ("desk_", "cannot be the name"),
        ("a__b", "cannot be the name"),
        ("../desk", "cannot be the name"),
        ("城市", "cannot be the name"),
        ("d" * (NAME_LONGEST + 1), "cannot be the name"),
        ("class", "a word of the Python language"),
        ("match", "a word of the Python language"),
        ("json", "a Python module that is here already"),
        ("pytest", "a Python module that is here already"),
        ("exchange", "a Python module that is here already"),
        ("tests", "a Python module that is here already"),
        ("jsonl", "is installed already, by hotline-exchange"),
        ("vendors", "is installed already, by vendor-kit"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    name: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said why, with status 2, and nothing is made."""
    plugin(tmp_path / "site", "vendor-kit", f"{GROUP}\nvendors = p_vendors:main\n", {})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    code = run(["adapter", "new", name, "--out", str(tmp_path / "made")], {"LANG": "C"})
    said = capsys.readouterr()

    assert (2, "") == (code, said.out)
    assert why in said.err
    assert ["site"] == names_in(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_is_not_overwritten(kind: str, tmp_path: Path) -> None:
    """A folder, even an empty one, a file and a dangling link stay as they are."""
    place = tmp_path / "made"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine", encoding="utf-8")
    else:
        place.symlink_to(tmp_path / "nowhere")
    before = _unread(place)
    ran = exchange("adapter", "new", "city_desk", "--out", place, path=tmp_path, language="zh")

    assert ran.returncode == 2
    assert "已存在，未作任何改动" in ran.stderr
    assert (["made"], before) == (names_in(tmp_path), _unread(place))


def _unread(place: Path) -> tuple[int, ...]:
    """Return what only a change changes: reading a link sets when it was last read."""
    found = place.lstat()
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The new folder is made, its parents are not."""
    place = tmp_path / "away" / "made"
    ran = exchange("adapter", "new", "city_desk", "--out", place, path=tmp_path)

    assert ran.returncode == 2
    assert f"{place.parent} is not a folder" in ran.stderr
    assert [] == names_in(tmp_path)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", range(len(list(sources()))))
def test_nothing_half_made_is_left(
    at: int, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or Ctrl-C at whichever file leaves the folder as it was."""
    write, count = Path.write_text, 0

    def failing(path: Path, *given: object, **named: object) -> int:
        nonlocal count
        count += 1
        if count > at:
            raise failure
        return write(path, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises((ConfigurationError, KeyboardInterrupt)):
        make("city_desk", tmp_path / "made")

    assert [] == names_in(tmp_path)


def test_the_folder_has_the_name_where_no_other_is_given(tmp_path: Path) -> None:
    """Without `--out` it is made here; every file is listed, and readable as any new file is."""
    ran = exchange("adapter", "new", "city_desk", path=tmp_path, cwd=tmp_path)
    files = {
        str(one.relative_to(tmp_path / "city_desk"))
        for one in (tmp_path / "city_desk").rglob("*")
        if one.is_file()
    }
    listed = {line.strip() for line in ran.stdout.splitlines() if line.startswith("  ")}

    assert (0, "") == (ran.returncode, ran.stderr)
    assert files == listed
    assert len(files) == len(list(sources()))
    usual = tmp_path / "usual"
    usual.mkdir()
    assert usual.stat().st_mode == (tmp_path / "city_desk").stat().st_mode
