"""Bad input to the authority: hostile requests, full disks, swapped and damaged files, bad keys."""

from __future__ import annotations

import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs import pem
from certs.csr import MOST_REQUEST_BYTES, accept_request
from certs.development import GOVERNMENT
from certs.enrolment import certify, enrol
from certs.errors import Refused
from certs.files import read_certificates
from certs.founding import create_authority, roll_issuing
from certs.journal import read_journal
from certs.passphrase import LEAST_CHARACTERS, Passphrase, passphrase
from certs.profiles import PROFILES
from tests.attack.disk import mount
from tests.certs.issuing import NOW, desk_name, request_for
from tests.certs.place import Place, certs, make_place

SECRET = "a sentence that opens the key"


def request() -> bytes:
    """Return a request that asks for everything it must not get, under a key of its own."""
    return request_for(ec.generate_private_key(ec.SECP256R1()))


class TestRequests:
    def test_an_authority_s_and_another_s_names_are_ignored(self, place: Place) -> None:
        """CA:true, a DNS name, another network's URI: of all that nothing is in the certificate."""
        with place.office() as office:
            leaf = certify(office, PROFILES["gateway-tls"], request(), desk_name())
        extensions = leaf.extensions
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        assert names == [x509.UniformResourceIdentifier(desk_name().uri)]

    @pytest.mark.parametrize("size", [MOST_REQUEST_BYTES, MOST_REQUEST_BYTES + 1])
    def test_a_huge_request_is_not_parsed(self, size: int) -> None:
        """Up to the limit it is read, one byte more is refused by its size."""
        filled = request() + b"\n" * MOST_REQUEST_BYTES
        if size == MOST_REQUEST_BYTES:
            accept_request(filled[:size], PROFILES["gateway-tls"])
            return
        with pytest.raises(Refused, match="at most 16384 are read"):
            accept_request(filled[:size], PROFILES["gateway-tls"])

    def test_a_key_on_a_weak_curve_is_refused(self) -> None:
        """Even where the library can read it."""
        key = ec.generate_private_key(ec.SECP224R1())
        with pytest.raises(Refused, match="takes secp256r1"):
            accept_request(request_for(key), PROFILES["gateway-tls"])

    def test_a_refused_request_is_no_act(self, place: Place) -> None:
        """The journal tells what was done, not what was tried."""
        with place.office() as office:
            with pytest.raises(Refused):
                certify(office, PROFILES["gateway-tls"], b"junk", desk_name())
            assert len(office.journal.acts) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not mount(folder, "256k"):
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of *folder* to the last byte; return the file that does."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"\0" * 512)
    return path


def _issue_on(place: Place, out: Path) -> None:
    """Issue until it is refused: what is left of the disk's last page takes an act or two."""
    with place.office() as office:
        for _ in range(9):
            enrol(office, PROFILES["gateway-tls"], request(), desk_name(), out)
            out.unlink()


class TestFullDisk:
    def test_nothing_is_issued_that_cannot_be_recorded(self, small_disk: Path) -> None:
        """The act is taken back whole, and the sentence says to make room."""
        place = make_place(small_disk)
        out = small_disk.parent / "gw.pem"
        filling = fill(small_disk)
        before = (place.government / "acts.jsonl").read_bytes()
        with pytest.raises(Refused, match=r"Nothing was done.*Make room"):
            _issue_on(place, out)
        journal = read_journal(place.government)
        assert (place.government / "acts.jsonl").read_bytes().startswith(before)
        assert journal.torn == 0
        assert not out.exists()
        filling.unlink()
        with place.office() as office:
            enrol(office, PROFILES["gateway-tls"], request(), desk_name(), out)
        assert len(read_journal(place.government).acts) == len(journal.acts) + 1

    def test_what_is_issued_but_cannot_be_written_can_be_fetched(
        self, place: Place, small_disk: Path
    ) -> None:
        """The journal has room, the place for the certificate has none."""
        fill(small_disk)
        out = small_disk / "gw.pem"
        with place.office() as office:
            with pytest.raises(Refused, match=r"issued and recorded.*certs fetch \w+"):
                enrol(office, PROFILES["gateway-tls"], request(), desk_name(), out)
            assert len(office.register.issued) == 1
        assert list(small_disk.iterdir()) == [small_disk / "filling"]

    def test_an_authority_is_founded_whole_or_not_at_all(self, small_disk: Path) -> None:
        """No half of it is left that would stand in the way."""
        filling = fill(small_disk)
        with pytest.raises(Refused, match="No space"):
            create_authority(small_disk / "ca", GOVERNMENT, NOW)
        assert sorted(one.name for one in small_disk.iterdir()) == ["filling"]
        filling.unlink()
        create_authority(small_disk / "ca", GOVERNMENT, NOW)


