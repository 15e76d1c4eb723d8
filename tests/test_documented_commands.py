"""What the documents tell a reader to type is typed, in order, with a real bridge and real TLS."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.client.messages import SealedMessage
from tests.documents import ROOT, Command, Walk, environment, steps, unlike
from tests.pki import CITY_110, CITY_12345, Pki, pki
from tests.server.running import calling, matter, write_settings

__all__ = ["pki"]

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "adapters/README.md",
    "adapters/AFTERNOON.md",
    "adapters/WRITING.md",
    "adapters/INTERFACES.md",
    "certs/README.md",
    "certs/RUNBOOK.md",
    "certs/RUNBOOK.zh.md",
    "deploy/BACKUP.md",
    "exchange/conformance/README.md",
    "proto/README.md",
    "proto/vectors/README.md",
)

_SUITE = "runs this very test, with all others"
_ITSELF = "changes the checkout that is being tested; .ci/run runs what it must leave unchanged"

#: Commands that a test cannot run, each with its reason.  Of those of make it is run what make would
#: do (``--dry-run``), so that the target and its options are there.
EXCEPTIONS = {
    "make demo": "tests/acceptance/test_demo.py runs it",
    "make test": _SUITE,
    "make test ARGS='tests/unit -x'": _SUITE,
    "make check": "checks the whole checkout; .ci/run runs it before the tests",
    "make format": _ITSELF,
    "make systems": "installs other people's systems; .ci/run runs it by itself",
    "make conformance-corpus": "takes a quarter of an hour; the suite plays a part of it",
    "make judge": "fetches other people's tools; it is run by itself",
    ".ci/run": _SUITE,
}


def commands(document: str) -> list[str]:
    """Return the commands of *document*."""
    return [step.text for step in steps(ROOT / document) if isinstance(step, Command)]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def a_site(pki: Pki, folder: Path) -> dict[str, str]:
    """
    Make what README and adapters/README take for granted: a bridge and a gateway, configured.

    A bridge runs there and a ticket crosses; returned is what the placeholders stand for.
    """
    port, made = free_port(), pki.development
    config = write_settings(pki, folder).rename(folder / "bridge.toml")
    config.write_text(
        config.read_text("utf-8").replace("127.0.0.1:0", f"127.0.0.1:{port}"), "utf-8"
    )
    gateway, signer = pki.gateway(CITY_12345), pki.signer(CITY_12345)
    (folder / "gateway.toml").write_text(
        f"""
target = "127.0.0.1:{port}"
organisation = "{CITY_12345.organisation}"
bridge_roots = "{made.bridge_trust}"
gateway_key = "{gateway.key}"
gateway_chain = "{gateway.certificate}"
signer_key = "{signer.key}"
signer_chain = "{signer.certificate}"
log_verifiers = ["bridge.vkey"]

[trust]
{"".join(f'"{network}" = "{path}"{chr(10)}' for network, path in made.trust.items())}
""",
        encoding="utf-8",
    )
    shutil.copytree(made.bridge_trust.parent, folder / "roots")
    for source, name in (
        (made.log_verifier, "bridge.vkey"),
        (made.log_key, "log.key"),
        (made.bridge.key, "bridge.key"),
        (made.bridge.certificate, "bridge.pem"),
    ):
        shutil.copy(source, folder / name)
    with Walk(folder) as before:
        before.take(Command(line=0, text="exchange migrate --create --config bridge.toml"))
        before.take(Command(line=0, text="exchange serve --config bridge.toml"))
        opening = crossed(pki, port)
        assert opening.ticket_id
    return {
        "ID": opening.ticket_id,
        "DIR": "receipts",
        "FILE": f"receipts/{opening.message_id}.receipt.json",
        "FOLDER": "folder",
        "5110": str(port),
        "15110": str(port),
    }


def crossed(pki: Pki, port: int) -> SealedMessage:
    """Hand a matter over; return the ticket's opening."""
    with calling(pki, port, CITY_12345) as hotline, calling(pki, port, CITY_110) as police:
        sealed = hotline.sealer.seal(matter())
        assert {o.WhichOneof("outcome") for o in hotline.push(sealed)} == {"stored"}
        ids = [message.message_id for message in sealed]
        said = [police.written(d, one) for d, one in zip(police.pull(), ids, strict=True)]
        assert {o.WhichOneof("outcome") for o in police.acknowledge(*said)} == {"recorded"}
        return sealed[0]


def own_ports(pki: Pki, folder: Path) -> dict[str, str]:
    """The document begins with an empty folder, and ports that nobody listens on."""
    return {"15210": str(free_port()), "15211": str(free_port()), "15214": str(free_pair())}


