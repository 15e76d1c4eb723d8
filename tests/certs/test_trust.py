"""Bundles: what is in them, which are refused, and the two people without whom none counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs import trust
from certs.bundle import BUNDLE_TYPE, parse_bundle, read_bundle, typed_groups
from certs.development import GOVERNMENT, POLICE
from certs.errors import Refused
from certs.files import read_authority_key
from certs.founding import create_authority, retire_root, roll_issuing, roll_root
from certs.revocation import make_lists
from certs.statements import state
from certs.trust import compare
from exchange.cli.trust import root_files
from exchange.trust import TrustStore
from tests.certs.place import DAY, Place, certs, leaf_of, make_place

VERIFIER = "bridge.example/log/1+0a1b2c3d+ARIzNDU2"


def signed(
    place: Place, change: Callable[[dict[str, Any]], None], *, by: Path | None = None
) -> Path:
    """Sign the government's bundle anew after *change*, with its own issuing key or another's."""
    _, bundle = place.export()
    said = bundle.statement.says()
    change(said)
    home = by or place.government / "issuing"
    made = state(
        BUNDLE_TYPE, said, read_authority_key(home / "issuing.key"), leaf_of(home / "issuing.pem")
    )
    path = place.folder / "changed.bundle"
    path.write_bytes(made.line())
    return path


class TestBundle:
    def test_it_carries_roots_lists_and_verifiers(self, place: Place) -> None:
        """Numbered from one, each naming the one before; the lists are fresh."""
        path, first = place.export(VERIFIER)
        assert first == read_bundle(path, place.now)
        assert [one.number for one in first.lists] == [1]
        assert first.verifiers == (VERIFIER,)
        _, second = place.export()
        assert (first.number, second.number) == (1, 2)
        assert second.statement.says()["succeeds"] == first.digest

    def test_its_fingerprint_can_be_read_out(self, place: Place) -> None:
        """Eight groups of five digits; how they are typed does not matter."""
        _, bundle = place.export()
        groups = bundle.fingerprint.split(" ")
        assert [len(one) for one in groups] == [5] * 8
        for typed in (
            "".join(groups),
            "-".join(groups),
            "\n".join(groups),
            f" {bundle.fingerprint}\n",
        ):
            assert typed_groups(typed) == bundle.fingerprint
        wide = bundle.fingerprint.translate({ord("0") + n: ord("０") + n for n in range(10)})
        assert typed_groups(wide) == bundle.fingerprint

    @pytest.mark.parametrize("verifier", ["", "a b+00000000+AAAA", "a+0+AAAA", "PRIVATE"])
    def test_what_is_no_verifier_key_is_not_exported(self, place: Place, verifier: str) -> None:
        """And nothing is recorded."""
        with pytest.raises(Refused, match="no verifier key"):
            place.export(verifier)
        with place.office() as office:
            assert office.register.bundle_number == 0

    def test_every_changed_byte_is_found(self, place: Place) -> None:
        """Whatever part of the file it is in."""
        path, _ = place.export()
        good = path.read_bytes().strip()
        for at in range(0, len(good), 97):
            bad = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
            with pytest.raises(Refused):
                parse_bundle("bundle", bad, place.now)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda said: said.update(roots=[]), "holds no root"),
            (lambda said: said.pop("roots"), "it lacks 'roots'"),
            (
                lambda said: said.update(issuing=[]),
                "not signed by an authority under its own roots",
            ),
            (lambda said: said.update(network=POLICE), "no root of police110.example"),
            (lambda said: said.update(network="../x"), "no network name"),
            (lambda said: said.update(number="one"), "cannot be read"),
            (lambda said: said.update(roots=said["issuing"]), "no root of hotline12345.example"),
            (lambda said: said.update(crls=""), "no revocation list"),
            (lambda said: said.update(verifiers=["x"]), "put together"),
            # Hole H7: a block in the middle that a parser would skip, and all roots after it.
            (
                lambda said: said.update(
                    roots=[said["roots"][0].replace("\nMII", "\n!II") + said["roots"][0]]
                ),
                "not whole",
            ),
        ],
    )
    def test_a_bundle_that_does_not_agree_with_itself_is_refused(
        self, place: Place, change: Callable[[dict[str, Any]], None], words: str
    ) -> None:
        """Although its own authority signed it."""
        path = signed(place, change)
        with pytest.raises(Refused, match=words):
            read_bundle(path, place.now)

    def test_two_networks_in_one_bundle_are_refused(self, place: Place) -> None:
        """Never pooled: the police's root does not get in with the government's (hole H1)."""
        stranger = (place.police / "root" / "root.pem").read_text()
        path = signed(place, lambda said: said["roots"].append(stranger))
        with pytest.raises(Refused, match="One network, one bundle"):
            read_bundle(path, place.now)

    def test_another_authority_cannot_sign_it(self, place: Place) -> None:
        """The police's issuing key over the government's roots."""
        path = signed(place, lambda _: None, by=place.police / "issuing")
        with pytest.raises(Refused, match="not signed by an authority under its own roots"):
            read_bundle(path, place.now)

    @pytest.mark.parametrize("days", [-4000, 4000])
    def test_a_clock_years_off_is_named(self, place: Place, days: int) -> None:
        """A root that is over, or not yet begun, by this machine's clock."""
        path, _ = place.export()
        with pytest.raises(Refused, match="Set the clock right"):
            read_bundle(path, place.now + days * DAY)


