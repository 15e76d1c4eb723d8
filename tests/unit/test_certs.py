"""The certificate tool: what it makes, what it ignores, and what it refuses."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import (
    Authority,
    Hosts,
    chain_pem,
    create_authority,
    issue,
    open_authority,
)
from certs.cli import main, run
from certs.csr import accept_request, create_request
from certs.development import BRIDGE, GOVERNMENT, POLICE, Desk, build
from certs.errors import Refused
from certs.files import write_new
from certs.logkey import note_keys
from certs.names import Name, Role, parse_name
from certs.profiles import PROFILES, SIGNER_USAGE, ProfileName

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
README = Path(__file__).parents[2] / "certs" / "README.md"
PROMPT = "$ python -m certs "
ORGANISATION = "11140400MB1X00010Y"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The government network's issuing authority."""
    folder = tmp_path_factory.mktemp("authority")
    create_authority(folder, GOVERNMENT, NOW)
    return open_authority(folder)


def _name(role: Role = "gw", *, network: str = GOVERNMENT) -> Name:
    return Name(network=network, region="140400", organisation=ORGANISATION, role=role, number=1)


def _key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def _request(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Return a request that asks for everything it must not get."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bridge.example")])
    names: list[x509.GeneralName] = [
        x509.DNSName("bridge.example"),
        x509.UniformResourceIdentifier(_name(network=POLICE).uri),
    ]
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


class TestAuthority:
    def test_root_and_issuing_are_what_the_readme_says(self, tmp_path: Path) -> None:
        """P-384 over P-256, path lengths 1 and 0, ten and two years, back-dated, named."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        root = x509.load_pem_x509_certificate(files.root.read_bytes())
        issuing = x509.load_pem_x509_certificate(files.issuing.read_bytes())
        root.verify_directly_issued_by(root)
        issuing.verify_directly_issued_by(root)
        for certificate, curve, length, days in (
            (root, "secp384r1", 1, 3652),
            (issuing, "secp256r1", 0, 730),
        ):
            key = certificate.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            assert key.curve.name == curve
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            assert constraints.critical
            assert (constraints.value.ca, constraints.value.path_length) == (True, length)
            assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
            assert certificate.not_valid_after_utc == NOW + timedelta(days=days)
        assert files.trust.read_bytes() == files.root.read_bytes()

    def test_keys_are_for_their_owner_only(self, tmp_path: Path) -> None:
        """Private keys have mode 0600 whatever the umask; an open one is refused."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        for key in (files.root_key, files.issuing_key):
            assert key.stat().st_mode & 0o777 == 0o600
        files.issuing_key.chmod(0o640)
        with pytest.raises(Refused, match="chmod 600"):
            open_authority(tmp_path)

    def test_a_second_init_changes_nothing(self, tmp_path: Path) -> None:
        """A root in use is never overwritten."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        before = files.root_key.read_bytes()
        with pytest.raises(Refused, match="not overwritten"):
            create_authority(tmp_path, GOVERNMENT, NOW)
        assert files.root_key.read_bytes() == before

    def test_issuing_works_without_the_root(self, tmp_path: Path) -> None:
        """The root's folder may be carried away."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        files.root_key.unlink()
        files.root.unlink()
        assert open_authority(tmp_path).network == GOVERNMENT

    def test_a_pair_that_does_not_match_is_refused(self, tmp_path: Path) -> None:
        """Another authority's key beside the certificate is found before anything is signed."""
        files = create_authority(tmp_path / "a", GOVERNMENT, NOW)
        other = create_authority(tmp_path / "b", POLICE, NOW)
        files.issuing_key.write_bytes(other.issuing_key.read_bytes())
        with pytest.raises(Refused, match="is not the key of"):
            open_authority(tmp_path / "a")

    @pytest.mark.parametrize(
        "network", ["", "Hotline.Example", "localhost", "a..b", "x/y.z", "网.cn"]
    )
    def test_a_bad_network_name_is_refused(self, tmp_path: Path, network: str) -> None:
        """The name is part of every identity, so its form is strict."""
        with pytest.raises(Refused, match="no network name"):
            create_authority(tmp_path, network, NOW)


