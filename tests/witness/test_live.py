"""Two witnesses at a running bridge, over real TLS: what they get, what they may, what is kept."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from exchange.client.calls import Patience
from exchange.config import load_settings
from exchange.cosignature import WitnessKey, cosign, cosignatures, with_lines
from exchange.errors import ExchangeError, InvalidRequest, NotAuthorized, NotFound
from exchange.identity import METHODS, CallerKind
from exchange.note import LogKey, split_note
from exchange.witness.calling import CalledBridge
from exchange.witness.carrying import Head
from exchange.witness.settings import Dialling
from tests.cli.town import Shell, matter_lines, write_lines
from tests.mtls.handshake import dial
from tests.pki import CITY_110
from tests.server.running import Running, failure, write_settings
from tests.witness.logs import Log
from tests.witness.place import Place, credential, witness_toml

ONCE = Patience(deadline=timedelta(seconds=20), attempts=1)


def grow(exchange: Shell, place: Place, folder: Path) -> str:
    """Push a ticket and its offer; return its id."""
    ticket, lines = matter_lines()
    file = write_lines(folder / f"{ticket}.jsonl", lines)
    assert exchange("push", file, "--config", place.hotline).code == 0
    return ticket


def bridge_of(place: Place, number: int = 0, **changes: Any) -> CalledBridge:
    """Return the bridge as one of the witnesses dials it."""
    tls = place.witnesses[number].tls
    values = {
        "target": f"127.0.0.1:{place.bridge.port}",
        "roots": place.pki.development.bridge_trust,
        "certificate": tls.certificate,
        "key": tls.key,
        **changes,
    }
    return CalledBridge(Dialling(**values), ONCE)


def kept(place: Place) -> list[tuple[str, int]]:
    """Return witness and size of every co-signature in the bridge's database."""
    name = place.bridge.settings.database.removeprefix("sqlite:///")
    with sqlite3.connect(name) as database:
        return sorted(database.execute("SELECT witness, size FROM cosignature"))


def journal(err: str) -> list[dict[str, Any]]:
    """Return the lines of a witness's journal."""
    return [json.loads(line) for line in err.splitlines()]


def test_both_networks_cosign_what_grew(place: Place, exchange: Shell, tmp_path: Path) -> None:
    """Each witness signs the head it sees first, then one that grew; nothing twice while it is fresh."""
    origin = place.bridge.settings.origin
    for one in place.witnesses:
        assert exchange("witness", "run", "--once", "--config", one.config).code == 2  # not begun
        assert exchange("witness", "begin", "--config", one.config).code == 0
    sizes = []
    for _ in range(2):
        grow(exchange, place, tmp_path)
        for one in place.witnesses:
            looked = exchange("witness", "run", "--once", "--config", one.config)
            (line,) = journal(looked.err)
            assert (looked.code, line["event"]) == (0, "cosigned"), looked
            sizes.append(line["size"])
    again = exchange("witness", "run", "--once", "--config", place.witnesses[0].config)
    seen = exchange("witness", "status", "--json", "--config", place.witnesses[0].config)

    assert sizes == [3, 3, 5, 5]  # with the act by which rules the bridge reckons
    assert kept(place) == sorted((one.key.name, size) for one in place.witnesses for size in (3, 5))
    assert (again.code, again.err) == (0, "")
    assert seen.code == 0
    assert [(row["origin"], row["size"]) for row in seen.data["logs"]] == [(origin, 5)]


