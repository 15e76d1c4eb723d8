"""
The report of a run: JSON under the signature of whoever ran the kit, provable offline; and JUnit XML.

The file holds the report's exact bytes (base64), a signature as every message has one, and the
signer's certificates.  What is signed is the bytes, never a re-encoding.
"""

from __future__ import annotations

import base64
import binascii
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from xml.etree import ElementTree as ET

from exchange.client.files import GatewayFiles, read_certificates
from exchange.conformance.cases import Profile
from exchange.conformance.judge import Result, Verdict, counts, holds
from exchange.envelope import P256_SHA256, Signature, SigningKey, Verifier, sign
from exchange.errors import VerificationError
from exchange.identity import verify_signer
from exchange.text import Language, Text
from exchange.trust import TrustStore

#: What a report's signature is made for; nothing signed as something else can pass as one.
REPORT_TYPE = "application/vnd.hotline-exchange.conformance-report.v1+json"


def report_object(
    results: Sequence[Result], *, profile: Profile, target: str, begun: datetime
) -> dict[str, Any]:
    """Return the report as plain data."""
    return {
        "kit": f"hotline-exchange {version('hotline-exchange')}",
        "python": platform.python_version(),
        "profile": profile.value,
        "target": target,
        "begun": begun.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
        "holds": holds(results),
        "counts": counts(results),
        "cases": [
            {
                "id": result.case.id,
                "rests": result.case.rests,
                "en": result.case.text.en,
                "zh": result.case.text.zh,
                "verdict": result.verdict.value,
                "seconds": round(result.seconds, 3),
                **(
                    {"why": {"en": result.why.en, "zh": result.why.zh}}
                    if result.why is not None
                    else {}
                ),
            }
            for result in results
        ],
    }


def sign_report(report: dict[str, Any], files: GatewayFiles) -> bytes:
    """Return the signed report; *files* name the signer's key and chain."""
    signer = SigningKey.load(files.signer_key, files.signer_chain)
    payload = json.dumps(report, ensure_ascii=False, indent=1).encode()
    (signature,) = sign(REPORT_TYPE, [payload], signer)
    whole = {
        "payload_type": REPORT_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signature": {
            "suite": signature.suite,
            "key_id": signature.key_id.hex(),
            "value": signature.value.hex(),
        },
        "certificates": [
            base64.b64encode(one).decode() for one in read_certificates(files.signer_chain)
        ],
    }
    return (json.dumps(whole, indent=1) + "\n").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedReport:
    """A report whose signature holds, and who signed it."""

    report: dict[str, Any]
    organisation: str
    network: str


def prove_report(signed: bytes, trust: TrustStore) -> ProvedReport:
    """
    Return the report in the file *signed* once its signature holds, by a signer that *trust* knows.

    The signer's certificate must have been valid when the run ended.  Raises `VerificationError`.
    """
    try:
        whole = json.loads(signed)
        payload = base64.b64decode(whole["payload"], validate=True)
        chain = tuple(base64.b64decode(one, validate=True) for one in whole["certificates"])
        found = whole["signature"]
        signature = Signature(
            suite=found["suite"],
            key_id=bytes.fromhex(found["key_id"]),
            value=bytes.fromhex(found["value"]),
        )
        report = json.loads(payload)
        ended = datetime.fromisoformat(report["ended"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise VerificationError(_NONE) from error
    signer = verify_signer(chain, trust, ended)
    Verifier().verify(REPORT_TYPE, payload, signature, signer.key, allowed=(P256_SHA256,))
    return ProvedReport(report=report, organisation=signer.organisation, network=signer.network)


_NONE = Text(
    en="This is no signed conformance report; take the file that --report wrote.",
    zh="这不是签名的符合性报告，请使用 --report 写出的文件。",
)


def junit(results: Sequence[Result], profile: Profile, language: Language) -> bytes:
    """Return the results as JUnit XML, one test case each; a failure's text in *language*."""
    suite = ET.Element("testsuite", name=f"exchange conformance {profile.value}")
    failures = skipped = 0
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname=result.case.id.rpartition(".")[0],
            name=result.case.id.rpartition(".")[2], time=f"{result.seconds:.3f}",
        )  # fmt: skip
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", name="rests", value=result.case.rests)
        said = result.why.say(language) if result.why else ""
        if not result.verdict.is_good:
            failures += 1
            failure = ET.SubElement(case, "failure", message=_xml(said))
            failure.text = _xml(result.case.text.say(language))
        elif result.verdict in {Verdict.SKIPPED, Verdict.KNOWN}:
            skipped += 1
            ET.SubElement(case, "skipped", message=_xml(said))
    suite.set("tests", str(len(results)))
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    whole: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return whole


def _xml(text: str) -> str:
    """Return *text* without what XML 1.0 has no way to write: a program under test chose it."""
    return "".join(c for c in text if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff"))
