"""``exchange log verify``: whom each signature is believed by, and what is not there is not made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchange.cli.signatures import Signatures, Vouching
from exchange.errors import VerificationError
from exchange.note import NoteVerifier
from exchange.query.evidence import EvidenceRoom
from exchange.store.audit import audit
from exchange.store.engines import connect
from tests.cli.town import Shell, Town, cross
from tests.pki import CITY_110, CITY_12345


@pytest.fixture(scope="module")
def signers(town: Town) -> Vouching:
    """Who vouches for the signers of the town."""
    registered = {desk.organisation: desk.network for desk in (CITY_12345, CITY_110)}
    return Vouching(networks=town.pki.trust(), registered=registered)


def _verifier(town: Town) -> NoteVerifier:
    return NoteVerifier.parse(town.pki.development.log_verifier.read_text("ascii").strip())


def _findings(town: Town, vouching: Vouching) -> list[str]:
    url, verifier = town.bridge.settings.database, _verifier(town)
    engines, room = connect(url), EvidenceRoom.open(url)
    try:
        return [text.en for text in audit(engines, verifier, Signatures(room, verifier, vouching))]
    finally:
        room.close()
        engines.close()


def test_signers_are_chained_to_their_networks_roots(
    town: Town, exchange: Shell, tmp_path: Path
) -> None:
    """With the configuration's roots or given ones; without any it is said plainly."""
    cross(exchange, town, tmp_path)
    url, key = town.bridge.settings.database, town.pki.development.log_verifier
    roots = [f"--trust={name}={path}" for name, path in town.pki.development.trust.items()]
    nowhere = tmp_path / "none.toml"
    configured = exchange("log", "verify", "--config", town.operator)
    assert configured.code == 0
    assert "chains to its network's root" in configured.out
    named = ("log", "verify", "--database", url, "--log", key, "--config", nowhere)
    given = exchange(*named, *roots, "--json")
    assert (given.code, given.data["chained"], given.data["findings"]) == (0, True, [])
    without = exchange(*named)
    assert without.code == 0
    assert "Signers' certificates were not chained to a root" in without.out
    assert exchange(*named, "--json").data["chained"] is False
    assert "未将签名者证书验证至根证书" in exchange(*named, "--lang", "zh").out


def test_each_row_of_a_signer_whom_nobody_vouches_for_is_named(
    town: Town, exchange: Shell, tmp_path: Path
) -> None:
    """Without one network's root exactly what its desks signed is found, receipts too."""
    cross(exchange, town, tmp_path)
    made = town.pki.development
    one = f"--trust={CITY_12345.network}={made.trust[CITY_12345.network]}"
    said = exchange("log", "verify", "--config", town.operator, one, "--json")
    assert said.code == 1
    found = [one["en"] for one in said.data["findings"]]
    assert len(found) == len({text.partition(":")[0] for text in found}) > 0
    assert all("receipt" in text and CITY_110.organisation in text for text in found)
    assert CITY_12345.organisation not in " ".join(found)


def test_a_certificate_is_judged_by_the_time_of_its_row(town: Town, signers: Vouching) -> None:
    """Years before, the same signature by the same certificate was nobody's."""
    url, verifier = town.bridge.settings.database, _verifier(town)
    room = EvidenceRoom.open(url)
    stored = next(iter(room.of_ticket(_any_ticket(url))))
    checked = Signatures(room, verifier, signers)
    now = datetime.now(UTC)
    assert checked.message(stored.envelope, now).id == stored.message_id
    with pytest.raises(VerificationError, match="not valid at this time") as raised:
        checked.message(stored.envelope, now - timedelta(days=4000))
    assert CITY_12345.organisation in raised.value.text.en
    room.close()


def _any_ticket(url: str) -> str:
    engines = connect(url)
    with engines.reader.connect() as connection:
        found: str = connection.exec_driver_sql("SELECT id FROM ticket LIMIT 1").scalar_one()
    engines.close()
    return found


def test_a_network_cannot_vouch_for_anothers_desk(
    town: Town, signers: Vouching, exchange: Shell, tmp_path: Path
) -> None:
    """A code that is registered in one network, and signs under another's root, is found."""
    cross(exchange, town, tmp_path)
    assert _findings(town, signers) == []
    moved = replace(signers, registered={CITY_12345.organisation: CITY_110.network})
    found = _findings(town, moved)
    assert found
    assert all(f"registered in {CITY_110.network}" in text for text in found)


@pytest.mark.parametrize(
    "words",
    [
        ("ticket", "list"),
        ("ticket", "export"),
        ("ticket", "show", "00000000-0000-4000-8000-000000000000"),
        ("log", "verify"),
        ("log", "checkpoint"),
        ("migrate",),
    ],
)
def test_a_database_that_is_not_there_is_told_and_not_made(
    town: Town, exchange: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The path is named; neither file nor folder is made, whatever is asked of it."""
    for path in (tmp_path / "wrong.db", tmp_path / "no" / "folder" / "wrong.db"):
        said = exchange(*words, "--database", f"sqlite:///{path}", "--config", town.operator)
        assert said.code == 1
        assert f"There is no database {path}" in said.err
        assert list(tmp_path.iterdir()) == []
