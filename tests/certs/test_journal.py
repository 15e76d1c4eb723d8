"""The record of an authority's acts: whole, signed, in order, and never half an act."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from certs.development import GOVERNMENT
from certs.enrolment import enrol
from certs.errors import Refused
from certs.founding import roll_issuing
from certs.journal import ACT_TYPE, LONGEST_PAUSE, parse_journal, read_journal
from certs.office import office
from certs.profiles import PROFILES
from certs.revocation import make_lists, revoke
from exchange.envelope import P256_SHA256, Signature, Verifier, VerifyingKey
from tests.certs.place import DAY, HOUR, Place, certs, leaf_of


def busy(place: Place) -> Path:
    """Let the government's authority do six things; return its journal."""
    gateway = place.issue()
    with place.office() as at_work:
        revoke(at_work, str(gateway), "superseded", None)
        make_lists(at_work)
        roll_issuing(at_work, place.government / "root" / "root.key")
    place.issue(profile="signer")
    return place.government / "acts.jsonl"


class TestChain:
    def test_it_tells_everything_that_was_done(self, place: Place) -> None:
        """In order, by whom, and when."""
        busy(place)
        journal = read_journal(place.government)
        assert [act.act for act in journal.acts] == [
            "init", "issue", "revoke", "crl", "roll-issuing", "issue",
        ]  # fmt: skip
        assert {act.by for act in journal.acts[1:]} == {"tester"}
        assert {act.at for act in journal.acts} == {place.now}

    def test_every_changed_byte_is_found(self, place: Place) -> None:
        """Wherever in the file it is; the line that does not hold is named."""
        good = busy(place).read_bytes()
        for at in range(0, len(good) - 1, 211):
            bad = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
            with pytest.raises(Refused, match=r"is broken: line \d"):
                parse_journal(Path("acts.jsonl"), bad)

    @pytest.mark.parametrize("gone", range(5))
    def test_no_line_can_be_taken_out_doubled_or_moved(self, place: Place, gone: int) -> None:
        """Only the last one can, which the head shows."""
        lines = busy(place).read_bytes().splitlines(keepends=True)
        path = Path("acts.jsonl")
        for bad in (
            lines[:gone] + lines[gone + 1 :],
            lines[: gone + 1] + lines[gone:],
            [*lines[:gone], lines[gone + 1], lines[gone], *lines[gone + 2 :]],
        ):
            with pytest.raises(Refused, match="is broken"):
                parse_journal(path, b"".join(bad))

    def test_a_line_of_a_copy_that_went_its_own_way_does_not_fit(self, place: Place) -> None:
        """Signed by the same key, with the right number, and yet not what followed here."""
        shutil.copytree(place.government, place.folder / "copy")
        for folder in (place.government, place.folder / "copy"):
            for _ in range(2):
                with place.office(folder) as at_work:
                    make_lists(at_work, days=3 if folder == place.government else 4)
        here, there = (
            (folder / "acts.jsonl").read_bytes().splitlines(keepends=True)
            for folder in (place.government, place.folder / "copy")
        )
        with pytest.raises(Refused, match="line 3 does not follow"):
            parse_journal(Path("acts.jsonl"), b"".join([*here[:2], there[2]]))

    def test_a_key_that_is_no_longer_in_office_cannot_act(self, place: Place) -> None:
        """A stolen former issuing key writes no acts."""
        path = busy(place)
        former = leaf_of(place.government / "issuing" / "issuing.pem")
        journal = read_journal(place.government)
        from certs.files import read_authority_key  # noqa: PLC0415 - the thief's own means

        with pytest.raises(Refused, match="not signed by the issuing key in office"):
            journal.append(
                "revoke", {"serial": "1", "issuer": "1", "reason": "superseded", "since": place.now.isoformat()},
                network=GOVERNMENT, by="thief", now=place.now, certificate=former,
                key=read_authority_key(place.government / "issuing" / "issuing.key"),
            )  # fmt: skip
        with pytest.raises(Refused, match="line 7 is not signed"):
            parse_journal(path, path.read_bytes())

    def test_a_record_that_was_cut_short_shows_by_its_head(self, place: Place) -> None:
        """`acts verify --head` finds what the chain alone cannot."""
        path = busy(place)
        whole = certs("acts", "verify", "--authority", place.government)
        head = whole.output.split()[-1]
        assert (whole.exit_code, len(head)) == (0, 64)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-1]))
        assert certs("acts", "verify", "--authority", place.government).exit_code == 0
        cut = certs("acts", "verify", "--authority", place.government, "--head", head)
        assert (cut.exit_code, "cut off" in cut.output) == (1, True)
        assert (
            "被截去"
            in certs("acts", "verify", "--authority", path, "--head", head, lang="zh").output
        )

    def test_an_act_is_a_statement_that_the_exchange_can_verify(self, place: Place) -> None:
        """A batch of one in the exchange's own form, so that its log can hold it as it stands."""
        busy(place)
        act = read_journal(place.government).acts[1]
        issuing = leaf_of(place.government / "issuing" / "issuing.pem")
        signature = Signature(
            suite=P256_SHA256,
            key_id=bytes.fromhex(act.statement.key_id),
            value=act.statement.signature,
        )
        Verifier().verify(
            ACT_TYPE, act.statement.payload, signature, VerifyingKey.from_certificate(issuing),
            allowed={P256_SHA256},
        )  # fmt: skip
        line = json.loads((place.government / "acts.jsonl").read_bytes().splitlines()[1])
        assert base64.b64decode(line["payload"]) == act.statement.payload
        issued = x509.load_pem_x509_certificate(act.facts["certificate"].encode())
        issued.verify_directly_issued_by(issuing)

    def test_a_lost_journal_is_not_begun_anew(self, place: Place) -> None:
        """Nothing is issued by an authority that does not know what it did."""
        (place.government / "acts.jsonl").unlink()
        with pytest.raises(Refused, match="Restore it from the backup"):
            place.issue()
        (place.government / "acts.jsonl").touch()
        with pytest.raises(Refused, match="Restore it from the backup"):
            place.issue()
        assert certs("acts", "verify", "--authority", place.government).exit_code == 1


