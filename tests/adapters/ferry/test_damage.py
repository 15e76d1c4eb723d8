"""Hostile and unlucky files, lost memories, a disk that takes nothing: named, kept, mended."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from adapters.ferry.forms import read_form, write_form
from adapters.ferry.journal import Journal
from exchange.acts import Kind
from exchange.client import Bundler, Load, Progress, readable
from exchange.errors import (
    ConfigurationError,
    InvalidRequest,
    StoreUnavailable,
    VerificationError,
)
from tests.adapters.ferry.gap import Gap, Side, nothing, whole
from tests.adapters.province import COUNTY_110, RELAY, SECOND, Post, Province, standing, utc_now
from tests.adapters.relay.test_crossing import hand_over, rows
from tests.pki import CITY_12345

STREAM = "0f5c2a1e-6d47-4b07-9a55-0c2f6f0b7d11"


@pytest.fixture
def posts(province: Province) -> tuple[Post, Post]:
    """The county's 110 and the city's hotline."""
    return province.post(COUNTY_110, province.county), province.post(CITY_12345, province.city)


def bundler(side: Side, peer: str | None = None) -> Bundler:
    """Return what seals bundles as *side*'s ferry does."""
    files = side.ferry._files
    return Bundler.load(files.gateway, peer or files.peer)


def first_of(sealing: Bundler) -> bytes:
    """Return the first bundle of a stream, with nothing in it."""
    return sealing.seal(
        [], stream=STREAM, sequence=1, previous=b"", created=utc_now(), progress=None
    ).signed


def say(county: Post) -> tuple[str, str]:
    """Let the county hand a matter over, as far as its own bridge."""
    ticket, handoff = hand_over(county)
    county.runner.collect()
    county.runner.push()
    return ticket, handoff


def one_file(side: Side) -> Path:
    """Return the only bundle that *side* has put out."""
    (path,) = side.outgoing.glob("*.*")
    return path


def deliver(side: Side, name: str, content: bytes, age: float = 600) -> Path:
    """Put a file where the gap puts it, last written *age* seconds ago."""
    side.incoming.mkdir(exist_ok=True)
    path = side.incoming / name
    path.write_bytes(content)
    old = side.clock().timestamp() - age
    os.utime(path, (old, old))
    return path


def test_what_is_no_bundle_is_left_alone(gap: Gap, posts: tuple[Post, Post]) -> None:
    """Foreign files, folders, links and half-named files stay; each is named once."""
    upper = gap.upper
    say(posts[0])
    gap.lower.ferry.send()
    name = one_file(gap.lower).name
    secret = upper.folder / "secret"
    secret.write_bytes(b"x")
    deliver(upper, "report.docx", b"x")
    deliver(upper, f"{name}.tmp", b"x")
    deliver(upper, f".{name}.part", b"x")
    (upper.incoming / name).symlink_to(secret)
    (upper.incoming / "folder").mkdir()
    before = sorted(path.name for path in upper.incoming.iterdir())
    upper.ferry.receive()
    upper.ferry.receive()

    assert before == sorted(path.name for path in upper.incoming.iterdir())
    assert 4 == sum("left alone" in line for line in upper.said)


def test_a_file_that_still_grows_is_waited_for(gap: Gap, posts: tuple[Post, Post]) -> None:
    """Half of a file under its final name is not damage while somebody may be writing it."""
    say(posts[0])
    gap.lower.ferry.send()
    path = one_file(gap.lower)
    content = path.read_bytes()
    there = deliver(gap.upper, path.name, content[:1000], age=5)
    assert gap.upper.ferry.receive() == 0
    assert there.exists()
    assert not (gap.upper.folder / "bad").exists()
    deliver(gap.upper, path.name, content, age=5)
    assert gap.upper.ferry.receive() == 1
    assert not there.exists()