class TestIssue:
    @pytest.mark.parametrize(
        ("profile", "role", "usage", "commits", "days"),
        [
            ("gateway-tls", "gw", ExtendedKeyUsageOID.CLIENT_AUTH, False, 90),
            ("signer", "signer", SIGNER_USAGE, True, 365),
        ],
    )
    def test_the_profile_decides_everything(
        self,
        authority: Authority,
        *,
        profile: ProfileName,
        role: Role,
        usage: x509.ObjectIdentifier,
        commits: bool,
        days: int,
    ) -> None:
        """A request that asks for a server's, an authority's and a stranger's rights gets none."""
        key = accept_request(_request(ec.generate_private_key(ec.SECP256R1())), PROFILES[profile])
        leaf = issue(authority, PROFILES[profile], key, _name(role), NOW)
        extensions = leaf.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.UniformResourceIdentifier(_name(role).uri)]
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        bits = extensions.get_extension_for_class(x509.KeyUsage)
        assert bits.critical
        assert (bits.value.digital_signature, bits.value.content_commitment) == (True, commits)
        assert not bits.value.key_cert_sign
        assert "bridge.example" not in leaf.subject.rfc4514_string()
        assert leaf.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert leaf.not_valid_after_utc == NOW + timedelta(days=days)
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        leaf.verify_directly_issued_by(authority.certificate)

    def test_a_bridge_has_hosts_and_no_uri(self, authority: Authority) -> None:
        """DNS names and addresses, server use only."""
        hosts = Hosts(names=("bridge.example",), addresses=("192.0.2.7", "2001:db8::7"))
        leaf = issue(authority, PROFILES["bridge-tls"], _key(), hosts, NOW)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["bridge.example"]
        assert len(names.get_values_for_type(x509.IPAddress)) == 2
        assert not names.get_values_for_type(x509.UniformResourceIdentifier)
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]

    def test_serials_differ(self, authority: Authority) -> None:
        """Serial numbers are random, so nobody can tell how many were issued."""
        leaves = [issue(authority, PROFILES["gateway-tls"], _key(), _name(), NOW) for _ in range(3)]
        assert len({leaf.serial_number for leaf in leaves}) == 3
        assert chain_pem(leaves[0], authority).count(b"BEGIN CERTIFICATE") == 2

    @pytest.mark.parametrize(
        ("profile", "holder", "days", "words"),
        [
            ("gateway-tls", _name("signer"), None, "no name for a gateway-tls"),
            ("gateway-tls", _name(network=POLICE), None, "Ask the authority of police110"),
            ("gateway-tls", Hosts(names=("localhost",)), None, "could pose as the bridge"),
            ("bridge-tls", _name(), None, "no name for a bridge-tls"),
            ("bridge-tls", Hosts(names=()), None, "needs a DNS name"),
            ("bridge-tls", Hosts(names=("*.example",)), None, "without wildcard"),
            ("bridge-tls", Hosts(names=("a.example",), addresses=("1.2.3",)), None, "no IP"),
            ("gateway-tls", _name(), 91, "1 to 90 days"),
            ("gateway-tls", _name(), 0, "1 to 90 days"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self,
        authority: Authority,
        profile: ProfileName,
        holder: Name | Hosts,
        days: int | None,
        words: str,
    ) -> None:
        """Each refusal says what was asked and what to do."""
        with pytest.raises(Refused, match=words.replace("*", r"\*")):
            issue(authority, PROFILES[profile], _key(), holder, NOW, days=days)

    def test_nothing_outlives_its_issuer(self, authority: Authority) -> None:
        """Towards the end of the issuing certificate only shorter lives are given."""
        late = NOW + timedelta(days=700)
        with pytest.raises(Refused, match="Renew the issuing certificate"):
            issue(authority, PROFILES["gateway-tls"], _key(), _name(), late)
        issue(authority, PROFILES["gateway-tls"], _key(), _name(), late, days=30)


class TestRequests:
    def test_the_key_stays_and_the_request_goes(self, tmp_path: Path) -> None:
        """Two files: a private one, and one without any secret."""
        key, request = create_request(tmp_path / "gw.1", "gw.1")
        assert (key.name, request.name) == ("gw.1.key", "gw.1.csr")
        assert key.stat().st_mode & 0o777 == 0o600
        assert b"PRIVATE" not in request.read_bytes()
        accept_request(request.read_bytes(), PROFILES["gateway-tls"])

    @pytest.mark.parametrize("suffix", [".key", ".csr"])
    def test_neither_file_is_overwritten(self, tmp_path: Path, suffix: str) -> None:
        """When one of the two exists, nothing is written at all."""
        write_new(tmp_path / f"gw{suffix}", b"mine")
        with pytest.raises(Refused, match="not overwritten"):
            create_request(tmp_path / "gw", "gw")
        assert [path.name for path in tmp_path.iterdir()] == [f"gw{suffix}"]

    def test_a_request_without_proof_of_possession_is_refused(self) -> None:
        """Somebody else's public key under a signature that is not its own."""
        pem = _request(ec.generate_private_key(ec.SECP256R1()))
        der = bytearray(x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER))
        der[-1] ^= 1
        broken = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
        with pytest.raises(Refused, match="does not hold the key"):
            accept_request(broken, PROFILES["gateway-tls"])

    def test_junk_is_refused(self) -> None:
        """The sentence says which file is wanted."""
        with pytest.raises(Refused, match=r"certs csr"):
            accept_request(b"junk", PROFILES["gateway-tls"])

    @pytest.mark.parametrize("profile", list(PROFILES))
    def test_wrong_kinds_of_key_are_refused(self, profile: ProfileName) -> None:
        """RSA, Ed25519 and P-521 never; P-384 not for signers."""
        keys: list[CertificateIssuerPrivateKeyTypes] = [
            rsa.generate_private_key(65537, 2048),
            ec.generate_private_key(ec.SECP521R1()),
        ]
        if profile == "signer":
            keys.append(ec.generate_private_key(ec.SECP384R1()))
        for key in keys:
            with pytest.raises(Refused, match="takes secp256r1"):
                accept_request(_request(key), PROFILES[profile])
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        edwards = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
        with pytest.raises(Refused, match="Ed25519"):
            accept_request(edwards.public_bytes(Encoding.PEM), PROFILES[profile])

    def test_rsa_for_a_bridge_says_why(self) -> None:
        """An RSA server key would let TLS 1.2 back in."""
        request = _request(rsa.generate_private_key(65537, 2048))
        with pytest.raises(Refused, match=r"TLS 1\.2"):
            accept_request(request, PROFILES["bridge-tls"])


class TestNames:
    def test_a_name_and_its_uri_are_one(self) -> None:
        """What is written can be read."""
        for name in (_name(), _name("signer")):
            assert parse_name(name.uri) == name

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "https://hotline12345.example/region/140400/org/140400000000/gw/1",
            "spiffe://hotline12345.example/region/1404/org/140400000000/gw/1",
            "spiffe://hotline12345.example/region/140400/org/14040000000/gw/1",
            "spiffe://hotline12345.example/region/140400/org/11140400MB1X0001OY/gw/1",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/0",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/01",
            "spiffe://hotline12345.example/region/140400/org/140400000000/admin/1",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/1/",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/1\n",
            "spiffe://hotline12345.example/region/１４０４００/org/140400000000/gw/1",
            "spiffe://HOTLINE12345.example/region/140400/org/140400000000/gw/1",
        ],
    )
    def test_what_is_no_name(self, uri: str) -> None:
        """Near misses spell nobody."""
        assert parse_name(uri) is None

    @pytest.mark.parametrize(
        ("region", "organisation", "number"),
        [("1404", ORGANISATION, 1), ("140400", "short", 1), ("140400", ORGANISATION, 0)],
    )
    def test_bad_parts_are_refused(self, region: str, organisation: str, number: int) -> None:
        """Both languages say which option to correct."""
        with pytest.raises(Refused) as raised:
            Name(
                network=GOVERNMENT,
                region=region,
                organisation=organisation,
                role="gw",
                number=number,
            )
        assert "--" in raised.value.sentence.en
        assert "--" in raised.value.sentence.zh