class TestConfirmation:
    def test_nothing_counts_before_the_second_person(self, place: Place) -> None:
        """Then the folder holds one file of roots, one of lists, one of verifier keys."""
        path, bundle = place.export(VERIFIER)
        place.take(path)
        assert not (place.trust / f"{GOVERNMENT}.pem").exists()
        place.confirm("Zhang San", bundle.fingerprint)
        assert not (place.trust / f"{GOVERNMENT}.pem").exists()
        place.confirm("Li Si", bundle.fingerprint)
        root = (place.government / "root" / "root.pem").read_bytes()
        assert (place.trust / f"{GOVERNMENT}.pem").read_bytes() == root
        assert (place.trust / f"{GOVERNMENT}.vkeys").read_text() == f"{VERIFIER}\n"
        names = {one.name.removeprefix(GOVERNMENT) for one in place.trust.iterdir()}
        assert names == {".pem", ".crl.pem", ".vkeys", ".bundle", ".lock"}

    def test_the_list_file_can_be_checked_with_the_roots_alone(self, place: Place) -> None:
        """The issuing certificate stands beside the list that it signed."""
        place.trusted()
        found = (place.trust / f"{GOVERNMENT}.crl.pem").read_bytes()
        issuing = (place.government / "issuing" / "issuing.pem").read_bytes()
        assert found.startswith(issuing)

    def test_the_exchange_reads_the_folder(self, place: Place) -> None:
        """`receipt verify --trust DIR` takes the roots and does not stumble over the lists beside them."""
        bundle = place.trusted()
        files = root_files((str(place.trust),))
        assert files == {GOVERNMENT: place.trust / f"{GOVERNMENT}.pem"}
        assert TrustStore.load(files).networks == {GOVERNMENT}
        assert bundle.network == GOVERNMENT

    @pytest.mark.parametrize("second", ["Zhang San", "zhang  san", "Ｚhang San ", ""])
    def test_one_person_is_not_two(self, place: Place, second: str) -> None:
        """However the name is written."""
        path, bundle = place.export()
        place.take(path)
        place.confirm("Zhang San", bundle.fingerprint)
        with pytest.raises(Refused, match=r"another person|needs the name"):
            place.confirm(second, bundle.fingerprint)

    def test_another_fingerprint_is_an_alarm(self, place: Place) -> None:
        """Of another bundle, with a wrong digit, or cut short."""
        path, bundle = place.export()
        place.take(path)
        _, other = place.export()
        wrong = str((int(bundle.fingerprint[0]) + 1) % 10) + bundle.fingerprint[1:]
        for typed in (other.fingerprint, wrong, bundle.fingerprint[:-1], "", "no"):
            with pytest.raises(Refused, match="do not confirm"):
                place.confirm("Zhang San", typed)
        held = trust.trusted(place.trust, GOVERNMENT, place.now)
        assert held.pending is not None
        assert held.pending.persons == ()

    def test_a_new_import_begins_anew_and_the_same_one_does_not(self, place: Place) -> None:
        """A confirmation is of one bundle."""
        path, bundle = place.export()
        place.take(path)
        place.confirm("Zhang San", bundle.fingerprint)
        place.take(path)
        held = trust.trusted(place.trust, GOVERNMENT, place.now).pending
        assert held is not None
        assert held.persons == ("Zhang San",)
        newer, _ = place.export()
        place.take(newer)
        held = trust.trusted(place.trust, GOVERNMENT, place.now).pending
        assert held is not None
        assert held.persons == ()

    def test_without_an_import_there_is_nothing_to_confirm(self, place: Place) -> None:
        """Nor after it is in force."""
        place.trust.mkdir()
        with pytest.raises(Refused, match="Import one first"):
            place.confirm("Zhang San", "0")
        bundle = place.trusted()
        with pytest.raises(Refused, match="Import one first"):
            place.confirm("Wang Wu", bundle.fingerprint)

    def test_a_damaged_pending_file_is_named(self, place: Place) -> None:
        """The remedy is to import again."""
        path, _ = place.export()
        place.take(path)
        (place.trust / f"{GOVERNMENT}.pending").write_bytes(b"{")
        with pytest.raises(Refused, match="Import the bundle again"):
            place.confirm("Zhang San", "0")

    def test_every_step_is_an_act_of_who_trusts(self, place: Place) -> None:
        """Import and both confirmations, with bundle and person."""
        bundle = place.trusted()
        with place.office(place.police) as office:
            told = [
                (act.act, act.facts["bundle"], act.facts.get("person"))
                for act in office.journal.acts[1:]
            ]
        assert told == [
            ("trust-import", bundle.digest, None),
            ("trust-confirm", bundle.digest, "Zhang San"),
            ("trust-confirm", bundle.digest, "Li Si"),
        ]


