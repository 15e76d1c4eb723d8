"""What the certificate tool's acts give as data: an authority's life, each step read back from the files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from certs.cli.grammar import now
from certs.development import GOVERNMENT, POLICE
from certs.files import read_certificates
from certs.journal import read_journal
from certs.show import describe, fingerprint
from tests.certs.issuing import ORGANISATION, desk_name
from tests.certs.place import certs


def data(*words: object, code: int = 0) -> Any:
    """Run one command with ``--json``; return what it gave, which is one document and no word beside it."""
    done = certs(*words, "--json", lang="zh")  # whatever the language
    assert code == done.exit_code, done.output
    return json.loads(done.output)


def of(file: Path) -> dict[str, Any]:
    """Return what the data says of a certificate that was written to *file*."""
    said = {"file": str(file), **asdict(describe(read_certificates(file)[0], now()))}
    return {**said, "names": list(said["names"])}


def root_of(folder: Path) -> tuple[Path, Path]:
    """Return where the first root of an authority and its key are."""
    return folder / "root" / "root.pem", folder / "root" / "root.key"


@pytest.fixture
def government(tmp_path: Path) -> Path:
    """Return the folder of a government's authority."""
    said = data("init", GOVERNMENT, "--out", tmp_path / "government")
    assert (said["root"]["file"], said["root_key"]) == tuple(
        map(str, root_of(tmp_path / "government"))
    )
    return tmp_path / "government"


def issue(folder: Path, stem: Path) -> tuple[Any, Path]:
    """Ask and answer a gateway's certificate; return what the issuing said, and the file."""
    data("csr", stem)
    out = stem.with_suffix(".pem")
    words = (
        "issue", f"{stem}.csr", "--authority", folder, "--profile", "gateway-tls",
        "--region", "140400", "--organisation", ORGANISATION, "--out", out,
    )  # fmt: skip
    planned = data(*words, "--dry-run")
    assert (False, None, [desk_name().uri]) == (
        planned["issued"], planned["certificate"], planned["names"],
    )  # fmt: skip
    assert not out.exists()
    return data(*words), out


def test_founding_says_files_and_fingerprints(tmp_path: Path) -> None:
    """Root and issuing certificate as they stand in their files; of the root's key only where it is."""
    said = data("init", GOVERNMENT, "--out", tmp_path / "ca")
    root, issuing = Path(said["root"]["file"]), Path(said["issuing"]["file"])

    assert (GOVERNMENT, str(tmp_path / "ca")) == (said["network"], said["folder"])
    assert (of(root), of(issuing)) == (said["root"], said["issuing"])
    assert "PRIVATE KEY" in Path(said["root_key"]).read_text("ascii")
    assert "PRIVATE" not in json.dumps(said)


def test_asking_and_issuing(government: Path, tmp_path: Path) -> None:
    """Key and request by file; the certificate as it is written, and fetched, listed and shown."""
    stem = tmp_path / "gw"
    said, out = issue(government, stem)
    asked = data("csr", tmp_path / "other", "--profile", "signer")
    fetched = data("fetch", said["certificate"]["serial"][:12], "--authority", government,
                   "--out", tmp_path / "again.pem")  # fmt: skip
    authorities = data("inventory", "--authorities", "--authority", government)

    assert (True, GOVERNMENT, "gateway-tls") == (said["issued"], said["network"], said["profile"])
    assert of(out) == said["certificate"]
    assert {"profile": "signer", "key": f"{tmp_path / 'other'}.key",
            "request": f"{tmp_path / 'other'}.csr"} == asked  # fmt: skip
    assert {**said["certificate"], "file": str(tmp_path / "again.pem")} == fetched["certificate"]
    assert [False] == [one["retired"] for one in authorities["roots"]]
    assert [True] == [one["in_office"] for one in authorities["issuing"]]


def test_a_renewal_from_end_to_end(government: Path, tmp_path: Path) -> None:
    """Asked, answered, in use: each step says where it stands, and a refused one why, in both languages."""
    stem, out, into = tmp_path / "gw", tmp_path / "out", tmp_path / "in"
    issue(government, stem)
    for folder in (out, into):
        folder.mkdir()
    renew = ("renew", stem, "--outbox", out, "--inbox", into, "--roots", root_of(government)[0])
    before = data(*renew)
    asked = data(*renew, "--early")
    (out / "0000000000000000.renewal").write_bytes(b"nonsense\n")
    answered = data("answer", "--authority", government, "--inbox", out, "--outbox", into, code=1)[
        "answers"
    ]
    renewed = data(*renew)

    states = [(one["renewed"], one["waiting"]) for one in (before, asked, renewed)]
    assert [(False, False), (False, True), (True, False)] == states
    assert {"en", "zh"} == set(asked["said"][0])
    assert before["certificate"] == asked["certificate"]
    assert of(stem.with_suffix(".pem")) == renewed["certificate"]
    (bad, good) = sorted(answered, key=lambda one: one["refused"] is None)
    assert (None, {"en", "zh"}) == (bad["certificate"], set(bad["refused"]))
    assert renewed["certificate"]["fingerprint"] == good["certificate"]["fingerprint"]
    assert (
        [] == data("answer", "--authority", government, "--inbox", out, "--outbox", into)["answers"]
    )


