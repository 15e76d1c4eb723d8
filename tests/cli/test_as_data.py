"""What commands that write files, or print what is no JSON, give with ``--json``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from exchange.cosignature import WitnessKey, cosign, with_lines
from exchange.log import TrustedLogs
from exchange.note import LogKey, NoteVerifier, split_note
from exchange.store.cosignatures import Cosignatures
from tests.cli.town import Shell, Town, cross


def test_the_newest_checkpoint(town: Town, exchange: Shell, tmp_path: Path) -> None:
    """Origin, size and root beside the note, which is the one that is printed."""
    cross(exchange, town, tmp_path)
    words = ("log", "checkpoint", "--config", town.operator)
    said, printed = exchange(*words, "--json").data, exchange(*words).out
    key = NoteVerifier.parse(town.pki.development.log_verifier.read_text("ascii").strip())
    found = TrustedLogs([key]).checkpoint(said["note"].encode())

    assert printed == said["note"]
    assert (found.origin, found.size, found.root.hex()) == (
        said["origin"], said["size"], said["root"],
    )  # fmt: skip


def test_an_export(town: Town, exchange: Shell, tmp_path: Path) -> None:
    """With a file, how many rows it has; else the rows themselves, a document a line."""
    cross(exchange, town, tmp_path)
    file = tmp_path / "tickets.csv"
    words = ("ticket", "export", "--config", town.operator, "--json")
    said = exchange(*words, "--output", file).data
    rows = exchange(*words).lines

    assert {"file": str(file), "format": "csv", "rows": len(rows)} == said
    assert 0 < len(rows) == len(file.read_text("utf-8-sig").splitlines()) - 1
    assert all(row["ticket_id"] for row in rows)


def test_a_draft_of_a_mapping(exchange: Shell, tmp_path: Path) -> None:
    """The proposal as one text, which is the one that is printed."""
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps([{"jjdbh": "J1", "bjsj": "2026-03-01"}]), encoding="utf-8")
    words = ("mapping", "draft", "--sample", sample, "--service", "110")

    assert {"service": "110", "mapping": exchange(*words).out} == exchange(*words, "--json").data


def test_the_ground_of_a_conformance_run(exchange: Shell, tmp_path: Path) -> None:
    """Where it was made, and the two files that a run is given."""
    said = exchange("conformance", "prepare", tmp_path / "kit", "--json").data

    assert (str(tmp_path / "kit"), "127.0.0.1:15210") == (said["folder"], said["target"])
    assert all(Path(said[name]).is_file() for name in ("bridge", "capabilities"))


def test_what_a_bridge_reckons_is_bound(town: Town, exchange: Shell, tmp_path: Path) -> None:
    """A bridge that is served says by which rules: of no hand-off is anything left out, and it is said so."""
    cross(exchange, town, tmp_path)
    said = exchange("log", "verify", "--config", town.operator, "--json").data
    acts = exchange("certs", "acts", "logged", "--config", town.operator, "--json").data["acts"]
    (rules,) = [one["facts"] for one in acts if one["facts"]["act"] == "reckoning"]

    assert (True, 0) == (said["holds"], said["unbound_handoffs"])
    assert {"changzhi", "national"} < {one["name"] for one in rules["profiles"]}
    assert "national" in exchange("certs", "acts", "logged", "--config", town.operator).out


def test_cosignatures_by_keys_that_nobody_knows(
    town: Town, exchange: Shell, tmp_path: Path
) -> None:
    """They are counted and told in both languages; that everything holds is said all the same."""
    cross(exchange, town, tmp_path)
    witness = LogKey.from_seed("witness.example/1", bytes([7] * 32))
    kept, now = Cosignatures.open(town.bridge.settings.database), datetime.now(UTC)
    note = kept.checkpoint(town.bridge.settings.origin)
    line = cosign(split_note(note)[0], witness, now).line
    kept.keep(with_lines(note, [line]), [WitnessKey.of(witness)], now)
    kept.close()
    words = ("log", "verify", "--config", town.operator)
    said = exchange(*words, "--json").data

    assert (True, 1) == (said["holds"], said["unknown_cosignatures"])
    assert "1 co-signatures are by none of the witnesses' keys" in exchange(*words).out
    assert "有 1 份联署不出自此处已知的见证者公钥" in exchange(*words, "--lang", "zh").out