def test_a_witness_may_call_for_its_own_and_no_more(place: Place) -> None:
    """A gateway may not act as a witness, nor a witness's signing certificate dial, nor a foreign key count."""
    gateway = place.pki.gateway(CITY_110)
    origin = place.bridge.settings.origin
    with (
        bridge_of(place, certificate=gateway.certificate, key=gateway.key) as posing,
        pytest.raises(NotAuthorized, match="Only a witness"),
    ):
        posing.checkpoint(origin)
    with dial(place.pki, place.bridge.port, place.witnesses[0].tls) as channel:
        for method, kind in METHODS.items():
            if kind is CallerKind.GATEWAY:
                ask = channel.unary_unary(
                    method, request_serializer=bytes, response_deserializer=bytes
                )
                with pytest.raises(grpc.RpcError) as refused:
                    ask(b"", timeout=20)
                code, _, facts = failure(refused)
                denied = (grpc.StatusCode.PERMISSION_DENIED, "caller-kind")
                assert (code, facts["rule"]) == denied, method
    with bridge_of(place) as bridge:
        note = bridge.checkpoint(origin)
        text = split_note(note)[0]
        for key in (place.witnesses[1].key, LogKey.from_seed("stranger", bytes(32))):
            line = cosign(text, key, datetime.now(UTC)).line
            with pytest.raises(InvalidRequest, match="No witness"):
                bridge.submit(with_lines(note, [line]))
        with pytest.raises(NotFound, match=r"other\.example"):
            bridge.checkpoint("other.example/log/1")


def test_what_is_not_this_logs_is_not_kept(place: Place) -> None:
    """A head of another history, a time in the future and a changed signature are refused, each by name."""
    before, key, now = kept(place), place.witnesses[0].key, datetime.now(UTC)
    origin = place.bridge.settings.origin
    with bridge_of(place) as bridge:
        note = bridge.checkpoint(origin)
        text = split_note(note)[0]
        size = int(text.split("\n")[1])
        other = text.replace(f"\n{size}\n", f"\n{size + 1}\n")
        late = cosign(text, key, now + timedelta(minutes=6)).line
        good = cosign(text, key, now).line
        cases = [
            (with_lines(note, [late]), "future"),
            (with_lines(f"{other}\n{good}\n".encode(), []), "does not hold"),
            (f"{other}\n{cosign(other, key, now).line}\n".encode(), "gave no such checkpoint"),
            (b"nothing", "malformed"),
        ]
        for shown, why in cases:
            with pytest.raises(InvalidRequest, match=why):
                bridge.submit(shown)
        for first, second in ((0, size + 1), (size, size - 1)):
            with pytest.raises(InvalidRequest, match="a proof was asked"):
                bridge.proof(origin, first, second)

    assert before == kept(place)


def test_a_replay_changes_nothing(place: Place) -> None:
    """A co-signature that is given once more is kept once."""
    key = place.witnesses[0].key
    with bridge_of(place) as bridge:
        note = bridge.checkpoint(place.bridge.settings.origin)
        line = cosign(split_note(note)[0], key, datetime.now(UTC) - timedelta(hours=2)).line
        bridge.submit(with_lines(note, [line]))
        once = kept(place)
        bridge.submit(with_lines(note, [line]))

    assert once == kept(place)
    assert [
        one.witness for one in cosignatures(with_lines(note, [line]), [place.witnesses[0].public])
    ]


def test_the_signing_certificate_does_not_dial(place: Place, tmp_path: Path) -> None:
    """A certificate of profile `witness` is for signing: TLS does not take it."""
    signing = credential(place.pki, place.witnesses[0].network, tmp_path / "signing", "witness")
    with (
        bridge_of(place, certificate=signing.certificate, key=signing.key) as bridge,
        pytest.raises(ExchangeError),
    ):
        bridge.checkpoint(place.bridge.settings.origin)


def test_a_bridge_that_is_away_is_due_and_no_alarm(
    place: Place, exchange: Shell, tmp_path: Path
) -> None:
    """Nobody at the address: exit 1, the journal says so in both languages, nothing stands."""
    folder = tmp_path / "away"
    folder.mkdir()
    (folder / "witness.key").write_text(place.witnesses[0].key.encode() + "\n")
    (folder / "witness.key").chmod(0o600)
    config = witness_toml(folder, place.pki, place.witnesses[0].tls, "127.0.0.1:1")
    assert exchange("witness", "begin", "--config", config).code == 0
    looked = exchange("witness", "run", "--once", "--config", config)
    (line,) = journal(looked.err)

    assert (looked.code, line["event"]) == (1, "not-signed")
    assert "cannot be reached" in line["said"]
    assert "无法连接" in line["said_zh"]
    assert exchange("witness", "status", "--config", config).code == 1


