"""
How an authority comes into being, and how its keys change in office.

The folder that `create_authority` writes, whole or not at all::

    root/root.key          mode 0600; move it to an offline medium once the folder is made
    root/root.pem          P-384, ten years, path length 1
    issuing/issuing.key    mode 0600; what `issue` works with
    issuing/issuing.pem    P-256, two years, path length 0
    trust/<network>.pem    the root's certificate, to be handed to the other side
    acts.jsonl             what the authority does, beginning with this (`certs.journal`)

A new root stands beside the old one as ``root/root-2.pem``, and both are in the trust bundle until
the old one is retired; a new issuing key is made in ``issuing-2``, and the old one stays, because
only it can sign the revocation list of what it issued.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import (
    CERTIFICATE,
    KEY,
    authority_key_id,
    authority_name,
    authority_network,
    builder,
)
from certs.errors import Refused, said
from certs.files import key_pem, read_authority_key, require_absent, sync_folder, write_new
from certs.journal import begin, certificate_text
from certs.names import check_network, network_uri
from certs.office import Office, same_key
from certs.passphrase import NOBODY, Passphrase
from certs.profiles import key_usage
from certs.token import SUFFIX, Token, create_key

ROOT_LIFE = timedelta(days=3652)
ISSUING_LIFE = timedelta(days=730)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFiles:
    """Where an authority's files stand."""

    root_key: Path
    root: Path
    issuing_key: Path
    issuing: Path
    trust: Path

    @classmethod
    def under(cls, folder: Path, network: str) -> AuthorityFiles:
        """Return the paths of *network*'s authority under *folder*."""
        return cls(
            root_key=folder / "root" / "root.key",
            root=folder / "root" / "root.pem",
            issuing_key=folder / "issuing" / KEY,
            issuing=folder / "issuing" / CERTIFICATE,
            trust=folder / "trust" / f"{network}.pem",
        )


def create_authority(
    folder: Path,
    network: str,
    now: datetime,
    *,
    by: str = "-",
    passphrase: Passphrase | None = None,
    root_passphrase: Passphrase | None = None,
    token: Token | None = None,
) -> AuthorityFiles:
    """
    Make *network*'s root and issuing authority in *folder*, which must be absent or empty.

    With a passphrase, the key is encrypted by it; with a *token*, whose PIN it then is, the issuing key
    is made there.  Raises `Refused`.
    """
    check_network(network)
    made = AuthorityFiles.under(folder, network)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        require_absent(made.root, made.issuing, made.trust)
        require_absent(folder)
    part = folder.absolute().with_name(f".{folder.absolute().name}.part")
    _clear(part)
    files = AuthorityFiles.under(part, network)
    root_secret = _secret(root_passphrase, made.root_key)

    root_key = ec.generate_private_key(ec.SECP384R1())
    root = _root(network, "root", root_key, now)
    issuing_key, key_file = _issuing_key(f"{network} issuing", made.issuing_key, passphrase, token)
    issuing = _issuing("issuing", issuing_key.public_key(), root, root_key, now)
    try:
        write_new(files.root_key, key_pem(root_key, root_secret), private=True)
        write_new(files.issuing_key.with_suffix(key_file.suffix), key_file.data, private=True)
        write_new(files.root, root.public_bytes(Encoding.PEM))
        write_new(files.issuing, issuing.public_bytes(Encoding.PEM))
        write_new(files.trust, root.public_bytes(Encoding.PEM))
        begin(part).append(
            "init",
            {"root": certificate_text(root), "issuing": certificate_text(issuing)},
            network=network, by=by, now=now, key=issuing_key, certificate=issuing,
        )  # fmt: skip
        _put_in_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def roll_root(office: Office, root_passphrase: Passphrase | None = None) -> tuple[Path, Path]:
    """
    Make the next root beside the old one; return the paths of its key and certificate.

    Nothing is issued under it until `roll_issuing`: first every peer must have imported a bundle
    with both roots.  Raises `Refused`.
    """
    number = len(office.journal.roots) + 1
    home = office.folder / "root"
    key_path, path = home / f"root-{number}.key", home / f"root-{number}.pem"
    # What an interrupted roll-over left is in no act, so nobody ever saw it.
    key_path.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    secret = _secret(root_passphrase, key_path)
    key = ec.generate_private_key(ec.SECP384R1())
    root = _root(office.authority.network, f"root {number}", key, office.now)
    write_new(key_path, key_pem(key, secret), private=True)
    write_new(path, root.public_bytes(Encoding.PEM))
    office.record("roll-root", {"root": certificate_text(root)})
    return key_path, path


