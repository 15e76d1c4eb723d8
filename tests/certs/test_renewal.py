"""Unattended renewal: when, by whose word, through which files, and with which hooks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.answering import Answer, answer_all
from certs.belief import believed
from certs.errors import Refused
from certs.journal import Journal
from certs.profiles import ProfileName
from certs.register import Register, State, due_at
from certs.renewal import Holding, Hooks, renew
from certs.revocation import revoke
from tests.certs.place import DAY, HOUR, Place, certs, leaf_of


@dataclass(slots=True, kw_only=True)
class Holder:
    """A gateway that renews itself, and the ferry between it and its authority."""

    place: Place
    holding: Holding

    def run(self, *, hooks: Hooks | None = None, early: bool = False, dry_run: bool = False) -> str:
        """Let the timer ring; return what is said."""
        said = renew(
            self.holding, self.place.now, hooks=hooks or Hooks(), early=early, dry_run=dry_run
        )
        return "\n".join(one.en for one in said)

    def answer(self) -> list[Answer]:
        """Carry what is asked to the authority, and its answers back."""
        with self.place.office() as office:
            return answer_all(office, self.holding.outbox, self.holding.inbox)

    @property
    def chain(self) -> Path:
        """Return the certificate in use."""
        return self.holding.beside(".pem")

    def pair_fits(self) -> bool:
        """Return whether key and certificate in use belong together."""
        key = load_pem_private_key(self.holding.beside(".key").read_bytes(), None)
        return leaf_of(self.chain).public_key() == key.public_key()


def holder_of(
    place: Place, profile: ProfileName = "gateway-tls", days: int | None = None
) -> Holder:
    """Return the holder of a new certificate."""
    path = place.issue(profile=profile, days=days)
    roots = believed(None, place.government / "root" / "root.pem", place.now)
    holding = Holding(
        stem=path.with_suffix(""),
        outbox=place.folder / "out",
        inbox=place.folder / "in",
        trust=roots,
    )
    return Holder(place=place, holding=holding)


@pytest.fixture
def holder(place: Place) -> Holder:
    """A gateway of ninety days."""
    return holder_of(place)


class TestWhen:
    def test_at_two_thirds_of_life_and_a_little_later(self, holder: Holder) -> None:
        """Before, nothing happens; the jitter is the certificate's own, so it is the same on every run."""
        due = due_at(leaf_of(holder.chain))
        before, until = (
            leaf_of(holder.chain).not_valid_before_utc,
            leaf_of(holder.chain).not_valid_after_utc,
        )
        assert timedelta() <= due - (before + (until - before) * 2 / 3) < (until - before) / 20
        holder.place.now = due - HOUR
        assert "nothing is due before" in holder.run()
        assert not holder.holding.outbox.exists()
        holder.place.now = due
        assert "asked for renewal" in holder.run()

    def test_a_network_does_not_renew_in_the_same_minute(self, place: Place) -> None:
        """The jitter of several certificates differs."""
        assert len({due_at(leaf_of(place.issue())) for _ in range(4)}) == 4

    def test_a_dry_run_tells_each_step_and_does_none(self, holder: Holder) -> None:
        """Before, at, and after the request, and when the answer is there."""
        home = holder.chain.parent

        def state() -> list[str]:
            return sorted(
                one.name for one in (*home.iterdir(), *holder.place.folder.glob("[io]*/*"))
            )

        told = []
        for step in (None, "early", "ask", "answer"):
            if step == "ask":
                holder.run(early=True)
            if step == "answer":
                holder.answer()
            before = state()
            told.append(holder.run(early=step == "early", dry_run=True))
            assert state() == [*before] or sorted({*before, ".lock"}) == state()
        assert [one.split(": ", 1)[1].split(" ")[0] for one in told] == [
            "nothing",
            "would",
            "waits",
            "would",
        ]


