"""What is killed in the middle, and what must be true of what is left; see `tests.certs.kill_at`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs import trust
from certs.belief import believed
from certs.development import GOVERNMENT
from certs.enrolment import deliver, enrol
from certs.errors import Refused
from certs.files import read
from certs.founding import create_authority, roll_issuing, roll_root
from certs.journal import read_journal
from certs.office import office
from certs.profiles import PROFILES
from certs.register import Register
from certs.renewal import Holding, Hooks, renew
from certs.revocation import lists_path, make_lists, revoke
from certs.watch import Standing, watch
from tests.certs.issuing import NOW, desk_name
from tests.certs.place import Place, leaf_of

PERSONS = ("Zhang San", "Li Si")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An act on a folder, and a check that ends by having the act done after all."""

    act: Callable[[Path], None]
    check: Callable[[Path], None]


def _issue(folder: Path) -> None:
    place = Place(folder=folder)
    with place.office() as at_work:
        enrol(
            at_work,
            PROFILES["gateway-tls"],
            read(folder / "gw.csr"),
            desk_name(),
            folder / "gw.pem",
        )


def _check_issue(folder: Path) -> None:
    """The certificate is recorded or does not exist; recorded, it can be had."""
    out = folder / "gw.pem"
    issued = Register.of(read_journal(folder / "government")).issued
    assert not out.exists() or [leaf_of(out)] == [one.certificate for one in issued.values()]
    if not issued:
        _issue(folder)
    elif not out.exists():
        with pytest.raises(Refused, match="certs fetch"):
            _issue(folder)
        with Place(folder=folder).office() as at_work:
            (one,) = issued.values()
            deliver(at_work, one.certificate, out)
    assert len(Register.of(read_journal(folder / "government")).issued) == 1
    assert out.exists()


def _init(folder: Path) -> None:
    create_authority(folder / "new", GOVERNMENT, NOW)


def _check_init(folder: Path) -> None:
    """The authority is there whole, or not at all."""
    if not (folder / "new").exists():
        _init(folder)
    with office(folder / "new", now=NOW, by="tester"):
        pass
    assert [one.name for one in folder.glob(".new*")] == [] or not (folder / "new").exists()


def _revoke(folder: Path) -> None:
    with Place(folder=folder).office() as at_work:
        revoke(at_work, str(folder / "old.pem"), "key-compromise", None)
        make_lists(at_work)


def _check_revoke(folder: Path) -> None:
    """A revocation that was recorded is in the next list; list numbers never repeat."""
    register = Register.of(read_journal(folder / "government"))
    path = lists_path(folder / "government", GOVERNMENT)
    before = register.crl_number
    with Place(folder=folder).office() as at_work:
        if not register.revoked:
            revoke(at_work, str(folder / "old.pem"), "key-compromise", None)
        make_lists(at_work)
        assert at_work.register.crl_number == before + 1
    assert path.exists()
    (one,) = Register.of(read_journal(folder / "government")).revoked.values()
    assert one.serial == leaf_of(folder / "old.pem").serial_number


def _roll(folder: Path) -> None:
    with Place(folder=folder).office() as at_work:
        key, _ = roll_root(at_work)
        roll_issuing(at_work, key)


def _check_roll(folder: Path) -> None:
    """Whoever is in office can act; what was not recorded is made anew."""
    with Place(folder=folder).office() as at_work:
        if len(at_work.journal.roots) == 1:
            roll_root(at_work)
        if len(at_work.journal.issuing) == 1:
            roll_issuing(at_work, folder / "government" / "root" / "root-2.key")
        make_lists(at_work)
    journal = read_journal(folder / "government")
    assert (len(journal.roots), len(journal.issuing)) == (2, 2)


def _confirm(folder: Path) -> None:
    place = Place(folder=folder)
    typed = (folder / "fingerprint").read_text()
    for person in PERSONS:
        place.confirm(person, typed)


def _check_confirm(folder: Path) -> None:
    """Roots are trusted with both confirmations recorded and the lists in place, or not at all."""
    place = Place(folder=folder)
    acts = read_journal(place.police).acts
    given = {act.facts["person"] for act in acts if act.act == "trust-confirm"}
    if (place.trust / f"{GOVERNMENT}.pem").exists():
        assert given == set(PERSONS)
        assert (place.trust / f"{GOVERNMENT}.crl.pem").exists()
    typed = (folder / "fingerprint").read_text()
    for person in PERSONS:
        pending = trust.trusted(place.trust, GOVERNMENT, NOW).pending
        if pending is not None and person not in pending.persons:
            place.confirm(person, typed)
    if trust.trusted(place.trust, GOVERNMENT, NOW).pending is not None:
        # Both had confirmed when it was killed: watch says so, and anyone's command finishes it.
        assert max(one.standing for one in watch([], NOW, folder=place.trust)) is Standing.BROKEN
        place.confirm(PERSONS[0], typed)
    held = trust.trusted(place.trust, GOVERNMENT, NOW)
    assert held.pending is None
    assert held.bundle is not None
    assert (place.trust / f"{GOVERNMENT}.pem").read_bytes() == read(
        place.government / "root" / "root.pem"
    )


def holding(folder: Path) -> Holding:
    """Return the gateway of *folder*, whose answer waits in the inbox."""
    return Holding(
        stem=folder / "held", outbox=folder / "out", inbox=folder / "in",
        trust=believed(None, folder / "government" / "root" / "root.pem", NOW),
    )  # fmt: skip


def _renew(folder: Path) -> None:
    renew(holding(folder), NOW, hooks=Hooks(deploy=f"echo x >> '{folder}/deployed'"))


def _check_renew(folder: Path) -> None:
    """The old pair or the new one after the next run, the deploy hook at least once, no request left."""
    _renew(folder)
    key = load_pem_private_key(read(folder / "held.key"), None)
    assert leaf_of(folder / "held.pem").public_key() == key.public_key()
    assert leaf_of(folder / "held.pem") == leaf_of(folder / "answer.pem")
    assert (folder / "deployed").exists()
    left = sorted(one.name for one in folder.glob("held.*"))
    assert left == ["held.key", "held.pem"]
    assert list((folder / "in").iterdir()) == []
    assert (folder / "held.key").stat().st_mode & 0o777 == 0o600


STORIES = {
    "init": Story(act=_init, check=_check_init),
    "issue": Story(act=_issue, check=_check_issue),
    "revoke": Story(act=_revoke, check=_check_revoke),
    "roll": Story(act=_roll, check=_check_roll),
    "confirm": Story(act=_confirm, check=_check_confirm),
    "renew": Story(act=_renew, check=_check_renew),
}