def roll_issuing(
    office: Office,
    root_key_path: Path,
    root_passphrase: Passphrase = NOBODY,
    passphrase: Passphrase | None = None,
    token: Token | None = None,
) -> Path:
    """Put a new issuing key in office, under the root whose key is given; return its certificate."""
    root_key = read_authority_key(root_key_path, root_passphrase)
    root = next((one for one in office.roots if same_key(one, root_key)), None)
    if root is None:
        raise Refused(
            en=f"{root_key_path} is the key of no root that this authority has in use. Give the key "
            "of the newest root, from its offline medium.",
            zh=f"{root_key_path} 不是本机构任何在用根的密钥。请从离线介质提供最新根的密钥。",
        )
    number = len(office.journal.issuing) + 1
    home = office.folder / f"issuing-{number}"
    part = office.folder / f".issuing-{number}.part"
    _clear(part)
    label = f"{office.authority.network} issuing {number}"
    key, key_file = _issuing_key(label, home / KEY, passphrase, token)
    issuing = _issuing(f"issuing {number}", key.public_key(), root, root_key, office.now)
    write_new((part / KEY).with_suffix(key_file.suffix), key_file.data, private=True)
    write_new(part / CERTIFICATE, issuing.public_bytes(Encoding.PEM))
    office.hand_over(issuing, key, part, home)
    return home / CERTIFICATE


def retire_root(office: Office, which: str) -> x509.Certificate:
    """
    Take the root whose SHA-256 begins with *which* out of the coming bundles; return it.

    Raises `Refused` while something valid still depends on it, or when it would be the last.
    """
    wanted = which.replace(":", "").lower()
    found = [one for one in office.roots if _digest(one).startswith(wanted)] if wanted else []
    if len(found) != 1:
        raise Refused(
            en=f"{which!r} is the beginning of {len(found)} roots' SHA-256 here. Take it from: certs "
            "inventory --authorities",
            zh=f"以 {which!r} 开头的根证书 SHA-256 有 {len(found)} 个。请查看：certs inventory --authorities",
        )
    (root,) = found
    held = office.register.depends_on(root, office.journal.issuing, office.now)
    if len(office.roots) == 1 or held:
        raise Refused(
            en=f"This root cannot be retired: {held} certificates that are still valid end at it, or "
            "it is the only one. Renew them under the new root first: certs inventory",
            zh=f"该根证书不能停用：仍有 {held} 份有效证书依赖它，或它是唯一的根。请先在新根下更新这些证书：certs inventory",
        )
    office.record("retire-root", {"root_sha256": _digest(root)})
    return root


def _digest(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeyFile:
    """What stands where an issuing key would: the key, or where in a token it is."""

    suffix: str
    data: bytes


def _issuing_key(
    label: str, path: Path, passphrase: Passphrase | None, token: Token | None
) -> tuple[ec.EllipticCurvePrivateKey, _KeyFile]:
    if token is not None:
        slot, inside = create_key(token, label, passphrase or NOBODY)
        return inside, _KeyFile(suffix=SUFFIX, data=slot.text())
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _KeyFile(suffix=path.suffix, data=key_pem(key, _secret(passphrase, path)))


def _secret(passphrase: Passphrase | None, key: Path) -> bytes | None:
    return None if passphrase is None else passphrase.new_for(key)


def _clear(part: Path) -> None:
    """Remove what a process that was killed left; no act names it."""
    if part.exists():
        shutil.rmtree(part)


def _put_in_place(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
        sync_folder(folder.absolute().parent)
    except OSError as error:
        raise Refused(
            en=f"{folder} cannot be made: {said(error).en}. Give a folder that is absent or empty.",
            zh=f"无法建立 {folder}：{said(error).zh}。请指定不存在或为空的文件夹。",
        ) from error


def _root(
    network: str, label: str, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    name = authority_name(network, label)
    return _authority_certificate(
        network, name, key.public_key(), issuer=name, signer=key,
        until=now + ROOT_LIFE, now=now, path_length=1,
    )  # fmt: skip


def _issuing(
    label: str,
    key: ec.EllipticCurvePublicKey,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    if not root.not_valid_before_utc <= now < root.not_valid_after_utc:
        raise Refused(
            en="The root is not valid at this machine's time. Check the clock; if the root has "
            "ended: certs roll root",
            zh="按本机时间，根证书不在有效期内。请检查时钟；若根已到期，请执行：certs roll root",
        )
    network = authority_network(root)
    return _authority_certificate(
        network, authority_name(network, label), key, issuer=root.subject, signer=root_key,
        until=min(now + ISSUING_LIFE, root.not_valid_after_utc), now=now, path_length=0,
    )  # fmt: skip


def _authority_certificate(
    network: str,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
    path_length: int,
) -> x509.Certificate:
    names = [x509.UniformResourceIdentifier(network_uri(network))]
    return (
        builder(subject, key, issuer, now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority_key_id(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA384())
    )