class TestTheWay:
    @pytest.mark.parametrize("profile", ["gateway-tls", "signer"])
    def test_a_request_goes_out_and_a_certificate_comes_back(
        self, place: Place, profile: ProfileName
    ) -> None:
        """A new key under the same name and for the same time; nothing is left in the boxes."""
        holder = holder_of(place, profile, days=30)
        old = leaf_of(holder.chain)
        place.now += 25 * DAY
        holder.run()
        (done,) = holder.answer()
        assert done.certificate is not None
        assert "renewed" in holder.run()
        new = leaf_of(holder.chain)
        assert new == done.certificate
        assert holder.pair_fits()
        assert new.subject == old.subject
        assert new.public_key() != old.public_key()
        assert new.not_valid_after_utc == place.now + 30 * DAY
        assert list(holder.holding.outbox.iterdir()) == list(holder.holding.inbox.iterdir()) == []
        register = Register.of(_journal(place))
        states = {register.state(one, place.now) for one in register.issued.values()}
        assert states == {State.RENEWED, State.VALID}
        assert "nothing is due" in holder.run()

    def test_waiting_asks_again_only_when_the_request_is_gone(self, holder: Holder) -> None:
        """The same key every time, so a lost file is asked for once more."""
        holder.run(early=True)
        (request,) = holder.holding.outbox.iterdir()
        content = request.read_bytes()
        holder.run()
        assert request.read_bytes() == content
        request.unlink()
        holder.run()
        assert request.exists()

    def test_an_answer_that_got_lost_is_given_again(self, holder: Holder) -> None:
        """The same certificate, not a second one."""
        holder.run(early=True)
        holder.answer()
        (answer,) = holder.holding.inbox.iterdir()
        first = leaf_of(answer)
        answer.unlink()
        holder.run()
        (again,) = holder.answer()
        assert again.certificate == first
        assert len(_journal(holder.place).acts) == 3

    def test_hooks_run_in_their_order_and_know_the_files(self, holder: Holder) -> None:
        """Before, after, and at the end."""
        holder.run(early=True)
        holder.answer()
        log = holder.place.folder / "hooks"
        said = f'echo "{{}} $CERTS_KEY" >> {log}'
        holder.run(
            hooks=Hooks(
                pre=said.format("pre"), deploy=said.format("deploy"), post=said.format("post")
            )
        )
        lines = log.read_text().splitlines()
        assert [one.split()[0] for one in lines] == ["pre", "deploy", "post"]
        assert {one.split()[1] for one in lines} == {str(holder.holding.beside(".key"))}

    def test_a_failing_deploy_hook_is_tried_again(self, holder: Holder) -> None:
        """The pair has changed; the run fails until the hook succeeds, and post runs each time."""
        holder.run(early=True)
        holder.answer()
        log = holder.place.folder / "hooks"
        with pytest.raises(Refused, match="ended with 3"):
            holder.run(hooks=Hooks(deploy="exit 3", post=f"echo post >> {log}"))
        assert holder.pair_fits()
        assert "interrupted" in holder.run(dry_run=True)
        assert "renewed" in holder.run(
            hooks=Hooks(deploy=f"echo deploy >> {log}", post=f"echo post >> {log}")
        )
        assert log.read_text().split() == ["post", "deploy", "post"]
        assert "nothing is due" in holder.run()

    def test_a_failing_pre_hook_changes_nothing(self, holder: Holder) -> None:
        """The old pair stays in use."""
        old = holder.chain.read_bytes()
        holder.run(early=True)
        holder.answer()
        with pytest.raises(Refused, match="ended with 1"):
            holder.run(hooks=Hooks(pre="false"))
        assert holder.chain.read_bytes() == old
        assert holder.pair_fits()


def _journal(place: Place) -> Journal:
    with place.office() as office:
        return office.journal


def _of_another(holder: Holder, answer: Path) -> None:
    """Put another's new certificate into the inbox."""
    other = holder_of(holder.place)
    answer.write_bytes(other.chain.read_bytes())


def _by_the_police(holder: Holder, answer: Path) -> None:
    chain = answer.read_bytes()
    police = (holder.place.police / "issuing" / "issuing.pem").read_bytes()
    leaf = chain[: chain.index(b"-----END CERTIFICATE-----") + 26]
    answer.write_bytes(leaf + police)


def _cut(holder: Holder, answer: Path) -> None:
    answer.write_bytes(answer.read_bytes()[:-40])


def _leaf_only(holder: Holder, answer: Path) -> None:
    chain = answer.read_bytes()
    answer.write_bytes(chain[: chain.index(b"-----END CERTIFICATE-----") + 26])


def _too_late(holder: Holder, answer: Path) -> None:
    holder.place.now += 91 * DAY