class TestLogKey:
    def test_it_is_a_signed_note_key(self) -> None:
        """The key id of the C2SP note format: SHA-256 over name, newline, type and key."""
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        private, verifier = note_keys("bridge.example/log/1", key)
        name, key_id, encoded = verifier.split("+", 2)
        public = base64.b64decode(encoded)
        assert public == b"\x01" + key.public_key().public_bytes_raw()
        assert hashlib.sha256(f"{name}\n".encode() + public).hexdigest().startswith(key_id)
        assert private.startswith(f"PRIVATE+KEY+{name}+{key_id}+")
        assert base64.b64decode(private.rsplit("+", 1)[1])[1:] == bytes(range(32))

    @pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
    def test_a_bad_name_is_refused(self, name: str) -> None:
        """Spaces and plus signs would break the note's lines."""
        with pytest.raises(Refused, match="no log name"):
            note_keys(name, ed25519.Ed25519PrivateKey.generate())


class TestDevelopment:
    def test_a_set_is_whole(self, tmp_path: Path) -> None:
        """Three authorities, roots apart, a bridge, a log key, two credentials for every desk."""
        desk = Desk(network=POLICE, region="140400", organisation="140400000000")
        made = build(tmp_path / "set", desks=[desk], now=NOW)
        assert set(made.authorities) == {GOVERNMENT, POLICE, BRIDGE}
        assert set(made.trust) == {GOVERNMENT, POLICE}
        for root in (*made.trust.values(), made.bridge_trust):
            assert root.read_bytes().count(b"BEGIN CERTIFICATE") == 1
        files = made.desks[desk.organisation]
        for credential in (made.bridge, files.gateway, files.signer):
            assert credential.key.stat().st_mode & 0o777 == 0o600
            assert credential.certificate.read_bytes().count(b"BEGIN CERTIFICATE") == 2
        assert made.log_key.stat().st_mode & 0o777 == 0o600
        assert made.log_verifier.read_text().startswith(f"{BRIDGE}/log/1+")

    def test_an_existing_folder_is_left_alone(self, tmp_path: Path) -> None:
        """A second call does not mix two sets."""
        with pytest.raises(Refused, match="not overwritten"):
            build(tmp_path, desks=[], now=NOW)


