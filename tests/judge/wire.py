"""A live bridge, looked at by sslyze, openssl and gnutls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from certs.development import Credential
from tests.judge.verdicts import BIN, Verdict, expect, failed, found, passed, run
from tests.pki import CITY_12345, Pki

# SSL 2 is left out: sslyze fails over it itself where nothing at all answers ("BUG_IN_SSLYZE").
_OLD = ("ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2")

_LOOKS = ("--certinfo", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3",
          "--compression", "--heartbleed", "--openssl_ccs")  # fmt: skip


def judged(pki: Pki, port: int, folder: Path) -> Iterator[Verdict]:
    """Look at the bridge on *port* with a good gateway's certificate, and without one."""
    gateway, root = pki.gateway(CITY_12345), pki.development.bridge_trust
    yield from _scanned(port, gateway, root, folder / "sslyze.json")
    yield from _openssl(port, gateway, root)
    yield from _gnutls(port, gateway, root)


def _scanned(port: int, gateway: Credential, root: Path, out: Path) -> Iterator[Verdict]:
    ran = run(
        BIN / "sslyze", "--cert", gateway.certificate, "--key", gateway.key, "--sni", "localhost",
        "--certinfo_ca_file", root, "--mozilla_config", "disable", *_LOOKS, "--json_out", out,
        f"localhost:{port}", seconds=300,
    )  # fmt: skip
    # Its exit code is 0 also when it could not connect, so only what it wrote counts.
    try:
        (scan,) = json.loads(out.read_text("utf-8"))["server_scan_results"]
        connected = scan["connectivity_status"]
        results: dict[str, Any] = scan["scan_result"] or {}
    except (OSError, ValueError, KeyError) as error:
        yield failed("sslyze", "answer", f"{error}: {ran.stderr.strip()[-300:]}")
        return
    if connected != "COMPLETED" or not results:
        yield failed("sslyze", "connection", f"it could not connect: {connected}")
        return
    yield passed("sslyze", "connection", "with a client certificate")
    for version in _OLD:
        yield _suites(results, version, offered=False)
    yield _suites(results, "tls_1_3", offered=True)
    for name, claim in (
        ("tls_compression", "supports_compression"),
        ("heartbleed", "is_vulnerable_to_heartbleed"),
        ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"),
    ):
        result = results[name]["result"]
        if results[name]["status"] != "COMPLETED" or result is None:
            yield failed("sslyze", name, f"not looked at: {results[name].get('error_reason')}")
        else:
            yield expect("sslyze", name, f"{claim}: {result[claim]}", holds=result[claim] is False)
    yield from _deployed(results["certificate_info"])


def _suites(results: dict[str, Any], version: str, *, offered: bool) -> Verdict:
    scan = results[f"{version}_cipher_suites"]
    if scan["status"] != "COMPLETED":
        return failed("sslyze", version, f"not looked at: {scan.get('error_reason')}")
    accepted = [one["cipher_suite"]["name"] for one in scan["result"]["accepted_cipher_suites"]]
    said = ", ".join(accepted) or "not offered"
    return expect("sslyze", version, said, holds=bool(accepted) is offered)


def _deployed(info: dict[str, Any]) -> Iterator[Verdict]:
    if info["status"] != "COMPLETED":
        yield failed("sslyze", "certificate", f"not looked at: {info.get('error_reason')}")
        return
    (deployment,) = info["result"]["certificate_deployments"]
    names = [one["trust_store"]["name"] for one in deployment["path_validation_results"]
             if one["was_validation_successful"]]  # fmt: skip
    # The one store that vouches is ours; no public root does.
    yield expect("sslyze", "certificate path", f"vouched by: {names}", holds=len(names) == 1)
    order = deployment["received_chain_has_valid_order"]
    yield expect("sslyze", "chain order", str(order), holds=order is True)
    anchor = deployment["received_chain_contains_anchor_certificate"]
    yield expect("sslyze", "no root is sent along", str(anchor), holds=anchor is not True)


def _openssl(port: int, gateway: Credential, root: Path) -> Iterator[Verdict]:
    if not found("openssl"):
        yield passed("openssl", "s_client", "not installed here: skipped")
        return
    base = ("openssl", "s_client", "-connect", f"localhost:{port}", "-CAfile", root,
            "-verify_hostname", "localhost", "-alpn", "h2")  # fmt: skip
    shown = ("-cert", gateway.certificate, "-cert_chain", gateway.certificate, "-key", gateway.key)
    ran = run(*base, *shown, "-tls1_3")
    said = ran.stdout + ran.stderr
    good = "Verify return code: 0" in said and "ALPN protocol: h2" in said and "TLSv1.3" in said
    yield expect("openssl", "TLS 1.3 with h2, chain and name verified", "", holds=good)
    asked = "Requested Signature Algorithms" in said
    yield expect("openssl", "a client certificate is asked for", "", holds=asked)
    ran = run(*base, *shown, "-tls1_2")
    refused = "Cipher is (NONE)" in ran.stdout or ran.returncode != 0
    yield expect("openssl", "TLS 1.2 is refused", "", holds=refused)


def _gnutls(port: int, gateway: Credential, root: Path) -> Iterator[Verdict]:
    if not found("gnutls-cli"):
        yield passed("gnutls", "gnutls-cli", "not installed here: skipped")
        return
    base = ("gnutls-cli", f"--x509cafile={root}", f"--x509certfile={gateway.certificate}",
            f"--x509keyfile={gateway.key}", "--alpn=h2", f"--port={port}")  # fmt: skip
    ran = run(*base, "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.3", "localhost")
    said = ran.stdout + ran.stderr
    good = "Status: The certificate is trusted" in said and "Handshake was completed" in said
    yield expect("gnutls", "TLS 1.3, chain and name verified", "", holds=good)
    ran = run(*base, "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2", "localhost")
    refused = "Handshake was completed" not in ran.stdout + ran.stderr
    yield expect("gnutls", "TLS 1.2 is refused", "", holds=refused)