class TestRefusals:
    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (_of_another, "another key or another name"),
            (_by_the_police, "missing-intermediate|chain"),
            (_cut, "not whole"),
            (_leaf_only, "missing-intermediate"),
            (_too_late, "expiry"),
        ],
    )
    def test_a_wrong_answer_is_not_taken_into_use(
        self, holder: Holder, spoil: Callable[[Holder, Path], None], words: str
    ) -> None:
        """The old pair stays, and the rule is named."""
        old = holder.chain.read_bytes()
        holder.run(early=True)
        holder.answer()
        (answer,) = holder.holding.inbox.iterdir()
        spoil(holder, answer)
        with pytest.raises(Refused, match=words):
            holder.run()
        assert holder.chain.read_bytes() == old
        assert holder.pair_fits()

    def test_a_revoked_certificate_is_not_renewed_and_its_holder_learns_why(
        self, holder: Holder
    ) -> None:
        """The reason crosses the gap in a file, in both languages."""
        holder.run(early=True)
        with holder.place.office() as office:
            revoke(office, str(holder.chain), "key-compromise", None)
        (turned,) = holder.answer()
        assert turned.refused is not None
        assert "is revoked" in turned.refused.en
        with pytest.raises(Refused, match=r"authority refused.*is revoked"):
            holder.run()
        assert [one.suffix for one in holder.holding.outbox.iterdir()] == [".refused"]
        assert holder.answer() == []

    def test_a_stolen_key_that_renews_first_is_found_by_the_second(self, holder: Holder) -> None:
        """One certificate, two keys that succeed it: the second is refused, with the suspicion in words."""
        thief = Holder(place=holder.place, holding=Holding(
            stem=holder.place.folder / "thief" / "x", outbox=holder.holding.outbox,
            inbox=holder.holding.inbox, trust=holder.holding.trust,
        ))  # fmt: skip
        thief.holding.stem.parent.mkdir()
        for suffix in (".key", ".pem"):
            thief.holding.beside(suffix).write_bytes(holder.holding.beside(suffix).read_bytes())
            thief.holding.beside(suffix).chmod(0o600)
        thief.run(early=True)
        (first,) = thief.answer()
        assert first.certificate is not None
        holder.run(early=True)
        (second,) = holder.answer()
        assert second.refused is not None
        assert "stolen" in second.refused.en

    def test_what_nobody_of_ours_signed_is_refused(self, holder: Holder) -> None:
        """Junk, another's signature, a changed request; each leaves the inbox, none is answered."""
        holder.run(early=True)
        (request,) = holder.holding.outbox.iterdir()
        said = json.loads(request.read_bytes())
        forged = {**said, "signature": said["signature"][:-8] + "AAAAAAA="}
        request.write_text(json.dumps(forged))
        (request.parent / "junk.renewal").write_bytes(b"\0junk")
        (request.parent / "empty.renewal").touch()
        answers = holder.answer()
        assert [one.certificate for one in answers] == [None, None, None]
        assert not list(holder.holding.inbox.glob("*.pem"))
        assert sorted({one.suffix for one in request.parent.iterdir()}) == [".refused"]
        with holder.place.office() as office:
            assert len(office.journal.acts) == 2

    def test_an_ended_certificate_cannot_ask(self, holder: Holder) -> None:
        """A person issues a new one."""
        holder.place.now += 91 * DAY
        with pytest.raises(Refused, match=r"certs csr.*certs issue"):
            holder.run()

    def test_a_swapped_pair_is_not_renewed(self, holder: Holder, place: Place) -> None:
        """The key beside the certificate is another's."""
        other = holder_of(place)
        key = holder.holding.beside(".key")
        key.write_bytes(other.holding.beside(".key").read_bytes())
        with pytest.raises(Refused, match="is not the key of"):
            holder.run(early=True)


class TestCommand:
    def test_from_a_timer_on_both_sides(self, tmp_path: Path) -> None:
        """`renew`, `answer`, `renew`: exit codes 0, and 1 when something was refused."""
        ca, stem, boxes = (
            tmp_path / "ca",
            tmp_path / "gw",
            ("--outbox", tmp_path / "o", "--inbox", tmp_path / "i"),
        )
        certs("init", "hotline12345.example", "--out", ca)
        certs("csr", stem)
        issued = certs(
            "issue", f"{stem}.csr", "--authority", ca, "--profile", "gateway-tls", "--region", "140400",
            "--organisation", "11140400MB1X00010Y", "--out", f"{stem}.pem", "--days", "7",
        )  # fmt: skip
        assert issued.exit_code == 0
        once = ("renew", stem, *boxes, "--roots", ca / "root" / "root.pem")
        assert "无需更新" in certs(*once, lang="zh").output
        assert certs(*once, "--early").exit_code == 0
        answered = certs(
            "answer", "--authority", ca, "--inbox", tmp_path / "o", "--outbox", tmp_path / "i"
        )
        assert (answered.exit_code, "Renewed spiffe://" in answered.output) == (0, True)
        assert "renewed, valid until" in certs(*once).output
        (tmp_path / "o" / "x.renewal").write_bytes(b"x")
        refused = certs(
            "answer", "--authority", ca, "--inbox", tmp_path / "o", "--outbox", tmp_path / "i"
        )
        assert refused.exit_code == 1