class TestChanges:
    def test_numbers_never_go_back(self, place: Place) -> None:
        """An old bundle that is offered again is refused, and so is another one of the same number."""
        old, _ = place.export()
        place.trusted()
        with pytest.raises(Refused, match="never go back"):
            place.take(old)
        same = signed(place, lambda said: said.update(number=2))
        with pytest.raises(Refused, match="never go back"):
            place.take(same)

    def test_the_one_in_force_changes_nothing(self, place: Place) -> None:
        """And is not laid up again."""
        bundle = place.trusted()
        path = place.folder / f"{bundle.number}.bundle"
        assert "nothing would change" in place.take(path)[0]
        assert trust.trusted(place.trust, GOVERNMENT, place.now).pending is None

    def test_a_bundle_under_a_new_root_alone_is_called_an_attack(self, tmp_path: Path) -> None:
        """Somebody founded the network anew; it can still be confirmed, after a warning."""
        place = make_place(tmp_path)
        place.trusted()
        create_authority(place.folder / "anew", GOVERNMENT, place.now)
        place.government.rename(place.folder / "lost")
        (place.folder / "anew").rename(place.government)
        with place.office() as office:
            make_lists(office, after=50)
        place.export()
        path, _ = place.export()
        assert any("WARNING" in line and "attack" in line for line in place.take(path))

    def test_one_root_cannot_speak_for_two_networks(self, place: Place) -> None:
        """A root's key that is trusted for another network already is refused."""
        bundle = place.trusted()
        line = bundle.statement.line()
        for name in ("bundle", "pem"):
            (place.trust / f"{GOVERNMENT}.{name}").rename(place.trust / f"{POLICE}.{name}")
        (place.trust / f"{POLICE}.bundle").write_bytes(line)
        newer, _ = place.export()
        with pytest.raises(Refused, match="must not vouch for two networks"):
            compare(place.trust, read_bundle(newer, place.now), place.now)

    def test_lists_in_force_are_not_exchanged_for_older_ones(self, place: Place) -> None:
        """A bundle that was made before the newest list does not bring the old list back."""
        place.trusted()
        path, bundle = place.export()
        with place.office() as office:
            newest = make_lists(office)
        trust.import_lists(place.trust, GOVERNMENT, newest, place.now)
        place.take(path)
        place.confirm("Zhang San", bundle.fingerprint)
        place.confirm("Li Si", bundle.fingerprint)
        (held,) = trust.installed_lists(place.trust, GOVERNMENT, place.now)
        assert held.number == bundle.lists[0].number + 1


class TestDamage:
    def test_a_damaged_list_in_force_has_a_way_out(self, place: Place) -> None:
        """The sentence says which file to move away, and then the import works."""
        place.trusted()
        with place.office() as office:
            newest = make_lists(office)
        damaged = place.trust / f"{GOVERNMENT}.crl.pem"
        damaged.write_bytes(damaged.read_bytes()[:-50])
        with pytest.raises(Refused, match=r"Move .*crl\.pem away and import the newest list"):
            trust.import_lists(place.trust, GOVERNMENT, newest, place.now)
        damaged.unlink()
        trust.import_lists(place.trust, GOVERNMENT, newest, place.now)

    def test_a_damaged_bundle_in_force_has_a_way_out(self, place: Place) -> None:
        """Likewise; two persons confirm anew."""
        place.trusted()
        damaged = place.trust / f"{GOVERNMENT}.bundle"
        damaged.write_bytes(damaged.read_bytes()[:-50])
        path, bundle = place.export()
        with pytest.raises(Refused, match=r"Move .*\.bundle away.*two persons"):
            place.take(path)
        damaged.unlink()
        place.take(path)
        place.confirm("Zhang San", bundle.fingerprint)
        assert len(place.confirm("Li Si", bundle.fingerprint).persons) == 2


