"""
Builds ``catalogue.json`` from the list of matters that was extracted from the seeds as YAML.

Use, with PyYAML installed (the program itself needs no YAML)::

    python exchange/data/build_catalogue.py catalog.yaml

Only form changes: names, ids, modes and quotations are taken over word for word.  What the seeds
do not say (which of several entries holds, synonyms, exclusions in English) stands in
``catalogue_rules.toml``, written by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-not-found,import-untyped,unused-ignore]

EDITION = "2026.1"
SEEDS = {"000": "S0", "001": "S1", "002": "S2", "003": "S3", "004": "S4"}


def seed_of(entry: dict[str, Any]) -> str:
    """Return the short name (S0 to S4) of the seed that *entry* was taken from."""
    return SEEDS[entry["source_file"][:3]]


def category_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one category in the package's form."""
    kept = {
        "id": entry["id"],
        "zh": entry["name_zh"],
        "en": entry["name_en"],
        "owner": entry["owner_side"],
        "first_handler": entry["first_handler"],
        "listed_mode": entry["handling_mode"],
        "mode": entry.get("suggested_mode", entry["handling_mode"]),
        "condition": entry.get("condition_zh", entry.get("precondition_zh", "")),
        "seed": seed_of(entry),
        "section": entry["source_section"],
        "quote": entry["source_text"],
        "note": entry.get("note", ""),
    }
    kept["items"] = [{key: item[key] for key in ("id", "zh", "en")} for item in entry["items"]]
    return kept


def main() -> None:
    """Read the YAML named on the command line and write the JSON beside this script."""
    source = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lists: dict[str, dict[str, str]] = {}
    for group in source["groups"]:
        short = group["id"].partition(".")[0]
        document = next(s for s in source["sources"] if s["file"] == group["source_file"])
        lists[short] = {
            "id": short,
            "region": group["region_code"],
            "seed": seed_of(group),
            "document": document["title"],
            "date": document["date"],
        }
    whole = {
        "edition": EDITION,
        "precedence": source["precedence_derived"],
        "lists": list(lists.values()),
        "categories": [category_of(entry) for entry in source["categories"]],
    }
    text = json.dumps(whole, ensure_ascii=False, indent=1)
    (Path(__file__).parent / "catalogue.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