@pytest.mark.parametrize(
    "case", ["another's", "not ours", "reflected", "unsigned", "huge", "noise"]
)
def test_nobody_else_sends_bundles_here(gap: Gap, posts: tuple[Post, Post], case: str) -> None:
    """What the peer did not sign for us is set aside with the reason, and changes nothing."""
    say(posts[0])
    gap.lower.ferry.send()
    path = one_file(gap.lower)
    content = path.read_bytes()
    if case == "another's":  # a party of the same network, with a valid signer's certificate
        content = first_of(bundler(gap.upper, SECOND.organisation))
    elif case == "not ours":
        content = first_of(bundler(gap.lower, CITY_12345.organisation))
    elif case == "reflected":
        content = first_of(bundler(gap.upper))
    elif case == "unsigned":
        content = content[: len(content) // 3]
    elif case == "noise":
        content = os.urandom(2000)
    there = deliver(gap.upper, path.name, content)
    if case == "huge":
        os.truncate(there, 7 * 64 * 1024 * 1024)
        os.utime(there, (1, 1))
    assert gap.upper.ferry.receive() == 0

    (reason,) = (gap.upper.folder / "bad").glob("*.reason.json")
    said = json.loads(reason.read_text())
    assert said["file"] == path.name
    assert said["en"]
    assert said["zh"]
    assert there.exists() == (case == "huge")
    assert gap.upper.ferry.receive() == 0
    assert 1 == gap.upper.journal.standing()["quarantined"]
    assert [] == rows(gap.upper.site, "SELECT * FROM message")


def test_a_bundle_whose_certificate_expired_on_the_way_counts(
    gap: Gap, posts: tuple[Post, Post]
) -> None:
    """It was valid when the bundle was made; months in a courier's bag do not undo that."""
    say(posts[0])
    gap.lower.ferry.send()
    signed = one_file(gap.lower).read_bytes()
    reader = bundler(gap.upper)
    much_later = utc_now() + timedelta(days=5000)

    assert reader.open(signed, much_later).sequence == 1
    early = bundler(gap.lower).seal(
        [], stream=STREAM, sequence=1, previous=b"", created=utc_now() - timedelta(days=5000),
        progress=None,
    )  # fmt: skip
    assert reader.open(early.signed, utc_now()).sequence == 1  # valid now
    with pytest.raises(VerificationError):
        reader.open(early.signed, utc_now() - timedelta(days=4000))


# -- forms


def sealed(gap: Gap, posts: tuple[Post, Post]) -> bytes:
    """Return a signed bundle with a citizen's words in it, an unfit character among them."""
    county, _ = posts
    opened = county.desk.open_ticket(
        "示例", "第一行\r\n第二行\t\u0001 <b>&amp;</b>", matter="NM.H.01.01"
    )
    county.desk.offer(opened.ticket_id, CITY_12345.organisation, "属热线受理范围。")
    county.runner.collect()
    county.runner.push()
    gap.lower.ferry.send()
    return one_file(gap.lower).read_bytes()


@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_filter_reads_the_words_and_may_lay_them_out_anew(
    gap: Gap, posts: tuple[Post, Post], form: str
) -> None:
    """The words are all there; another layout of the same file is still the same bundle."""
    signed = sealed(gap, posts)
    content = write_form(signed, form)

    assert "第一行" in content.decode()
    assert "属热线受理范围" in content.decode()
    assert read_form(content, form) == signed
    if form == "json":
        again = json.dumps(json.loads(content), sort_keys=True).encode()
    else:
        root = ET.fromstring(content)
        ET.indent(root, "\t")
        again = ET.tostring(root, encoding="utf-8")
    assert again != content
    assert read_form(again, form) == signed


@pytest.mark.parametrize("form", ["json", "xml"])
def test_words_that_are_not_the_bytes_are_refused(
    gap: Gap, posts: tuple[Post, Post], form: str
) -> None:
    """One word changed, left out or added: a filter that was deceived lets nothing through."""
    content = write_form(sealed(gap, posts), form)
    for before, after in (
        ("第一行", "第二行"),
        ("routing", "routing"),
        ("NM.H.01.01", "NM.H.01.02"),
    ):
        changed = content.replace(before.encode(), after.encode())
        if changed == content:
            continue
        with pytest.raises(VerificationError, match="changed on the way"):
            read_form(changed, form)
    cut = (
        content.replace(b'"sequence": "1",', b"")
        if form == "json"
        else content.replace(b"<sequence>1</sequence>", b"")
    )
    with pytest.raises(VerificationError):
        read_form(cut, form)


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("json", b"{}"),
        ("json", b"[1]"),
        ("json", b'{"signed": 1, "content": {}}'),
        ("json", b'{"signed": "####", "content": {}}'),
        ("json", b"[" * 100_000),
        ("json", b"\xff\xfe"),
        ("xml", b"<bundle/>"),
        ("xml", b"<bundle><signed>AA==</signed><content/><more/></bundle>"),
        (
            "xml",
            b'<!DOCTYPE b [<!ENTITY a "aaaa">]><bundle><signed>&a;</signed><content/></bundle>',
        ),
        ("xml", "<bundle/>".encode("utf-16")),
        ("xml", b"<bundle><signed>"),
        ("xml", b"<bundle><!-- c --><signed>AA==</signed><content/></bundle>"),
    ],
)
def test_hostile_forms_are_no_bundles(form: str, content: bytes) -> None:
    """Neither nesting, entities, encodings nor wrong types do more than be refused."""
    with pytest.raises(InvalidRequest):
        read_form(content, form)


