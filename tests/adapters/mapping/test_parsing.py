"""A mapping file's mistakes are named: file, line, key, what is wrong, and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.mapping.parsing import MAX_BYTES, load, read
from exchange.errors import DataError

SOUND = """\
[platform]
name = "示例"
zone = "Asia/Shanghai"

[sheets.gd]
key = ["GDBH"]
status = "TSZT"

[codes.lx]
unmapped = "refuse"
[codes.lx.values]
"01" = "APPEAL_TYPE_HELP"

[fields.common]
"header.created" = { column = "SJ", time = "%Y-%m-%d" }

[[say]]
kind = "open_ticket"
sheet = "gd"
use = ["common"]
when = { LX = "01" }
[say.fields]
"act.region" = "QH"
"matter.appeal_type" = { column = "LX", codes = "lx" }
"place.address" = { columns = ["A", "B"], separator = "|" }

[[hear]]
kind = "*"
sheet = "gd"
[hear.columns]
GDBH = { new = "ZR{serial:05}" }
"""


def written(tmp_path: Path, text: str) -> Path:
    """Return a file that holds *text*."""
    path = tmp_path / "m.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    """The file that the cases below spoil is sound itself."""
    document = load(written(tmp_path, SOUND))

    assert ("gd", "TSZT", 5) == (
        document.say[0].sheet,
        document.sheets["gd"].status and document.sheets["gd"].status.column,
        len(document.say[0].fields) + 1,
    )


@pytest.mark.parametrize(
    ("right", "wrong", "place", "hint"),
    [
        ("zone = ", "zoen = ", (1, "platform.zone"), "'zoen'"),
        ("Asia/Shanghai", "Asia/Shanghia", (3, "platform.zone"), "Asia/Shanghai or +08:00"),
        ('unmapped = "refuse"', 'unmaped = "refuse"', (9, "codes.lx.unmapped"), "'unmaped'"),
        ('unmapped = "refuse"', 'unmapped = "guess"', (10, "codes.lx.unmapped"), "refuse"),
        ("APPEAL_TYPE_HELP", "APPEAL_TYPE_HELPS", (12, "codes.lx.values"), "did you mean 'APPEAL_TYPE_HELP'"),
        ('kind = "open_ticket"', 'kind = "open_tiket"', (18, "say[0].kind"), "'open_ticket'"),
        ('sheet = "gd"\nuse', 'sheet = "gdd"\nuse', (19, "say[0].sheet"), "gd"),
        ('use = ["common"]', 'use = ["comon"]', (20, "say[0].use"), "'common'"),
        ('"act.region"', '"act.regoin"', (23, "say[0].fields.act.regoin"), "'region'"),
        ('"act.region"', '"ract.region"', (23, "say[0].fields.ract.region"), "'act'"),
        ("matter.appeal_type", "matter.apeal_type", (24, "matter.apeal_type"), "'appeal_type'"),
        ('codes = "lx"', 'codes = "xl"', (24, "codes"), "lx"),
        ('codes = "lx"', 'code = "lx"', (24, "code"), "'codes'"),
        ('"%Y-%m-%d"', '"%Y-%m"', (15, "header.created.time"), "whole date"),
        ('"%Y-%m-%d"', '"yyyy-MM-dd"', (15, "header.created.time"), "strftime"),
        (', separator = "|"', "", (25, "place.address.columns"), "separator"),
        ("{serial:05}", "{number}", (31, "hear[0].columns.GDBH.new"), "serial"),
        ("{serial:05}", "{serial.x}", (31, "hear[0].columns.GDBH.new"), "known"),
        ('key = ["GDBH"]', "key = []", (6, "sheets.gd.key"), "identify"),
        ('when = { LX = "01" }', "when = \"row.LX == \"", (21, "say[0].when"), "no CEL expression"),
        ('when = { LX = "01" }', "when = \"rwo.LX == '1'\"", (21, "say[0].when"), "said"),
        ('when = { LX = "01" }', 'when = "open(row.LX)"', (21, "say[0].when"), "no function 'open'"),
        ('use = ["common"]', 'duty = ["agree"]\nuse = ["common"]', (20, "say[0].duty"), "not said on an own duty"),
        ("[platform]", "[platfrom]", (1, "platform"), "'platfrom'"),
        ('kind = "*"', 'kind = "*"\nwirte = "update"', (30, "hear[0].wirte"), "'write'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(
    tmp_path: Path, right: str, wrong: str, place: tuple[int, str], hint: str
) -> None:
    """One thing spoilt: the first complaint names the file's line, the key and what would be right."""
    assert right in SOUND
    line, key = place
    found = read(written(tmp_path, SOUND.replace(right, wrong, 1)))

    fault = found.faults[0]
    assert key in fault.key
    assert hint in fault.text.en
    assert f"m.toml:{fault.line}: " in fault.text.en
    assert f"m.toml:{fault.line}：" in fault.text.zh
    assert abs(line - fault.line) <= 1


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    """Who mends a file sees all that is wrong with it; `load` raises the first."""
    path = written(tmp_path, SOUND.replace("act.region", "act.regoin").replace('"refuse"', '"no"'))

    assert {"codes.lx.unmapped", "say[0].fields.act.regoin"} <= {
        one.key for one in read(path).faults
    }
    with pytest.raises(DataError, match=r"codes\.lx\.unmapped"):
        load(path)


@pytest.mark.parametrize(
    "text", ["[platform", "x = ", "\x00", "[platform]\nname = 3\nzone='+08:00'"]
)
def test_what_is_no_mapping_is_said(tmp_path: Path, text: str) -> None:
    """A broken file is a complaint with its name, never a traceback."""
    faults = read(written(tmp_path, text)).faults

    assert [True] == ["m.toml" in one.text.en for one in faults]


def test_a_file_that_is_not_there_or_too_large_is_said(tmp_path: Path) -> None:
    """A missing file, a folder and one byte too many are each named; the limit itself is read."""
    missing = read(tmp_path / "none.toml")
    folder = read(tmp_path)
    large = written(tmp_path, SOUND + "#" * (MAX_BYTES - len(SOUND.encode()) + 1))
    too_large = read(large)
    large.write_text(SOUND + "#" * (MAX_BYTES - len(SOUND.encode())), encoding="utf-8")

    assert [1, 1, 1] == [len(one.faults) for one in (missing, folder, too_large)]
    assert str(MAX_BYTES) in too_large.faults[0].text.en
    assert () == read(large).faults


def test_a_word_of_several_codes_needs_its_way_back(tmp_path: Path) -> None:
    """Two codes of one meaning: the file says which comes back, or is refused."""
    twice = SOUND.replace(
        '"01" = "APPEAL_TYPE_HELP"', '"01" = "APPEAL_TYPE_HELP"\n"02" = "APPEAL_TYPE_HELP"'
    )
    said = twice.replace(
        "[fields.common]", '[codes.lx.back]\n"APPEAL_TYPE_HELP" = "02"\n\n[fields.common]'
    )

    assert "several codes (01, 02)" in read(written(tmp_path, twice)).faults[0].text.en
    assert {"APPEAL_TYPE_HELP": "02"} == load(written(tmp_path, said)).codes["lx"].back