def test_a_network_without_keys_here_has_no_witness(place: Place, tmp_path: Path) -> None:
    """A good certificate of a witness whose keys the bridge was not told is let in nowhere."""
    alone = write_settings(place.pki, tmp_path)
    bridge = Running(load_settings(alone, {}))
    bridge.start()
    try:
        with (
            bridge_of(place, target=f"127.0.0.1:{bridge.port}") as dialled,
            pytest.raises(NotAuthorized, match="knows no witness"),
        ):
            dialled.checkpoint(bridge.settings.origin)
    finally:
        bridge.stop()


def test_explain_says_what_a_witness_may(place: Place, exchange: Shell) -> None:
    """Its methods by the table; at a bridge without its network's keys nothing."""
    found = exchange(
        "certs", "explain", place.witnesses[0].tls.certificate, "--config", place.operator, "--json"
    )

    assert found.code == 0, found
    assert found.data["role"] == "witness"
    assert found.data["methods"] == [
        m for m, who in METHODS.items() if who is not CallerKind.GATEWAY
    ]


def test_over_the_gap_as_files(place: Place, exchange: Shell, tmp_path: Path) -> None:
    """Export, co-sign, import; twice is once; a fork raises an alarm whose evidence anybody checks."""
    folder = tmp_path / "gap"
    folder.mkdir()
    key = place.witnesses[1].key
    (folder / "witness.key").write_text(key.encode() + "\n")
    (folder / "witness.key").chmod(0o600)
    config = witness_toml(folder, place.pki, place.witnesses[1].tls, "")
    head, back = tmp_path / "head.json", tmp_path / "cosigned.txt"
    grow(exchange, place, tmp_path)
    begun = exchange("--lang", "zh", "witness", "begin", "--config", config)
    assert "验证公钥" in begun.out
    again = exchange("witness", "begin", "--config", config, "--json").data
    assert ([], str(WitnessKey.of(key))) == (again["begun"], again["verifier_key"])
    assert exchange("witness", "export", "--output", head, "--config", place.operator).code == 0
    out = exchange("witness", "export", "--output", head, "--config", place.operator, "--json").data
    for _ in range(2):
        cosign = ("witness", "cosign", head, "--output", back, "--config", config)
        assert exchange(*cosign).code == 0
        said = exchange(*cosign, "--json").data
        assert {**out, "file": str(back)} == {**said, "proofs_from": out["proofs_from"]}
        kept_one = exchange("witness", "import", back, "--config", place.operator)
        assert kept_one.code == 0, kept_one
        assert f"The co-signature of {key.name}" in kept_one.out
    imported = exchange("witness", "import", back, "--config", place.operator, "--json").data
    assert [key.name] == [one["witness"] for one in imported["kept"]]
    log = LogKey.load(place.pki.development.log_key)
    fork = Log(key=log).grown(2000)
    head.write_bytes(Head(origin=log.name, note=fork.note(), proofs={
        size: (bytes(32),) for _, size in kept(place)}).encode())  # fmt: skip
    refused = exchange("witness", "cosign", head, "--output", back, "--config", config)
    alarmed = exchange("witness", "status", "--json", "--config", config)
    evidence = alarmed.data["logs"][0]["evidence"]

    assert (refused.code, alarmed.code) == (2, 2)
    assert exchange("witness", "evidence", evidence, f"--log={place.log}").code == 0
    proved = exchange("witness", "evidence", evidence, f"--log={place.log}", "--json").data
    assert (log.name, 2000) == (proved["origin"], proved["shown"])
    stranger = exchange("witness", "evidence", evidence, f"--log={place.witnesses[1].verifier}")
    assert stranger.code == 1
    clear = ("witness", "clear", log.name, "--config", config, "--json")
    cleared = [exchange(*clear).data["cleared"] for _ in range(2)]
    assert [True, False] == cleared
    assert exchange("witness", "clear", log.name, "--config", config).code == 0
    assert exchange("witness", "clear", "other", "--config", config).code == 2
    assert (
        exchange("witness", "cosign", tmp_path / "none", "--output", back, "--config", config).code
        == 1
    )
