"""Every kind of certificate and list that the tool makes, looked at by pkilint and openssl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from certs import pem
from certs.authority import Holder, Hosts
from certs.csr import create_request
from certs.development import GOVERNMENT
from certs.enrolment import enrol
from certs.files import read, read_certificates
from certs.founding import create_authority
from certs.names import Name, Witness
from certs.office import office
from certs.profiles import PROFILES, ProfileName
from certs.revocation import make_lists, revoke
from tests.judge.verdicts import BIN, Verdict, expect, failed, found, passed, run, waiver

HOLDERS: dict[ProfileName, Holder] = {
    "gateway-tls": Name(
        network=GOVERNMENT, region="140400", organisation="11140400MB1X00010Y", role="gw", number=1
    ),
    "bridge-tls": Hosts(names=("bridge.example",), addresses=("192.0.2.1", "2001:db8::1")),
    "signer": Name(
        network=GOVERNMENT,
        region="140400",
        organisation="11140400MB1X00010Y",
        role="signer",
        number=1,
    ),
    "witness": Witness(network=GOVERNMENT, number=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """One file each: the root, the issuing certificate, a leaf of every profile, and both lists."""

    root: Path
    issuing: Path
    leaves: dict[ProfileName, Path]
    issuing_list: Path
    root_list: Path


def made(folder: Path) -> Papers:
    """Make all of them: the signer is revoked by the issuing list, the issuing certificate by the root's."""
    now = datetime.now(UTC)
    files = create_authority(folder / "ca", GOVERNMENT, now)
    leaves = {}
    with office(folder / "ca", now=now, by="judge") as at_work:
        for profile, holder in HOLDERS.items():
            _, request = create_request(folder / profile, profile, PROFILES[profile])
            enrol(at_work, PROFILES[profile], read(request), holder, folder / f"{profile}.pem")
            leaf = read_certificates(folder / f"{profile}.pem")[0]
            leaves[profile] = folder / f"{profile}.leaf.pem"
            leaves[profile].write_bytes(leaf.public_bytes(Encoding.PEM))
        revoke(at_work, str(folder / "signer.pem"), "key-compromise", None)
        revoke(at_work, str(files.issuing), "ca-compromise", None)
        path = make_lists(at_work, root_key=files.root_key)
    lists = [folder / "issuing.crl.pem", folder / "root.crl.pem"]
    for one, crl in zip(lists, pem.crls(str(path), read(path)), strict=True):
        one.write_bytes(crl.public_bytes(Encoding.PEM))
    return Papers(
        root=files.root,
        issuing=files.issuing,
        leaves=leaves,
        issuing_list=lists[0],
        root_list=lists[1],
    )


def judged(papers: Papers) -> Iterator[Verdict]:
    """Let pkilint and openssl look at *papers*."""
    for path in (papers.root, papers.issuing, *papers.leaves.values()):
        yield from _linted(path.name, "lint_pkix_cert", "lint", path)
    for path in (papers.issuing_list, papers.root_list):
        yield from _linted(path.name, "lint_crl", "lint", "-p", "PKIX", "-t", "CRL", path)
    chain = "lint_pkix_signer_signee_cert_chain"
    yield from _linted("root over issuing", chain, "lint", papers.root, papers.issuing)
    for profile, path in papers.leaves.items():
        yield from _linted(f"issuing over {profile}", chain, "lint", papers.issuing, path)
    if not found("openssl"):
        yield passed("openssl", "verify", "not installed here: skipped")
        return
    yield from _verified(papers)


def _linted(subject: str, program: str, command: str, *rest: object) -> Iterator[Verdict]:
    ran = run(BIN / program, command, "-s", "WARNING", "-f", "JSON", *rest)
    try:
        results = json.loads(ran.stdout)["results"]
    except (ValueError, KeyError):
        yield failed("pkilint", subject, f"it did not answer: {ran.stderr.strip()[-300:]}")
        return
    complaints = [
        (finding["code"], str(finding.get("message") or ""))
        for result in results
        for finding in result["finding_descriptions"]
    ]
    for code, message in complaints:
        why = waiver(code, message)
        if why is None:
            yield failed("pkilint", subject, f"{code}: {message}")
        else:
            yield passed("pkilint", subject, f"waived {code}: {why}")
    if not complaints:
        yield passed("pkilint", subject)


def _verified(papers: Papers) -> Iterator[Verdict]:
    """Let openssl build the paths, purpose by purpose, without and with the lists."""
    base = ("openssl", "verify", "-CAfile", papers.root, "-untrusted", papers.issuing)
    gateway, bridge = papers.leaves["gateway-tls"], papers.leaves["bridge-tls"]
    signer, issuing_list = papers.leaves["signer"], papers.issuing_list
    lists = ("-CRLfile", issuing_list, "-CRLfile", papers.root_list)
    for claim, options, path, wanted in (
        ("a gateway is a client", ("-purpose", "sslclient"), gateway, ": OK"),
        (
            "a gateway is no server",
            ("-purpose", "sslserver"),
            gateway,
            "unsuitable certificate purpose",
        ),
        ("a bridge is a server", ("-purpose", "sslserver"), bridge, ": OK"),
        (
            "a bridge is no client",
            ("-purpose", "sslclient"),
            bridge,
            "unsuitable certificate purpose",
        ),
        (
            "a signer is no client",
            ("-purpose", "sslclient"),
            signer,
            "unsuitable certificate purpose",
        ),
        ("a bridge has its name", ("-verify_hostname", "bridge.example"), bridge, ": OK"),
        ("and no other", ("-verify_hostname", "other.example"), bridge, "hostname mismatch"),
        ("who is not listed goes on", ("-crl_check", "-CRLfile", issuing_list), gateway, ": OK"),
        (
            "who is listed is revoked",
            ("-crl_check", "-CRLfile", issuing_list),
            signer,
            "certificate revoked",
        ),
        (
            "the root revokes its issuing key",
            ("-crl_check_all", *lists),
            gateway,
            "certificate revoked",
        ),
    ):
        ran = run(*base, *options, path)
        yield expect("openssl", claim, wanted, holds=wanted in ran.stdout + ran.stderr)