def free_pair() -> int:
    """Return a port that nobody listens on, nor on the next one."""
    while True:
        port = free_port()
        with socket.socket() as beside:
            try:
                beside.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def ports_to_write_at(pki: Pki, folder: Path) -> dict[str, str]:
    """Likewise."""
    return {"15212": str(free_port()), "15213": str(free_port())}


def installing_into(folder: Path) -> dict[str, str]:
    """Have what a document installs stand in *folder*, from no network: not where these tests run."""
    return {
        "PIP_TARGET": str(folder),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }


def nothing(pki: Pki, folder: Path) -> dict[str, str]:
    """The document begins with an empty folder."""
    return {}


STAGES: dict[str, Callable[[Pki, Path], dict[str, str]]] = {
    "README.md": a_site,
    "adapters/README.md": a_site,
    "deploy/BACKUP.md": a_site,
    "exchange/conformance/README.md": own_ports,
    "adapters/WRITING.md": ports_to_write_at,
}
#: Where the bridge of the site is stopped, or there is none.
STOPPED = {"adapters/WRITING.md", "deploy/BACKUP.md", "exchange/conformance/README.md"}


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_can_be_followed(document: str, pki: Pki, tmp_path: Path) -> None:
    """Every command, in order, in one folder: it succeeds, and shows what the document shows."""
    names = STAGES.get(document, nothing)(pki, tmp_path)
    needs_bridge = document in STAGES and document not in STOPPED
    with Walk(tmp_path, names, installing_into(tmp_path / "installed")) as walk:
        if needs_bridge:
            walk.take(Command(line=0, text="exchange serve --config bridge.toml"))
        for step in steps(ROOT / document):
            if isinstance(step, Command) and step.text in EXCEPTIONS:
                would_run(step.text)
                continue
            if isinstance(step, Command) and step.text.startswith(
                ("exchange migrate --create", "exchange serve")
            ):
                walk.end_all("exchange serve")  # the one from before has the port
            if isinstance(step, Command) and step.text.startswith("exchange migrate --create"):
                for one in tmp_path.glob("bridge.db*"):
                    one.rename(tmp_path / f"before-{one.name}")  # a reader begins with none
            if isinstance(step, Command) and step.text.startswith("make "):
                in_checkout(step.text)
            else:
                walk.take(step)


def in_checkout(command: str) -> None:
    """Run a command of the checkout's, which must leave it as it is."""
    subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment(), check=True)


def would_run(command: str) -> None:
    """See that an excepted command is there: make knows its target, a script is a program."""
    if command.startswith("make "):
        in_checkout(f"{command} --dry-run --old-file=constraints.txt > /dev/null")
    else:
        assert (ROOT / command).stat().st_mode & 0o100


def test_every_exception_is_needed() -> None:
    """No exception outlives its command."""
    documented = {command for document in DOCUMENTS for command in commands(document)}

    assert set() == set(EXCEPTIONS) - documented


def test_documents_show_commands() -> None:
    """The tests above look at something."""
    found = {document: len(commands(document)) for document in DOCUMENTS}

    assert found["README.md"] >= 12
    assert found["certs/README.md"] >= 6
    assert found["adapters/README.md"] >= 3
    assert found["CONTRIBUTING.md"] >= 5


@pytest.mark.parametrize(
    "document", ["adapters/AFTERNOON", "adapters/WRITING", "exchange/conformance/README"]
)
def test_the_chinese_document_is_the_english_one(document: str) -> None:
    """Both languages of a document that is followed step by step have the same steps."""
    english, chinese = (
        [
            step.text if isinstance(step, Command) else (step.name, step.content)
            for step in steps(ROOT / name)
        ]
        for name in (f"{document}.md", f"{document}.zh.md")
    )

    assert english == chinese


def test_no_command_hides_in_a_block_that_is_not_run() -> None:
    """A fenced block in which a command stands is one of those that are followed."""
    looks_like_one = re.compile(r"^(\$ )?(exchange|make|python -m) \S", re.MULTILINE)
    hidden = []
    for document in DOCUMENTS:
        known = "\n".join(commands(document))
        text = (ROOT / document).read_text(encoding="utf-8")
        for block in re.findall(r"^```\w*[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            hidden += [
                found[0]
                for found in looks_like_one.finditer(block)
                if found[0].removeprefix("$ ") not in known
            ]

    assert [] == hidden


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        (("stored 1f0c…",), "x\nstored 1f0c77", None),
        (("valid until 2026-01-01",), "valid until 2031-05-06T10:00:00Z", None),
        (("two", "one"), "one\ntwo", "one"),
        (("refused",), "stored", "refused"),
        (("listens on 127.0.0.1:5110.",), "listens on 127.0.0.1:40321.", None),
    ],
)
def test_what_is_shown_is_compared_in_substance(
    shown: tuple[str, ...], printed: str, missing: str | None
) -> None:
    """Order and words count; times, ids and ports do not."""
    assert missing == unlike(shown, printed)