class TestRollOver:
    def test_a_root_is_changed_with_overlap(self, place: Place) -> None:
        """Both roots, then a new issuing key under the new one, then the old root's end."""
        before = place.issue(days=30)
        place.trusted()
        place.now += DAY
        with place.office() as office:
            key, _ = roll_root(office)
        both = place.trusted()
        assert len(both.roots) == 2
        with place.office() as office:
            roll_issuing(office, key)
        after = place.issue(days=30)
        old_root, new_root = both.roots
        chain = x509.load_pem_x509_certificates(after.read_bytes())
        chain[1].verify_directly_issued_by(new_root)
        # The old key still signs the list of what it issued.
        assert [one.issuer.subject for one in place.trusted().lists] == [
            leaf_of(before).issuer, leaf_of(after).issuer,
        ]  # fmt: skip
        with place.office() as office, pytest.raises(Refused, match="1 certificates"):
            retire_root(office, _sha256(old_root))
        place.now += 31 * DAY
        with place.office() as office:
            retire_root(office, _sha256(old_root))
        assert place.trusted().roots == (new_root,)
        with place.office() as office, pytest.raises(Refused, match="is the only one"):
            retire_root(office, _sha256(new_root))

    def test_the_diff_shows_roots_that_come_and_go(self, place: Place) -> None:
        """Plus, minus and equal, each with its SHA-256."""
        place.trusted()
        with place.office() as office:
            roll_root(office)
        path, bundle = place.export()
        said = "\n".join(one.en for one in compare(place.trust, bundle, place.now))
        assert (said.count("+ root"), said.count("= root"), said.count("- root")) == (1, 1, 0)
        assert "number: 1 -> 2" in said
        assert path.exists()

    def test_a_new_issuing_key_needs_a_root_in_use(self, place: Place) -> None:
        """Not the police's, and not an issuing key."""
        with place.office() as office:
            for wrong in (
                place.police / "root" / "root.key",
                place.government / "issuing" / "issuing.key",
            ):
                with pytest.raises(Refused, match="no root that this authority has in use"):
                    roll_issuing(office, wrong)
        assert not (place.government / "issuing-2").exists()


class TestCommands:
    def test_the_fingerprint_is_shown_to_who_exported_and_to_nobody_else(
        self, tmp_path: Path
    ) -> None:
        """Importing prints none, so that nobody can type it off the screen."""
        mine, yours, folder = tmp_path / "mine", tmp_path / "yours", tmp_path / "trust"
        certs("init", GOVERNMENT, "--out", mine)
        certs("init", POLICE, "--out", yours)
        path = tmp_path / "1.bundle"
        exported = certs("trust", "export", "--authority", mine, "--out", path)
        shown = exported.output.splitlines()[-1].strip()
        assert (
            certs("trust", "fingerprint", path, "--authority", mine).output.splitlines()[-1].strip()
            == shown
        )
        refused = certs("trust", "fingerprint", path, "--authority", yours)
        assert (refused.exit_code, shown in refused.output) == (1, False)
        taken = certs("trust", "import", path, "--authority", yours, "--trust", folder)
        assert (taken.exit_code, shown in taken.output) == (0, False)
        nobody = certs(
            "trust", "confirm", GOVERNMENT, "--authority", yours, "--trust", folder, "--person", "A"
        )
        assert "nobody to type the fingerprint" in nobody.output
        said_last = ""
        for person in ("张三", "李四"):
            confirmed = certs(
                "trust", "confirm", GOVERNMENT, "--authority", yours, "--trust", folder,
                "--person", person, "--fingerprint", shown, lang="zh",
            )  # fmt: skip
            assert confirmed.exit_code == 0, confirmed.output
            said_last = confirmed.output
        assert "已生效" in said_last
        (said,) = json.loads(certs("trust", "show", "--trust", folder, "--json").output)
        assert (said["network"], said["bundle"], said["pending"]) == (GOVERNMENT, 1, None)
        again = certs("trust", "export", "--authority", mine, "--out", path)
        assert "not overwritten" in again.output


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()
