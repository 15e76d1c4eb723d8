"""
How an authority answers renewals unattended: only what the certificate in force asks for itself.

A request is believed when the key of the certificate that it renews signed it, and that certificate
is this authority's, in force, and was not renewed under another key.  Name, profile and length of
life stay as they were; for anything else a person issues.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from certs import pem
from certs.authority import Holder, Hosts
from certs.csr import accept_request
from certs.enrolment import certify, deliver
from certs.errors import Refused, Sentence, said
from certs.files import read, replace
from certs.names import parse_name, parse_witness
from certs.office import Office
from certs.profiles import BACKDATED, PROFILES, Profile, ProfileName
from certs.register import Issued, State, key_digest
from certs.renewal import RENEWAL_TYPE
from certs.statements import holds, read_statement, unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request."""

    request: Path
    certificate: x509.Certificate | None
    refused: Sentence | None = None


def answer_all(office: Office, inbox: Path, outbox: Path) -> list[Answer]:
    """
    Answer every ``*.renewal`` in *inbox* into *outbox*; what is answered leaves the inbox.

    A refused request is renamed to ``*.renewal.refused``, and its holder finds the reason in the
    outbox.  Raises `Refused` when this machine cannot go on; what was done by then is done.
    """
    answers: list[Answer] = []
    for path in sorted(inbox.glob("*.renewal")):
        try:
            answers.append(_answer(office, path, outbox))
            path.unlink()
        except _Turned as turned:
            why = turned.sentence
            if turned.request is not None:
                replace(outbox / f"{turned.request}.refused", f"{why.en}\n{why.zh}\n".encode())
            path.rename(path.with_name(f"{path.name}.refused"))
            answers.append(Answer(request=path, certificate=None, refused=why))
        except OSError as error:
            raise Refused(
                en=f"{path} cannot be put away: {said(error).en}. Check the folder's rights.",
                zh=f"无法移走 {path}：{said(error).zh}。请检查文件夹权限。",
            ) from error
    return answers


class _Turned(Exception):
    """One request is refused; the others go on."""

    def __init__(self, refused: Refused, request: str | None) -> None:
        super().__init__(str(refused))
        self.sentence, self.request = refused.sentence, request


def _answer(office: Office, path: Path, outbox: Path) -> Answer:
    request_id: str | None = None
    try:
        request, old, profile = _read(office, path)
        key = accept_request(request, profile)
        digest = key_digest(key)
        request_id = digest[:16]
        before = office.register.renewed.get(old.certificate.serial_number)
        if before is not None and office.register.keys.get(digest) == before:
            leaf = office.register.issued[before].certificate  # answered before; handed over again
        else:
            _check_in_force(office, old)
            life = old.certificate.not_valid_after_utc - old.certificate.not_valid_before_utc
            leaf = certify(
                office, profile, request, _holder(old.certificate, profile),
                days=max(1, round((life - BACKDATED).total_seconds() / 86400)),
                renews=old.certificate,
            )  # fmt: skip
    except Refused as refused:
        if _nothing_was_recorded(refused):
            raise
        raise _Turned(refused, request_id) from refused
    deliver(office, leaf, outbox / f"{request_id}.pem")
    return Answer(request=path, certificate=leaf)


def _nothing_was_recorded(refused: Refused) -> bool:
    """Return whether the journal could not be written, which is no fault of the request."""
    return isinstance(refused.__cause__, OSError)


def _read(office: Office, path: Path) -> tuple[bytes, Issued, Profile]:
    """Return the request in *path* once the certificate that it renews has signed it; or refuse."""
    try:
        data = read(path)
    except Refused as refused:  # no fault of this machine's: one bad file must not stop the others
        raise Refused(en=refused.sentence.en, zh=refused.sentence.zh) from None
    try:
        statement = read_statement(data.strip(), RENEWAL_TYPE)
        told = statement.says()
        request = str(told["request"]).encode()
        (certificate,) = pem.certificates(str(path), str(told["certificate"]).encode())
    except KeyError as error:
        raise unreadable(path, ValueError(f"it lacks {error}"), "renew") from None
    except ValueError as error:
        raise unreadable(path, error, "renew") from None
    old = office.register.issued.get(certificate.serial_number)
    if old is None or old.certificate != certificate or not holds(statement, certificate):
        raise Refused(
            en="The request is not signed by the key of a certificate of this authority. Whoever has "
            "none yet is issued one by a person: certs issue",
            zh="该申请未由本机构所签发证书的密钥签名。尚无证书者须由人员签发：certs issue",
        )
    profile: ProfileName
    for profile in PROFILES:
        if profile == old.profile:
            return request, old, PROFILES[profile]
    raise unreadable(path, ValueError(f"no profile {old.profile}"), "renew")


def _check_in_force(office: Office, old: Issued) -> None:
    state = office.register.state(old, office.now)
    if state in (State.VALID, State.DUE):
        return
    if state is State.RENEWED:
        raise Refused(
            en=f"Certificate {old.serial[:12]} was renewed already, under another key. If its holder "
            "did not ask twice, the key is stolen: certs revoke",
            zh=f"证书 {old.serial[:12]} 已以另一密钥更新。若持有者并未两次申请，则密钥已被盗用：certs revoke",
        )
    raise Refused(
        en=f"Certificate {old.serial[:12]} is {state}; only one in force can be renewed. Its holder "
        "makes a new request (certs csr), and a person issues (certs issue).",
        zh=f"证书 {old.serial[:12]} 状态为 {state}，只有有效证书可以更新。请持有者重新申请（certs csr），由人员签发（certs issue）。",
    )


def _holder(certificate: x509.Certificate, profile: Profile) -> Holder:
    """Return whom *certificate* names; it is one of our own, so it names somebody."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if profile.name == "bridge-tls":
        return Hosts(
            names=tuple(names.get_values_for_type(x509.DNSName)),
            addresses=tuple(map(str, names.get_values_for_type(x509.IPAddress))),
        )
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    holder = parse_name(uri) or parse_witness(uri)
    if holder is None:
        raise ValueError(f"a certificate of ours names nobody: {uri}")
    return holder