@dataclass(frozen=True, slots=True)
class Result:
    """How a command line ended, and all it said."""

    exit_code: int
    output: str


def _run(*arguments: object, lang: str = "en", **environment: str) -> Result:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run([*map(str, arguments), *(("--lang", lang) if lang else ())], environment)
    return Result(code, said.getvalue())


class TestCommands:
    def test_from_nothing_to_a_gateway_certificate(self, tmp_path: Path) -> None:
        """The README's three commands, and what `show` says of the result."""
        folder, stem, out = tmp_path / "ca", tmp_path / "gw", tmp_path / "gw.pem"
        assert _run("init", GOVERNMENT, "--out", folder).exit_code == 0
        assert _run("csr", stem).exit_code == 0
        issued = _run(
            "issue", f"{stem}.csr", "--authority", folder, "--profile", "gateway-tls",
            "--region", "140400", "--organisation", ORGANISATION, "--out", out,
        )  # fmt: skip
        assert issued.exit_code == 0, issued.output
        assert "valid until" in issued.output
        described = json.loads(_run("show", out, "--json").output)
        assert [one["kind"] for one in described] == ["gateway-tls", "authority"]
        assert described[0]["names"] == [_name().uri]
        assert described[0]["days_left"] == 89
        assert "剩余 89 天" in _run("show", out, lang="zh").output

    def test_the_readme_commands_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every command shown after a dollar sign runs, in the order of the text."""
        monkeypatch.chdir(tmp_path)
        shown = README.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        commands = [line.removeprefix(PROMPT).split() for line in shown if line.startswith(PROMPT)]
        assert len(commands) >= 4
        for command in commands:
            result = _run(*command)
            assert result.exit_code == 0, (command, result.output)

    def test_a_bridge_certificate(self, tmp_path: Path) -> None:
        """Hosts instead of region and organisation; both together are refused."""
        folder, stem, out = tmp_path / "ca", tmp_path / "bridge", tmp_path / "bridge.pem"
        _run("init", BRIDGE, "--out", folder)
        _run("csr", stem)
        common = ["issue", f"{stem}.csr", "--authority", folder, "--profile", "bridge-tls"]
        both = _run(*common, "--dns", "b.example", "--region", "140400", "--out", out)
        assert both.exit_code == 1
        assert "cannot carry both" in both.output
        assert not out.exists()
        made = _run(*common, "--dns", "b.example", "--ip", "192.0.2.1", "--out", out)
        assert made.exit_code == 0, made.output

    @pytest.mark.parametrize(("lang", "words"), [("en", "not overwritten"), ("zh", "不予覆盖")])
    def test_refusals_speak_the_chosen_language(
        self, tmp_path: Path, lang: str, words: str
    ) -> None:
        """Exit code 1 and one sentence, no traceback."""
        write_new(tmp_path / "log.key", b"mine")
        result = _run("log-key", tmp_path / "log", "--name", "b.example/log/1", lang=lang)
        assert result.exit_code == 1
        assert words in result.output

    def test_show_refuses_a_file_with_a_broken_block(self, tmp_path: Path) -> None:
        """What the parser would drop in silence is named."""
        path = tmp_path / "x.pem"
        path.write_bytes(b"junk")
        assert "no readable certificate" in _run("show", path).output
        assert "cannot be read" in _run("show", tmp_path / "absent.pem").output

    @pytest.mark.parametrize(
        ("line", "environment", "zh"),
        [
            (["--help"], {}, False),
            (["--help"], {"EXCHANGE_LANG": "zh", "LANG": "en_US"}, True),
            (["--help"], {"LANG": "zh_CN.UTF-8"}, True),
            (["--lang", "zh", "issue", "--help"], {}, True),
            (["issue", "--help", "--lang=zh"], {}, True),
            (["issue", "--help", "--lang", "en"], {"EXCHANGE_LANG": "zh"}, False),
        ],
    )
    def test_the_language_is_chosen_as_the_exchange_chooses_it(
        self, line: list[str], environment: dict[str, str], zh: bool
    ) -> None:
        """``--lang`` anywhere on the line rules, then EXCHANGE_LANG, then the locale."""
        said = _run(*line, lang="", **environment)
        assert (said.exit_code, said.output.startswith("用法：")) == (0, zh)

    def test_no_help_page_or_complaint_is_left_in_english(self, tmp_path: Path) -> None:
        """Every command and option, what click finds wrong, and what the system says."""
        for command in main.commands:
            for said in _run(command, "--help", lang="zh").output.splitlines()[1:]:
                assert not said.strip() or any("一" <= letter for letter in said), (command, said)
        assert "缺少参数：申请文件" in _run("issue", lang="zh").output
        assert "没有 --ouch 选项" in _run("init", "n", "--ouch", lang="zh").output
        missing = _run("show", tmp_path / "absent.pem", lang="zh")
        assert "文件或文件夹不存在" in missing.output
        assert missing.exit_code == 1

    def test_times_are_shown_in_china_s_zone_unless_tz_is_set(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On the screen local with its offset; in JSON in UTC."""
        path = tmp_path / "chain.pem"
        path.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        monkeypatch.delenv("TZ", raising=False)
        assert "2026-03-01 15:55 +08:00" in _run("show", path).output
        assert json.loads(_run("show", path, "--json").output)[0]["not_before"] == (
            "2026-03-01T07:55:00+00:00"
        )
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert "2026-03-01 07:55 +00:00" in _run("show", path).output
        monkeypatch.undo()
        time.tzset()

    def test_it_runs_alone(self) -> None:
        """`python -m certs` needs nothing of the exchange."""
        program = (
            "import sys, runpy; sys.argv = ['certs', '--help']\n"
            "try: runpy.run_module('certs', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "print([name for name in sys.modules if name.split('.')[0] == 'exchange'])"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        assert ran.stdout.decode().splitlines()[-1] == "[]"
        assert b"init" in ran.stdout