def test_withdrawing(government: Path, tmp_path: Path) -> None:
    """What was revoked, and the list that says so, by number, count and time; a list as data, too."""
    said, out = issue(government, tmp_path / "gw")
    key = ("--root-key", root_of(government)[1])
    gone = data("revoke", out, "--authority", government, "--reason", "key-compromise", *key)
    made = data("crl", "make", "--authority", government, *key, "--out", tmp_path / "all.crl")
    (issuing, *_) = [one for one in data("show", tmp_path / "all.crl") if one["revoked"]]

    assert said["certificate"]["serial"] == gone["revoked"]["serial"]
    assert ("key-compromise", [desk_name().uri]) == (
        gone["revoked"]["reason"],
        gone["revoked"]["names"],
    )
    assert (1, gone["list"]["number"] + 1) == (made["list"]["revoked"], made["list"]["number"])
    assert str(tmp_path / "all.crl") == made["list"]["file"]
    assert [gone["revoked"]["serial"]] == [one["serial"] for one in issuing["revoked"]]


def test_a_revocation_without_its_list(government: Path, tmp_path: Path) -> None:
    """Where no list can be made the certificate is revoked all the same, and the data says so."""
    said, out = issue(government, tmp_path / "gw")
    (tmp_path / "folder.crl").mkdir()
    words = ("revoke", out, "--authority", government, "--reason", "key-compromise")
    failed = certs(*words, "--out", tmp_path / "folder.crl", "--json")
    gone, end = json.JSONDecoder().raw_decode(failed.output)
    made = data("crl", "make", "--authority", government)

    assert 1 == failed.exit_code
    assert (said["certificate"]["serial"], None) == (gone["revoked"]["serial"], gone["list"])
    assert str(tmp_path / "folder.crl") in failed.output[end:]
    assert 1 == made["list"]["revoked"]


def test_trust_between_networks(government: Path, tmp_path: Path) -> None:
    """Who exports is given the fingerprint, who imports never; it counts when two persons have typed it."""
    police, trust, bundle = tmp_path / "police", tmp_path / "trust", tmp_path / "government.bundle"
    data("init", POLICE, "--out", police)
    out = data("trust", "export", "--authority", government, "--out", bundle)
    again = data("trust", "fingerprint", bundle, "--authority", government)
    digits = out["fingerprint"]
    ours = ("--authority", police, "--trust", trust)
    taken = data("trust", "import", bundle, *ours)
    compared = data("trust", "diff", bundle, "--trust", trust)
    confirm = ("trust", "confirm", GOVERNMENT, *ours, "--fingerprint", digits)
    first = data(*confirm, "--person", "张")
    second = data(*confirm, "--person", "李")
    lists = data("crl", "make", "--authority", government, "--root-key", root_of(government)[1])
    put = data("crl", "import", lists["list"]["file"], "--network", GOVERNMENT, "--trust", trust)

    assert (again, {"file", "network", "bundle", "fingerprint"}) == (out, set(out))
    assert (GOVERNMENT, out["bundle"], False) == (
        taken["network"],
        taken["bundle"],
        taken["in_force"],
    )
    assert taken["changes"] == compared["changes"] != []
    assert digits not in json.dumps([taken, compared])
    assert [(["张"], False), (["张", "李"], True)] == [
        (one["confirmed_by"], one["in_force"]) for one in (first, second)
    ]
    assert GOVERNMENT == put["network"]
    assert lists["list"]["number"] in [one["number"] for one in put["lists"]]


def test_changing_keys(government: Path) -> None:
    """The new root and where its key is; the new issuing certificate; what was retired."""
    old = read_certificates(root_of(government)[0])[0]
    rolled = data("roll", "root", "--authority", government)
    issuing = data("roll", "issuing", "--authority", government, "--root-key", rolled["root_key"])
    retired = data("roll", "retire", fingerprint(old), "--authority", government)

    assert of(Path(rolled["root"]["file"])) == rolled["root"]
    assert "PRIVATE KEY" in Path(rolled["root_key"]).read_text("ascii")
    assert of(Path(issuing["issuing"]["file"])) == issuing["issuing"]
    assert fingerprint(old) == retired["retired"]["fingerprint"]


def test_the_journal(government: Path) -> None:
    """How many acts, and the head; a head that is not there is said, with exit code 1."""
    why = "时钟已校准"
    clock = data("acts", "clock", "--authority", government, "--why", why)
    whole = data("acts", "verify", "--authority", government)
    good = data("acts", "verify", "--authority", government, "--head", whole["head"])
    bad = data("acts", "verify", "--authority", government, "--head", "0" * 64, code=1)
    journal = read_journal(government)

    assert why == clock["why"]
    assert (len(journal.acts), journal.head, 0) == (whole["acts"], whole["head"], whole["torn"])
    assert [None, True, False] == [one["head_found"] for one in (whole, good, bad)]


def test_a_logs_keys_and_a_set_for_development(tmp_path: Path) -> None:
    """The verifier key itself, and of the signing key only where it is; every certificate of a set."""
    said = data("log-key", tmp_path / "log", "--name", "bridge.example/log/1")
    made = data("development", tmp_path / "set")

    assert (tmp_path / "log.vkey").read_text("ascii").strip() == said["verifier_key"]
    assert ("bridge.example/log/1", str(tmp_path / "log.key")) == (said["name"], said["key"])
    assert 3 == len(made["authorities"])
    assert made["certificates"] == [of(Path(one["file"])) for one in made["certificates"]] != []