class TestFiles:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda good: good.replace(b"\nMII", b"\n!II", 1) + good,
            lambda good: good + good[: len(good) // 2],
            lambda good: good.replace(b"-----END CERTIFICATE-----", b"", 1) + good,
            lambda good: good + b"-----BEGIN CERTIFICATE-----\n" + good,
            lambda good: good + b"-----END CERTIFICATE-----\n",
            lambda good: good.replace(
                b"-----BEGIN CERTIFICATE-----", b"-----BEGIN CERTIFICAT-----", 1
            ),
            lambda _: b"",
            lambda _: b"\0" * 100,
        ],
    )
    def test_a_damaged_block_refuses_the_whole_file(self, place: Place, damage: object) -> None:
        """Hole H7: a usual parser takes what comes before it and says nothing."""
        assert callable(damage)
        path = place.government / "root" / "root.pem"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(Refused, match=r"not whole|no readable certificate"):
            read_certificates(path)

    @pytest.mark.parametrize("more", [0, 1])
    def test_a_file_is_read_up_to_eight_megabytes(self, place: Place, more: int) -> None:
        """One byte more, and it is refused by its size."""
        path = place.government / "root" / "root.pem"
        good = path.read_bytes()
        path.write_bytes(good + b"\n" * (pem.MOST_BYTES - len(good) + more))
        if more == 0:
            assert len(read_certificates(path)) == 1
            return
        with pytest.raises(Refused, match="larger than 8388608"):
            read_certificates(path)
        with pytest.raises(Refused, match="at most 8388608 are read"):
            pem.blocks("x", path.read_bytes())

    def test_the_hole_is_there_without_this(self, place: Place) -> None:
        """What the library makes of the same file: fewer certificates, and no complaint."""
        good = (place.government / "root" / "root.pem").read_bytes()
        bad = good.replace(
            b"-----BEGIN CERTIFICATE-----", b"-----BEGIN CERTIFICAT-----", 1
        ).replace(b"-----END CERTIFICATE-----", b"-----END CERTIFICAT-----", 1)
        assert len(x509.load_pem_x509_certificates(good + bad + good)) == 2
        with pytest.raises(Refused, match="CERTIFICAT, to line"):
            pem.certificates("trust", good + bad + good)

    def test_every_changed_bit_of_a_certificate_is_a_refusal_or_another_certificate(
        self, place: Place
    ) -> None:
        """No byte makes the tool fall over: it is read through when it is read."""
        certificate = read_certificates(place.government / "root" / "root.pem")[0]
        der = certificate.public_bytes(Encoding.DER)
        outcomes, refused = set(), 0
        for at in range(len(der)):
            bad = der[:at] + bytes((der[at] ^ 0x55,)) + der[at + 1 :]
            text = b"-----BEGIN CERTIFICATE-----\n%b\n-----END CERTIFICATE-----\n" % b64encode(bad)
            try:
                outcomes.add(pem.certificates("x", text) == [certificate])
            except Refused:
                refused += 1
        assert outcomes == {False}
        assert refused > len(der) / 10

    def test_every_changed_bit_of_a_request_is_a_refusal(self) -> None:
        """Either it is unreadable, or its own key did not sign it."""
        der = x509.load_pem_x509_csr(request()).public_bytes(Encoding.DER)
        text = b"-----BEGIN CERTIFICATE REQUEST-----\n%b\n-----END CERTIFICATE REQUEST-----\n"
        for at in range(len(der)):
            bad = der[:at] + bytes((der[at] ^ 0x55,)) + der[at + 1 :]
            with pytest.raises(Refused):
                accept_request(text % b64encode(bad), PROFILES["gateway-tls"])

    def test_swapped_key_and_certificate_are_named(self, place: Place) -> None:
        """The police's certificate over the government's key, and a folder that lost its newest key."""
        shutil.copy(
            place.police / "issuing" / "issuing.pem", place.government / "issuing" / "issuing.pem"
        )
        with pytest.raises(Refused, match="is not the key of"):
            place.issue()

    def test_a_folder_that_lost_its_newest_issuing_key_is_named(self, place: Place) -> None:
        """The journal knows who is in office."""
        with place.office() as office:
            roll_issuing(office, place.government / "root" / "root.key")
        shutil.rmtree(place.government / "issuing-2")
        with pytest.raises(Refused, match="not the one that the journal has in office"):
            place.issue()

    def test_an_authority_is_not_founded_in_a_folder_that_is_in_use(self, tmp_path: Path) -> None:
        """Nor over a file."""
        (tmp_path / "other").write_bytes(b"mine")
        for folder in (tmp_path, tmp_path / "other"):
            with pytest.raises(Refused, match="not overwritten"):
                create_authority(folder, GOVERNMENT, NOW)