def test_the_readable_form_says_what_is_in_the_bundle(gap: Gap, posts: tuple[Post, Post]) -> None:
    """Sender, receiver, number, and of each message header and groups."""
    told = readable(sealed(gap, posts))

    assert (told["sender"], told["receiver"]) == (RELAY.organisation, SECOND.organisation)
    assert ["open_ticket", "offer"] == [
        next(key for key in one["header"] if key in {"open_ticket", "offer"})
        for one in told["messages"]
    ]
    assert told["messages"][0]["groups"]["matter"]["title"] == "示例"


# -- memory


def settled(gap: Gap, posts: tuple[Post, Post]) -> None:
    """Let everything come to rest, and a day pass."""
    for _ in range(8):
        gap.settle(*posts)
        gap.clock.ahead += timedelta(hours=2)


def begun(gap: Gap, posts: tuple[Post, Post]) -> tuple[str, str]:
    """Let a matter cross and be taken."""
    ticket, handoff = hand_over(posts[0])
    gap.settle(*posts)
    posts[1].desk.say(Kind.TAKE, handoff)
    gap.settle(*posts)
    return ticket, handoff


@pytest.mark.parametrize(
    ("who", "when"), [("lower", "under way"), ("upper", "under way"), ("both", "at rest")]
)
def test_a_lost_journal_loses_no_message(
    gap: Gap, posts: tuple[Post, Post], who: str, when: str
) -> None:
    """A new stream begins on both sides, once, and what was not answered goes in it."""
    ticket, handoff = begun(gap, posts)
    posts[1].desk.say(Kind.RESULT, handoff, "已补装。")
    if when == "under way":
        posts[1].runner.collect()
        posts[1].runner.push()
        gap.turn(nothing, nothing)
    for side in (gap.lower, gap.upper):
        if who in ("both", "lower" if side is gap.lower else "upper"):
            side.close()
            for path in side.folder.glob("ferry.db*"):
                path.unlink()
            side.open()
    more, _ = hand_over(posts[0])
    settled(gap, posts)

    for one in (ticket, more):
        assert standing(posts[0], one) == standing(posts[1], one)
    assert 5 == standing(posts[0], ticket)["handoffs"][handoff][0]
    for side in (gap.lower, gap.upper):
        assert side.journal.number("begun") <= 2
        assert [] == rows(side.site, "SELECT * FROM mailbox")
        assert not side.journal.missing()


