"""Whom a reader believes, gathered from a trust folder or from one file of roots."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509

from certs import trust
from certs.authority import authority_network
from certs.crl import CheckedList
from certs.errors import Refused
from certs.files import read_certificates
from certs.rules import Trust


def believed(folder: Path | None, roots: Path | None, now: datetime) -> Trust:
    """
    Return the trust of *folder* (as `certs.trust` keeps it, or bare ``NETWORK.pem`` files) and *roots*.

    Raises `Refused` when there is none, or when a file is damaged.
    """
    by_network: dict[str, list[x509.Certificate]] = {}
    issuing: dict[str, tuple[x509.Certificate, ...]] = {}
    lists: dict[str, list[CheckedList]] = {}
    if roots is not None:
        for one in read_certificates(roots):
            by_network.setdefault(authority_network(one), []).append(one)
    for path in sorted(folder.glob("*.pem")) if folder is not None else ():
        if folder is None or path.name.endswith(".crl.pem"):
            continue
        network = path.stem
        by_network.setdefault(network, []).extend(read_certificates(path))
        bundle = trust.trusted(folder, network, now).bundle
        if bundle is not None:
            issuing[network] = bundle.issuing
            lists[network] = trust.installed_lists(folder, network, now)
    if not by_network:
        raise Refused(
            en="Nobody is trusted, so nothing can be judged. Give --roots FILE or a --trust folder with "
            "NETWORK.pem files.",
            zh="未给出信任对象，无从判断。请给出 --roots 文件，或含“网络.pem”文件的 --trust 文件夹。",
        )
    return Trust(roots=by_network, issuing=issuing, lists=lists)
