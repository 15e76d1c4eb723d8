"""Revoking, the lists that say so, and which lists the other side takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs import pem
from certs.crl import REASONS, make, number_of
from certs.development import GOVERNMENT
from certs.errors import Refused
from certs.files import read_authority_key
from certs.founding import roll_issuing
from certs.register import Register
from certs.revocation import lists_path, make_lists, revoke
from certs.trust import import_lists, installed_lists
from tests.certs.place import DAY, HOUR, Place, certs, leaf_of


def lists(path: Path) -> list[x509.CertificateRevocationList]:
    """Return the lists in *path*."""
    return pem.crls(str(path), path.read_bytes())


def remade(place: Place, *, after: int = 0) -> Path:
    """Sign the government's lists anew."""
    with place.office() as office:
        return make_lists(office, after=after)


class TestRevoke:
    @pytest.mark.parametrize("reason", REASONS)
    def test_the_list_names_serial_time_and_reason(self, place: Place, reason: str) -> None:
        """By file or by the beginning of the serial number; the reason code only where it says something."""
        gateway = place.issue()
        serial = leaf_of(gateway).serial_number
        with place.office() as office:
            revoke(office, f"{serial:x}"[:10], reason, place.now - HOUR)
            (found,) = lists(make_lists(office))
        (entry,) = found
        assert (entry.serial_number, entry.revocation_date_utc) == (serial, place.now - HOUR)
        codes = [
            one.value.reason for one in entry.extensions if isinstance(one.value, x509.CRLReason)
        ]
        assert codes == ([] if reason == "unspecified" else [REASONS[reason]])

    def test_the_list_is_signed_numbered_and_ends(self, place: Place) -> None:
        """Each list has the next number, whatever it lists, and a week to live."""
        first, second = lists(remade(place))[0], lists(remade(place))[0]
        assert (number_of(first), number_of(second)) == (1, 2)
        key = leaf_of(place.government / "issuing" / "issuing.pem").public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert first.is_signature_valid(key)
        assert first.next_update_utc == place.now + 7 * DAY

    def test_twice_is_refused(self, place: Place) -> None:
        """The second time says since when and why."""
        gateway = place.issue()
        with place.office() as office:
            revoke(office, str(gateway), "superseded", None)
            with pytest.raises(Refused, match=r"already.*superseded"):
                revoke(office, str(gateway), "key-compromise", None)

    def test_what_another_authority_issued_is_refused(self, place: Place) -> None:
        """The sentence names the deny list, which needs no authority's help."""
        with place.office() as office, pytest.raises(Refused, match="deny list"):
            revoke(office, str(place.police / "issuing" / "issuing.pem"), "key-compromise", None)

    def test_never_from_the_future(self, place: Place) -> None:
        """Nor by a serial number that fits none or several."""
        gateway = place.issue()
        with place.office() as office:
            with pytest.raises(Refused, match="future"):
                revoke(office, str(gateway), "superseded", place.now + HOUR)
            with pytest.raises(Refused, match="0 certificates"):
                revoke(office, "zz", "superseded", None)
            with pytest.raises(Refused, match="0 certificates"):
                revoke(office, "", "superseded", None)
        assert Register.of(office.journal).revoked == {}

    def test_an_issuing_certificate_is_revoked_by_the_root_alone(self, place: Place) -> None:
        """Without the root's key no list is made that keeps silent about it; with it, the root's list stays."""
        with place.office() as office:
            revoke(office, str(place.government / "issuing" / "issuing.pem"), "ca-compromise", None)
            with pytest.raises(Refused, match="--root-key"):
                make_lists(office)
            path = make_lists(office, root_key=place.government / "root" / "root.key")
            assert [len(one) for one in lists(path)] == [0, 1]
            assert [len(one) for one in lists(make_lists(office))] == [0, 1]

    def test_a_revoked_issuing_key_vouches_for_nothing_more(self, place: Place) -> None:
        """No certificate, no bundle; after the roll-over both again, and the bundle leaves it out."""
        place.trusted()
        root_key = place.government / "root" / "root.key"
        with place.office() as office:
            revoke(office, str(place.government / "issuing" / "issuing.pem"), "ca-compromise", None)
            make_lists(office, root_key=root_key)
        for act in (place.issue, place.export):
            with pytest.raises(Refused, match=r"was revoked.*certs roll issuing"):
                act()
        with place.office() as office:
            roll_issuing(office, root_key)
        new = place.issue()
        bundle = place.trusted()
        assert bundle.issuing == (x509.load_pem_x509_certificates(new.read_bytes())[1],)
        assert [len(one.crl) for one in bundle.lists] == [0, 1]

    def test_after_a_restore_numbers_go_on_above_what_peers_hold(self, place: Place) -> None:
        """``--after``."""
        assert number_of(lists(remade(place, after=40))[0]) == 41
        assert number_of(lists(remade(place, after=3))[0]) == 42

    def test_the_command_says_what_to_do_with_the_list(self, place: Place) -> None:
        """Revoke and list in one command, in both languages."""
        # The command acts now, so the authority must have been founded about now.
        folder = place.folder / "fresh"
        assert certs("init", GOVERNMENT, "--out", folder).exit_code == 0
        assert certs("csr", place.folder / "gw").exit_code == 0
        issued = certs(
            "issue", place.folder / "gw.csr", "--authority", folder, "--profile", "gateway-tls",
            "--region", "140400", "--organisation", "11140400MB1X00010Y", "--out", place.folder / "gw.pem",
        )  # fmt: skip
        assert issued.exit_code == 0, issued.output
        done = certs(
            "revoke", place.folder / "gw.pem", "--authority", folder, "--reason", "key-compromise"
        )
        assert "list 1, 1 revoked" in done.output
        assert "第 2 号列表" in certs("crl", "make", "--authority", folder, lang="zh").output
        shown = certs("show", lists_path(folder, GOVERNMENT))
        assert "keyCompromise" in shown.output