@pytest.mark.parametrize("who", ["lower", "upper"])
def test_a_journal_put_back_from_a_backup_is_found_out(
    gap: Gap, posts: tuple[Post, Post], who: str
) -> None:
    """Old numbers come with other bundles: the other side notices, and both begin again."""
    begun(gap, posts)
    side = gap.lower if who == "lower" else gap.upper
    backup = side.folder / "backup.db"
    side.close()
    shutil.copy(side.folder / "ferry.db", backup)
    side.open()
    first, _ = hand_over(posts[0])
    gap.settle(*posts)
    side.close()
    for path in side.folder.glob("ferry.db*"):
        path.unlink()
    shutil.copy(backup, side.folder / "ferry.db")
    side.open()
    second, handoff = hand_over(posts[0])
    settled(gap, posts)
    posts[1].desk.say(Kind.TAKE, handoff)
    settled(gap, posts)

    for one in (first, second):
        assert standing(posts[0], one) == standing(posts[1], one)
    for each in (gap.lower, gap.upper):
        assert [] == rows(each.site, "SELECT * FROM mailbox")
        assert each.journal.number("begun") <= 3


def test_a_killed_ferry_goes_on_where_it_was(gap: Gap, posts: tuple[Post, Post]) -> None:
    """Ended after each step, without a word: nothing is lost, doubled or skipped."""
    county, city = posts
    ticket, handoff = hand_over(county)

    def again(side: Side) -> None:
        side.close()
        side.open()

    for _ in range(6):
        for post in posts:
            for step in (post.runner.collect, post.runner.push, post.runner.tell, post.runner.pull):
                step()
        for source, target in ((gap.lower, gap.upper), (gap.upper, gap.lower)):
            source.ferry._next_bundle()
            again(source)
            source.ferry.send()
            gap.carry(source, target)
            for path in target.incoming.glob("[!.]*"):
                # Kept in the journal, and killed before the file was taken away.
                content = path.read_bytes()
                target.ferry._land(_landed(target, path))
                path.write_bytes(content)
            again(target)
            found = target.journal.next_arrived()
            if found is not None:  # at the bridge, and killed before that was noted
                bundle = bundler(target).open(found[1], target.clock())
                target.province.carrier(target.site, target.party).bring(bundle.loads)
            again(target)
            target.ferry.receive()
        if city.desk.db.row("SELECT 1 FROM handoff WHERE state = 1"):
            city.desk.say(Kind.TAKE, handoff)
    gap.settle(county, city)

    assert standing(county, ticket) == standing(city, ticket)
    for side in (gap.lower, gap.upper):
        assert [(3,)] == rows(side.site, "SELECT count(*) FROM message")
        assert [] == rows(side.site, "SELECT * FROM mailbox")


def _landed(side: Side, path: Path):  # type: ignore[no-untyped-def]
    from adapters.ferry import landing  # noqa: PLC0415

    return next(
        one for one in landing.landed(side.incoming, lambda _name: None) if one.path == path
    )


def test_one_ferry_at_a_time(gap: Gap) -> None:
    """A second process on the same journal is turned away, and only looking is allowed."""
    with pytest.raises(ConfigurationError, match="Another ferry works"):
        Journal(gap.lower.folder / "ferry.db")
    with Journal(gap.lower.folder / "ferry.db", create=False, alone=False) as looked_at:
        assert looked_at.standing()["sent"] == 0


def test_where_nothing_can_be_written_nothing_is_lost(gap: Gap, posts: tuple[Post, Post]) -> None:
    """The gap's folder is away: the bundle waits in the journal, the reason is told, then it goes."""
    say(posts[0])
    gap.lower.outgoing.write_text("not a folder", encoding="utf-8")
    with pytest.raises(StoreUnavailable, match="Nothing can be written into"):
        gap.lower.ferry.send()
    assert not gap.lower.ferry.turn(receive=False)
    assert "Nothing can be written" in gap.lower.journal.standing()["error"]["en"]
    gap.lower.outgoing.unlink()
    assert gap.lower.ferry.turn(receive=False)
    assert gap.lower.journal.standing()["error"] is None
    assert one_file(gap.lower).suffix == ".bundle"


