"""What an organisation took over a bridge still proves everything when there is no bridge any more."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from exchange.acts import Kind
from tests.cli.town import Shell, Town, cross, open_town
from tests.pki import CITY_110, Pki


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is left: a town without bridge and database, and what was taken before."""

    town: Town
    folder: Path
    #: The offer's id, and its envelope as the police keep it.
    offer: str
    envelope: Path

    def verdicts(self, exchange: Shell, file: Path, *words: object) -> list[str]:
        """Return what `receipt verify` finds, in order, when it may ask nobody."""
        proved = exchange("receipt", "verify", file, "--json", *words, *self.town.trust)
        verdicts = [one["verdict"] for one in proved.data["obligations"]]
        assert proved.code == (1 if "broken" in verdicts else 0), proved
        return verdicts


@pytest.fixture
def kept(pki: Pki, tmp_path: Path, exchange: Shell) -> Kept:
    """Cross, take trails and answers over the bridge, stop it, and remove its database."""
    with open_town(pki, tmp_path) as town:
        ticket = cross(exchange, town, tmp_path)
        for name, config in (("hotline", town.hotline), ("police", town.police)):
            trail = exchange("ticket", "trail", ticket, "--receipts", tmp_path / name, "--config", config)  # fmt: skip
            assert trail.code == 0, trail
        pulled = exchange("pull", "--to", tmp_path / "answers", "--config", town.hotline)
        assert pulled.code == 0, pulled
    for left in tmp_path.glob("bridge.db*"):
        left.unlink()
    (offer,) = [
        item
        for path in (tmp_path / "in").iterdir()
        if (item := json.loads(path.read_bytes()))["kind"] == Kind.OFFER.value
    ]
    envelope = tmp_path / "offer.envelope"
    envelope.write_bytes(base64.b64decode(offer["envelope"]))
    return Kept(town=town, folder=tmp_path, offer=offer["message_id"], envelope=envelope)


@pytest.mark.parametrize("side", ["hotline", "police"])
def test_a_trails_receipt_files_hold_offline(exchange: Shell, kept: Kept, side: str) -> None:
    """Each shows the log's entry, the written receipt's own entry and the receiver's signature."""
    files = sorted((kept.folder / side).iterdir())
    assert len(files) == 2
    for file in files:
        verdicts = kept.verdicts(exchange, file)
        if file.name.startswith(kept.offer):
            # Only the parties hold the offer itself: what is proved is its digest.
            assert verdicts == ["not-shown", "holds", "holds", "holds"]
        else:
            assert verdicts == ["holds"] * 5  # message, log, author, written's leaf, written


def test_with_the_message_beside_it_the_author_is_proved_too(exchange: Shell, kept: Kept) -> None:
    """A trail brings the authors' certificates along: `--message` completes the file."""
    for side in ("hotline", "police"):
        file = kept.folder / side / f"{kept.offer}.receipt.json"
        assert kept.verdicts(exchange, file, "--message", kept.envelope) == ["holds"] * 5


def test_a_pulled_answer_holds_offline(exchange: Shell, kept: Kept) -> None:
    """The receipt that comes back to the author is signed by the receiver, with its certificates."""
    file = kept.folder / "answers" / f"{kept.offer}-{CITY_110.organisation}.receipt.json"
    verdicts = kept.verdicts(exchange, file, "--message", kept.envelope)

    # The answer alone shows no log entry, nor when the message was signed.
    assert verdicts == ["holds", "not-shown", "not-shown", "not-shown", "holds"]


def test_a_changed_file_does_not_hold(exchange: Shell, kept: Kept) -> None:
    """Another certificate, or the proof of another entry, proves nothing."""
    path = kept.folder / "police" / f"{kept.offer}.receipt.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    bare = {**whole, "certificates": []}
    moved = json.loads(json.dumps(whole))
    moved["written"][0]["proof"]["leaf_index"] = whole["stored"]["leaf_index"]
    for changed, verdict in ((bare, [3]), (moved, [2])):
        path.write_text(json.dumps(changed), encoding="utf-8")
        found = kept.verdicts(exchange, path)
        assert [place for place, one in enumerate(found) if one == "broken"] == verdict
