"""`watch` and `inventory`: what is fine, due and broken, and since when."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs.files import key_pem
from certs.founding import roll_root
from certs.register import State, due_at
from certs.revocation import make_lists, revoke
from certs.trust import import_lists
from certs.watch import Standing, Watched, exposition, watch
from tests.certs.place import DAY, HOUR, Place, certs, leaf_of

GOVERNMENT = "hotline12345.example"


def kinds(found: list[Watched], standing: Standing) -> list[str]:
    """Return the kinds of what stands so."""
    return [one.kind for one in found if one.standing is standing]


class TestCertificates:
    def test_fine_then_due_then_broken(self, place: Place) -> None:
        """Due when renewal is, broken once it has ended, and before it begins."""
        path = place.issue()
        due, ends = due_at(leaf_of(path)), leaf_of(path).not_valid_after_utc
        for at, standing in (
            (place.now, Standing.FINE),
            (due - HOUR, Standing.FINE),
            (due, Standing.DUE),
            (ends - HOUR, Standing.DUE),
            (ends, Standing.BROKEN),
            (place.now - HOUR, Standing.BROKEN),
        ):
            (one,) = watch([path], at)
            assert (one.standing, one.kind) == (standing, "gateway-tls")

    def test_damaged_missing_and_swapped_files_are_broken(self, place: Place) -> None:
        """What cannot be judged is never fine."""
        path, damaged = place.issue(), place.folder / "damaged.pem"
        damaged.write_bytes(path.read_bytes()[:-30])
        for bad in (damaged, place.folder / "absent.pem"):
            assert [one.standing for one in watch([bad], place.now)] == [Standing.BROKEN]
        path.with_suffix(".key").write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1())))
        (one,) = watch([path], place.now)
        assert (one.standing, "is not the key of" in one.what.en) == (Standing.BROKEN, True)

    def test_a_revoked_one_is_broken_as_soon_as_the_list_is_known(self, place: Place) -> None:
        """By the lists of the trust folder."""
        path = place.issue()
        place.trusted()
        with place.office() as office:
            revoke(office, str(path), "key-compromise", None)
            newest = make_lists(office)
        assert kinds(watch([path], place.now, folder=place.trust), Standing.BROKEN) == []
        import_lists(place.trust, GOVERNMENT, newest, place.now)
        assert kinds(watch([path], place.now, folder=place.trust), Standing.BROKEN) == [
            "gateway-tls"
        ]


class TestTrust:
    def test_a_list_is_due_before_it_ends(self, place: Place) -> None:
        """At two thirds of its week."""
        place.trusted()
        for days, standing in ((0, Standing.FINE), (5, Standing.DUE), (7, Standing.BROKEN)):
            found = watch([], place.now + days * DAY, folder=place.trust)
            assert [one.standing for one in found if one.kind == "revocation-list"] == [standing]

    def test_what_waits_is_due_and_an_empty_folder_is_broken(self, place: Place) -> None:
        """Nobody forgets a second confirmation."""
        place.trust.mkdir()
        assert kinds(watch([], place.now, folder=place.trust), Standing.BROKEN) == ["trust"]
        path, _ = place.export()
        place.take(path)
        assert kinds(watch([], place.now, folder=place.trust), Standing.DUE) == ["pending-bundle"]

    def test_a_damaged_file_is_broken_and_the_others_are_still_watched(self, place: Place) -> None:
        """The list of one network is cut short."""
        place.trusted()
        (place.trust / f"{GOVERNMENT}.crl.pem").write_bytes(b"-----BEGIN X509 CRL-----\n")
        found = watch([], place.now, folder=place.trust)
        assert kinds(found, Standing.BROKEN) == ["trust"]
        assert kinds(found, Standing.FINE) == ["trusted-root"]

    def test_roots_that_nobody_confirmed_are_broken(self, place: Place) -> None:
        """Another root slipped into a confirmed file, or a file of a network that never had a bundle."""
        place.trusted()
        roots = place.trust / f"{GOVERNMENT}.pem"
        roots.write_bytes(roots.read_bytes() + (place.police / "root" / "root.pem").read_bytes())
        (place.trust / "other.example.pem").write_bytes(roots.read_bytes())
        found = watch([], place.now, folder=place.trust)
        broken = {one.name for one in found if one.standing is Standing.BROKEN}
        assert broken == {GOVERNMENT, "other.example"}


class TestAuthority:
    def test_it_counts_what_its_holders_forget(self, place: Place) -> None:
        """Due and not renewed; ended and not renewed, for a month; never what was revoked."""
        first, second = place.issue(days=30), place.issue(days=30)
        with place.office() as office:
            make_lists(office, days=30)
            revoke(office, str(second), "superseded", None)
        for days, number in ((0, 0), (25, 1), (31, 1), (61, 0)):
            found = watch([], place.now + days * DAY, authority=place.government)
            assert kinds(found, Standing.DUE).count("gateway-tls") == number, (first, days)

    def test_roots_and_issuing_keys_are_due_years_and_months_ahead(self, place: Place) -> None:
        """There must be time for every peer to confirm the next one."""
        with place.office() as office:
            roll_root(office)
        found = watch([], place.now + 340 * DAY, authority=place.government)
        assert "issuing" in kinds(found, Standing.DUE)
        found = watch([], place.now + 2600 * DAY, authority=place.government)
        assert kinds(found, Standing.DUE).count("root") == 2
        assert kinds(found, Standing.BROKEN).count("issuing") == 1

    def test_a_broken_journal_is_broken(self, place: Place) -> None:
        """And so is a lost one."""
        acts = place.government / "acts.jsonl"
        acts.write_bytes(acts.read_bytes().replace(b"e", b"f", 1))
        assert kinds(watch([], place.now, authority=place.government), Standing.BROKEN) == [
            "journal"
        ]


class TestOutput:
    def test_prometheus_can_read_it(self, place: Place) -> None:
        """Names in quotes, whatever characters they have."""
        odd = place.folder / 'a "quoted" \\ name.pem'
        odd.write_bytes(place.issue().read_bytes())
        text = exposition(watch([odd], place.now))
        line = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+\{kind="[\w-]+",name="(\\.|[^"\\])*"\} -?\d+)')
        assert all(line.fullmatch(one) for one in text.splitlines())
        assert r"a \"quoted\" \\ name.pem" in text

    @pytest.mark.parametrize(
        ("lang", "fine", "broken"), [("en", "fine", "BROKEN"), ("zh", "正常", "故障")]
    )
    def test_the_exit_code_is_the_worst(
        self, tmp_path: Path, lang: str, fine: str, broken: str
    ) -> None:
        """0 fine, 1 due, 2 broken; the same as data."""
        ca = tmp_path / "ca"
        certs("init", GOVERNMENT, "--out", ca)
        said = certs("watch", "--authority", ca, lang=lang)
        assert said.exit_code == 1  # no list was made yet
        certs("crl", "make", "--authority", ca)
        said = certs("watch", ca / "root" / "root.pem", "--authority", ca, lang=lang)
        assert (said.exit_code, fine in said.output) == (0, True)
        said = certs("watch", tmp_path / "absent.pem", lang=lang)
        assert (said.exit_code, broken in said.output) == (2, True)
        (one,) = json.loads(certs("watch", tmp_path / "absent.pem", "--json").output)
        assert (one["standing"], one["until"]) == ("broken", None)
        assert certs("watch").exit_code == 2
        assert "certs_standing" in certs("watch", "--authority", ca, "--prometheus").output


class TestInventory:
    def test_it_lists_what_is_in_force_and_on_demand_all(self, place: Place) -> None:
        """As a table, as data; its states are those of the register."""
        path = place.issue(days=1)
        place.issue(profile="signer")
        with place.office() as office:
            revoke(office, str(path), "superseded", None)
            register = office.register
        assert [register.state(one, place.now) for one in register.issued.values()] == [
            State.REVOKED, State.VALID,
        ]  # fmt: skip
        said = json.loads(
            certs("inventory", "--authority", place.government, "--all", "--json").output
        )
        assert {one["profile"] for one in said} == {"gateway-tls", "signer"}
        table = certs("inventory", "--authority", place.government, "--all").output
        assert table.splitlines()[0].split() == [
            "serial",
            "profile",
            "state",
            "days",
            "left",
            "for",
        ]
        assert (
            "SHA-256" in certs("inventory", "--authority", place.government, "--authorities").output
        )