def test_a_bridge_that_is_away_is_waited_for(gap: Gap, posts: tuple[Post, Post]) -> None:
    """What arrived stays in the journal until the bridge is back."""
    county, city = posts
    say(county)
    gap.lower.ferry.send()
    gap.carry(gap.lower, gap.upper)
    gap.upper.site.stop()
    assert not gap.upper.ferry.turn(send=False)
    assert [] == [*gap.upper.incoming.glob("[!.]*")]
    assert 1 == gap.upper.journal.standing()["arrived"]
    gap.upper.site.start()
    while not gap.upper.ferry.turn(send=False):
        pass
    assert 0 == gap.upper.journal.standing()["arrived"]
    gap.settle(county, city)
    assert 1 == len(city.desk.db.rows("SELECT 1 FROM handoff"))


def test_what_cannot_be_decided_yet_blocks_nothing(gap: Gap, posts: tuple[Post, Post]) -> None:
    """A message whose predecessor never came waits apart, is shown, and passes when that has come."""
    county, city = posts
    ticket, handoff = say(county)
    loads = gap.lower.province.carrier(gap.lower.site).fetch(after=0)
    assert len(loads) == 2
    offer_only = [dataclasses.replace(loads[1], position=0)]
    lower = bundler(gap.lower)
    first = lower.seal(
        offer_only, stream=STREAM, sequence=1, previous=b"", created=utc_now(), progress=None
    )
    deliver(gap.upper, f"{STREAM}-{1:012d}.bundle", first.signed)
    assert gap.upper.ferry.receive() == 1
    facts = gap.upper.journal.standing()
    assert facts["undecided"] == 1
    assert "has not arrived here yet" in facts["why"]["en"]
    second = lower.seal(
        [loads[0]], stream=STREAM, sequence=2, previous=first.digest, created=utc_now(),
        progress=None,
    )  # fmt: skip
    deliver(gap.upper, f"{STREAM}-{2:012d}.bundle", second.signed)
    assert gap.upper.ferry.receive() == 1
    assert gap.upper.journal.standing()["undecided"] == 0
    city.runner.pull()
    assert city.desk.handoff(handoff)
    del ticket


def test_a_bundle_that_does_not_follow_is_named(gap: Gap, posts: tuple[Post, Post]) -> None:
    """The digest of the one before is another: the stream is over, and the other side is told."""
    say(posts[0])
    lower = bundler(gap.lower)
    first = lower.seal(
        [], stream=STREAM, sequence=1, previous=b"", created=utc_now(), progress=None
    )
    false = lower.seal(
        [], stream=STREAM, sequence=2, previous=bytes(32), created=utc_now(), progress=None
    )
    for number, one in ((1, first), (2, false)):
        deliver(gap.upper, f"{STREAM}-{number:012d}.bundle", one.signed)
    assert gap.upper.ferry.receive() == 1
    assert any("another than the one" in line for line in gap.upper.said)
    gap.upper.ferry.send()
    notice = bundler(gap.lower).open(one_file(gap.upper).read_bytes(), utc_now())
    assert notice.progress == Progress(stream=STREAM, applied=1, forked=True)
    assert notice.sequence == 0


def test_exact_bytes_travel_in_a_bundle(gap: Gap, posts: tuple[Post, Post]) -> None:
    """What is pushed beyond is the stored envelope and a hop, also through base64 and XML."""
    say(posts[0])
    gap.lower.ferry.send()
    signed = read_form(write_form(one_file(gap.lower).read_bytes(), "xml"), "xml")
    loads: tuple[Load, ...] = bundler(gap.upper).open(signed, utc_now()).loads
    stored = rows(gap.lower.site, "SELECT envelope FROM message ORDER BY leaf_index")

    assert [len(loads)] == [2]
    for load, (envelope,) in zip(loads, stored, strict=True):
        assert load.envelope.startswith(envelope)
    assert base64.b64encode(signed)
    assert whole("a", b"b") == [("a", b"b")]
