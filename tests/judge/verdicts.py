"""What a judge says, and which of its complaints are explained."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Where `make judge` puts the judges that come as Python packages.
BIN = Path(__file__).parents[2] / ".venv-judge" / "bin"

#: (code, words of the subject or of the finding) that is waived, and why.
WAIVED: dict[tuple[str, str], str] = {
    ("pkix.invalid_uri_syntax", "spiffe://"): (
        "pkilint knows the URI schemes of the Web; spiffe:// is that of SPIFFE-ID section 2"
    ),
    ("itu.invalid_asn1_syntax", "arc which is larger than 32-bits"): (
        "our own usages are UUID arcs (ITU-T X.667 section 7), which have 128 bits; pkilint's decoder "
        "takes 32"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One thing that a judge looked at: content or not, and why."""

    judge: str
    subject: str
    content: bool
    said: str = ""


def passed(judge: str, subject: str, said: str = "") -> Verdict:
    """Return that *judge* is content."""
    return Verdict(judge=judge, subject=subject, content=True, said=said)


def failed(judge: str, subject: str, said: str) -> Verdict:
    """Return that *judge* is not."""
    return Verdict(judge=judge, subject=subject, content=False, said=said)


def expect(judge: str, subject: str, said: str, *, holds: bool) -> Verdict:
    """Return a verdict on one claim."""
    return Verdict(judge=judge, subject=subject, content=holds, said=said)


def waiver(code: str, message: str) -> str | None:
    """Return why the finding does not count, or None when it does."""
    for (waived, words), why in WAIVED.items():
        if code == waived and words in message:
            return why
    return None


def found(program: str) -> bool:
    """Return whether a judge of the system is installed."""
    return shutil.which(program) is not None


def run(*command: object, stdin: str = "", seconds: int = 120) -> subprocess.CompletedProcess[str]:
    """Run a judge; its exit code is for the caller to read."""
    return subprocess.run(
        [str(one) for one in command], input=stdin, capture_output=True, text=True, errors="replace", check=False,
        timeout=seconds,
    )  # fmt: skip