def _forged(place: Place) -> bytes:
    """Make a list under the right name by another key."""
    issuing = leaf_of(place.government / "issuing" / "issuing.pem")
    made = make(
        issuing, ec.generate_private_key(ec.SECP256R1()), [], number=9, now=place.now, days=7
    )
    return made.public_bytes(Encoding.PEM)


def _of_the_police(place: Place) -> bytes:
    with place.office(place.police) as office:
        return make_lists(office).read_bytes()


def _ended(place: Place) -> bytes:
    place.now += 8 * DAY
    return lists_path(place.government, GOVERNMENT).read_bytes()


def _older(place: Place) -> bytes:
    before = lists_path(place.government, GOVERNMENT).read_bytes()
    newer = remade(place)
    import_lists(place.trust, GOVERNMENT, newer, place.now)
    return before


def _same_number_other_content(place: Place) -> bytes:
    """Make a second list 1, as a restored authority would."""
    issuing = leaf_of(place.government / "issuing" / "issuing.pem")
    key = read_authority_key(place.government / "issuing" / "issuing.key")
    made = make(issuing, key, [], number=1, now=place.now + HOUR, days=7)
    place.now += HOUR
    return made.public_bytes(Encoding.PEM)


def _future(place: Place) -> bytes:
    place.now += 3 * DAY
    path = remade(place)
    place.now -= 3 * DAY
    return path.read_bytes()


def _partial(place: Place) -> bytes:
    """Make a list that says it is only the difference to another."""
    issuing = leaf_of(place.government / "issuing" / "issuing.pem")
    key = read_authority_key(place.government / "issuing" / "issuing.key")
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuing.subject)
    builder = builder.last_update(place.now).next_update(place.now + DAY)
    builder = builder.add_extension(x509.CRLNumber(9), critical=False)
    builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _unnumbered(place: Place) -> bytes:
    issuing = leaf_of(place.government / "issuing" / "issuing.pem")
    key = read_authority_key(place.government / "issuing" / "issuing.key")
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuing.subject)
    builder = builder.last_update(place.now).next_update(place.now + DAY)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _damaged_in_the_middle(place: Place) -> bytes:
    good = remade(place).read_bytes()
    return good.replace(b"-----END X509 CRL-----", b"!\n-----END X509 CRL-----") + good


def _certificates_only(place: Place) -> bytes:
    return (place.government / "issuing" / "issuing.pem").read_bytes()


@pytest.mark.parametrize(("days", "code"), [(0, 2), (1, 0), (30, 0), (31, 2)])
def test_a_list_is_good_for_a_day_to_a_month(tmp_path: Path, days: int, code: int) -> None:
    """Longer, and a revocation could be kept from a peer for too long."""
    certs("init", GOVERNMENT, "--out", tmp_path / "ca")
    assert certs("crl", "make", "--authority", tmp_path / "ca", "--days", days).exit_code == code


class TestImport:
    def test_a_newer_list_comes_into_force(self, place: Place) -> None:
        """And the same once more changes nothing."""
        place.trusted()
        gateway = place.issue()
        with place.office() as office:
            revoke(office, str(gateway), "key-compromise", None)
            path = make_lists(office)
        (taken,) = import_lists(place.trust, GOVERNMENT, path, place.now)
        assert (taken.number, len(taken.crl)) == (2, 1)
        (again,) = import_lists(place.trust, GOVERNMENT, path, place.now)
        (held,) = installed_lists(place.trust, GOVERNMENT, place.now)
        assert held.crl == again.crl == taken.crl

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (_forged, "no authority of this network signed"),
            (_of_the_police, "no authority of this network signed"),
            (_ended, "ended at"),
            (_older, "never go back"),
            (_same_number_other_content, "never go back"),
            (_future, "from the future"),
            (_partial, "not used here"),
            (_unnumbered, "not used here"),
            (_damaged_in_the_middle, "not whole"),
            (_certificates_only, "no revocation list"),
            (lambda _: b"", "no revocation list"),
        ],
    )
    def test_a_bad_list_is_refused_and_the_old_one_stays(
        self, place: Place, made: Callable[[Place], bytes], words: str
    ) -> None:
        """Each says which rule refused it."""
        place.trusted()
        path = place.folder / "offered.crl.pem"
        path.write_bytes(made(place))
        in_force = (place.trust / f"{GOVERNMENT}.crl.pem").read_bytes()
        with pytest.raises(Refused, match=words):
            import_lists(place.trust, GOVERNMENT, path, place.now)
        assert (place.trust / f"{GOVERNMENT}.crl.pem").read_bytes() == in_force

    def test_nobody_s_list_is_taken_from_a_network_that_is_not_trusted(self, place: Place) -> None:
        """First the bundle."""
        place.trust.mkdir()
        with pytest.raises(Refused, match="certs trust import"):
            import_lists(place.trust, GOVERNMENT, remade(place), place.now)