class TestTorn:
    def test_half_an_act_was_never_done(self, place: Place) -> None:
        """Wherever a crash cut the line; the next act takes its place."""
        path = busy(place)
        whole = path.read_bytes()
        last = whole.rstrip(b"\n").rfind(b"\n") + 1
        for at in range(last, len(whole), 97):
            path.write_bytes(whole[:at])
            journal = read_journal(place.government)
            assert (len(journal.acts), journal.torn) == (5, at - last)
        assert "never done" in certs("acts", "verify", "--authority", place.government).output
        place.issue()
        journal = read_journal(place.government)
        assert (len(journal.acts), journal.torn) == (6, 0)


class TestClock:
    @pytest.mark.parametrize("wrong", [-HOUR, -4000 * DAY, LONGEST_PAUSE + DAY])
    def test_a_clock_that_cannot_be_right_stops_every_act(
        self, place: Place, wrong: object
    ) -> None:
        """Before the last act, or more than a year after it."""
        assert isinstance(wrong, type(DAY))
        place.now += wrong
        with pytest.raises(Refused, match="Set the clock right"):
            place.issue()

    def test_it_can_be_declared_right_on_the_record(self, place: Place) -> None:
        """After the last act's time had been wrong; from then on all goes on."""
        place.now -= 30 * DAY
        with office(place.government, now=place.now, by="tester", clock=False) as at_work:
            at_work.record("clock", {"why": "the battery was empty"})
        place.now += HOUR
        with place.office() as at_work:
            make_lists(at_work)

    def test_a_small_step_back_is_forgiven(self, place: Place) -> None:
        """Clocks are set by minutes."""
        place.now -= HOUR / 15
        place.issue()


_HOLDING = """
import sys
from pathlib import Path
from certs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class TestTwoOperators:
    def test_the_second_is_told_to_wait(self, place: Place) -> None:
        """Another process holds the folder; nothing is done meanwhile, and all goes on after it."""
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDING, str(place.government)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            before = (place.government / "acts.jsonl").read_bytes()
            with pytest.raises(Refused, match="Another operator"):
                place.issue()
            assert (place.government / "acts.jsonl").read_bytes() == before
            holder.kill()  # a killed operator leaves no lock behind
        place.issue()

    def test_a_request_is_not_answered_twice(self, place: Place) -> None:
        """Nor under another name: one key, one certificate, for all time."""
        path = place.issue()
        request = path.with_suffix(".csr")
        with place.office() as at_work:
            for number in (1, 7):
                with pytest.raises(Refused, match="one key, one certificate"):
                    enrol(
                        at_work, PROFILES["gateway-tls"], request.read_bytes(),
                        place.name(number), place.folder / "x.pem",
                    )  # fmt: skip
            revoke(at_work, str(path), "key-compromise", None)
            with pytest.raises(Refused, match="was revoked"):
                enrol(
                    at_work, PROFILES["gateway-tls"], request.read_bytes(), place.name(),
                    place.folder / "x.pem",
                )  # fmt: skip
        assert not (place.folder / "x.pem").exists()