def told(path: Path, secret: str = SECRET) -> Passphrase:
    """Return a passphrase that stands in a file."""
    path.write_text(f"{secret}\nnot this line\n")
    path.chmod(0o600)
    return passphrase(path, None, {})


class TestEncryptedKeys:
    def test_an_encrypted_authority_works_with_its_passphrase_alone(self, tmp_path: Path) -> None:
        """Root and issuing key each have their own; no file holds either in clear."""
        place = Place(folder=tmp_path)
        secret, other = told(tmp_path / "a"), told(tmp_path / "b", "another sentence altogether")
        create_authority(
            place.government, GOVERNMENT, NOW, passphrase=secret, root_passphrase=other
        )
        for key in place.government.rglob("*.key"):
            assert key.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            assert key.stat().st_mode & 0o777 == 0o600
        with pytest.raises(Refused, match="passphrase is wrong"), place.office(passphrase=other):
            pass
        with pytest.raises(Refused, match="CERTS_PASSPHRASE_FILE"), place.office():
            pass
        with place.office(passphrase=secret) as office:
            enrol(office, PROFILES["gateway-tls"], request(), desk_name(), tmp_path / "gw.pem")
            root_key = place.government / "root" / "root.key"
            with pytest.raises(Refused, match="passphrase is wrong"):
                roll_issuing(office, root_key, secret)
            roll_issuing(office, root_key, other, secret)
        with place.office(passphrase=secret) as office:
            assert len(list(office.issuers())) == 2

    @pytest.mark.parametrize("length", [LEAST_CHARACTERS - 1, LEAST_CHARACTERS])
    def test_a_short_passphrase_encrypts_nothing(self, tmp_path: Path, length: int) -> None:
        """Fifteen characters, of whatever script."""
        short = told(tmp_path / "secret", "门" * length)
        if length == LEAST_CHARACTERS:
            create_authority(tmp_path / "ca", GOVERNMENT, NOW, passphrase=short)
            return
        with pytest.raises(Refused, match="shorter than 15"):
            create_authority(tmp_path / "ca", GOVERNMENT, NOW, passphrase=short)
        assert not (tmp_path / "ca").exists()

    def test_the_passphrase_s_file_must_be_private_and_not_empty(self, tmp_path: Path) -> None:
        """And there."""
        path = tmp_path / "secret"
        found = told(path)
        path.chmod(0o640)
        with pytest.raises(Refused, match="chmod 600"):
            found.of(path)
        path.write_bytes(b"\nsecond line")
        path.chmod(0o600)
        with pytest.raises(Refused, match="is empty"):
            found.of(path)
        path.unlink()
        with pytest.raises(Refused, match="cannot be read"):
            found.of(path)

    def test_the_commands_find_it_by_option_and_by_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No option and no variable takes the passphrase itself, and none is ever shown."""
        told(tmp_path / "secret")
        folder = tmp_path / "ca"
        said = [
            certs("init", GOVERNMENT, "--out", folder, "--passphrase-file", tmp_path / "secret"),
            certs("crl", "make", "--authority", folder, "--passphrase-file", tmp_path / "secret"),
        ]
        without = certs("crl", "make", "--authority", folder)
        monkeypatch.setenv("CERTS_PASSPHRASE_FILE", str(tmp_path / "secret"))
        said.append(certs("crl", "make", "--authority", folder))
        assert [one.exit_code for one in said] == [0, 0, 0]
        assert (without.exit_code, "nobody to ask" in without.output) == (1, True)
        assert all(SECRET not in one.output for one in (*said, without))
        assert SECRET.encode() not in (folder / "acts.jsonl").read_bytes()


def test_it_runs_alone() -> None:
    """Every command's module imports nothing of the exchange."""
    program = (
        "import sys, certs.cli\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'exchange'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout.strip() == b"[]"
