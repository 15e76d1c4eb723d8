"""A whole exchange by files alone, whatever the gap does to them."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest

from exchange.acts import Kind
from tests.adapters.ferry.gap import Gap, Passing, nothing, open_gap, whole
from tests.adapters.province import COUNTY_110, Post, Province, standing
from tests.adapters.relay.test_crossing import hand_over, rows
from tests.pki import CITY_12345


@pytest.fixture
def posts(province: Province) -> tuple[Post, Post]:
    """The county's 110 and the city's hotline."""
    return province.post(COUNTY_110, province.county), province.post(CITY_12345, province.city)


def work(gap: Gap, county: Post, city: Post, up: Passing = whole, down: Passing = whole) -> str:
    """Let one matter be offered, taken, worked and closed; return its ticket."""

    def settled() -> None:
        for post in (county, city):
            for step in (post.runner.collect, post.runner.push, post.runner.tell, post.runner.pull):
                step()
        gap.turn(up, down)
        # What was lost is noticed by a later bundle, or after the time to repeat.
        gap.clock.ahead += timedelta(minutes=20)

    def until(post: Post, handoff: str, state: int) -> None:
        for _ in range(60):
            found = post.desk.db.row("SELECT state FROM handoff WHERE handoff_id = ?", handoff)
            if found is not None and found["state"] == state:
                return
            settled()
        raise AssertionError((gap.lower.said, gap.upper.said))

    ticket, handoff = hand_over(county)
    until(city, handoff, 1)
    city.desk.say(Kind.TAKE, handoff)
    until(county, handoff, 2)
    city.desk.say(Kind.RESULT, handoff, "已补装。")
    until(county, handoff, 5)
    county.desk.say(Kind.CLOSE, handoff, "满意。")
    county.desk.close_ticket(ticket, "办结。")
    for _ in range(60):
        boxes = [rows(side.site, "SELECT 1 FROM mailbox") for side in (gap.lower, gap.upper)]
        if not any(boxes) and not county.desk.db.rows("SELECT 1 FROM outbox"):
            break
        settled()
    return ticket


def agreed(province: Province, county: Post, city: Post, ticket: str) -> None:
    """Assert that both bridges hold the same, and nothing waits."""
    assert standing(county, ticket) == standing(city, ticket)
    assert standing(city, ticket)["closed"]
    for site in (province.county, province.city):
        assert [] == rows(site, "SELECT * FROM mailbox")
        assert [(6,)] == rows(site, "SELECT count(*) FROM message")


@pytest.mark.parametrize("form", ["bundle", "json", "xml"])
def test_a_whole_exchange_runs_with_files_only(
    province: Province,
    posts: tuple[Post, Post],
    form: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both ways, receipts included, in each form; both logs hold, and nothing more is put out."""
    gap = open_gap(province, form)
    ticket = work(gap, *posts)
    agreed(province, *posts, ticket)
    for site in (province.county, province.city):
        province.verified(site, capsys)
    # Each message: stored at both bridges, the other's receipt here, and written by its receiver.
    assert [(4,)] == rows(province.county, "SELECT count(*) FROM passage")
    assert [(2,)] == rows(province.city, "SELECT count(*) FROM passage")
    assert [[(6,)], [(6,)]] == [
        rows(site, "SELECT count(*) FROM receipt") for site in (province.county, province.city)
    ]
    gap.turn()
    gap.turn()
    assert 0 == gap.turn()
    assert [] == [*gap.lower.outgoing.glob("*"), *gap.upper.outgoing.glob("*")]


def one_in(number: int, seed: int, spoil: Passing) -> Passing:
    """Spoil one file in *number*, by chance."""
    dice = random.Random(seed)

    def passing(name: str, content: bytes) -> list[tuple[str, bytes]]:
        return spoil(name, content) if dice.randrange(number) == 0 else whole(name, content)

    return passing


def first_time(spoil: Passing) -> Passing:
    """Spoil every file when it passes for the first time."""
    spoilt: set[str] = set()

    def passing(name: str, content: bytes) -> list[tuple[str, bytes]]:
        if name in spoilt:
            return whole(name, content)
        spoilt.add(name)
        return spoil(name, content)

    return passing


def twice(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Deliver a file two times, the second under another form of its name's number."""
    return [(name, content), (name, content)]


def half(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Cut a file in two."""
    return [(name, content[: len(content) // 2])]


def flipped(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Change one byte."""
    place = len(content) * 2 // 3
    return [(name, content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])]


class Later:
    """Hold each file back until the next has passed it."""

    def __init__(self) -> None:
        self._held: list[tuple[str, bytes]] = []

    def __call__(self, name: str, content: bytes) -> list[tuple[str, bytes]]:
        """Keep one, let the one before go behind the next."""
        before, self._held = self._held, [(name, content)]
        return before


@pytest.mark.parametrize("often", ["the first time", "every second"])
@pytest.mark.parametrize(
    "spoil", [nothing, twice, half, flipped], ids=["lost", "doubled", "cut", "changed"]
)
def test_whatever_the_gap_does_the_states_agree(
    province: Province, posts: tuple[Post, Post], gap: Gap, spoil: Passing, often: str
) -> None:
    """Every file when it first passes, or one in two by chance, is spoilt, on either way."""
    if often == "the first time":
        up, down = first_time(spoil), first_time(spoil)
    else:
        up, down = one_in(2, 1, spoil), one_in(2, 2, spoil)
    ticket = work(gap, *posts, up, down)

    agreed(province, *posts, ticket)
    said = gap.lower.said + gap.upper.said
    if spoil in (half, flipped):
        assert any(line.startswith("SET ASIDE") for line in said)
        reasons = [*gap.upper.folder.glob("bad/*.reason.json")]
        assert reasons
        assert {"file", "time", "en", "zh"} == set(json.loads(reasons[0].read_text()))
    if spoil is nothing and often != "the first time":
        assert any(line.startswith("asked for again") for line in said)


def test_reordered_bundles_are_applied_in_their_order(
    province: Province, posts: tuple[Post, Post], gap: Gap
) -> None:
    """Each bundle is overtaken by the next: it waits, and nothing is asked of the bridge twice."""
    ticket = work(gap, *posts, Later(), Later())

    agreed(province, *posts, ticket)


def test_hours_late_is_not_too_late(province: Province, posts: tuple[Post, Post], gap: Gap) -> None:
    """Two days of one-way traffic arrive at once; what was repeated meanwhile changes nothing."""
    county, city = posts
    tickets = []
    held: list[tuple[str, bytes]] = []

    def hold(name: str, content: bytes) -> list[tuple[str, bytes]]:
        held.append((name, content))
        return []

    for _ in range(5):
        tickets.append(hand_over(county)[0])
        county.runner.collect()
        county.runner.push()
        gap.turn(hold)
        gap.clock.ahead += timedelta(hours=10)
    assert len(held) > len({name for name, _ in held})
    for name, content in reversed(held):
        gap.upper.incoming.mkdir(exist_ok=True)
        (gap.upper.incoming / name).write_bytes(content)
    gap.settle(county, city)

    assert 5 == len(city.desk.db.rows("SELECT 1 FROM ticket"))
    for ticket in tickets:
        assert standing(county, ticket) == standing(city, ticket)
    assert [] == rows(province.county, "SELECT * FROM mailbox")


def test_large_traffic_is_cut_into_bundles(province: Province, posts: tuple[Post, Post]) -> None:
    """No bundle passes the size that was set; the order of a hand-off holds across them."""
    gap = open_gap(province, bundle_bytes=256 * 1024)
    county, city = posts
    for _ in range(60):
        opened = county.desk.open_ticket("长", "长" * 4000, matter="NM.H.01.01")
        county.desk.offer(opened.ticket_id, CITY_12345.organisation, "属热线受理范围。")
    county.runner.collect()
    county.runner.push()
    gap.lower.ferry.send()
    sizes = [path.stat().st_size for path in gap.lower.outgoing.glob("*.bundle")]

    assert len(sizes) >= 3
    assert max(sizes) < 256 * 1024 + 8192
    gap.carry(gap.lower, gap.upper)
    gap.settle(county, city)
    gap.settle(county, city)
    assert 60 == len(city.desk.db.rows("SELECT 1 FROM handoff"))
    assert [] == rows(province.county, "SELECT * FROM mailbox")


def test_a_link_that_runs_one_way_only(province: Province, posts: tuple[Post, Post]) -> None:
    """Each bundle is put out three times; what never came is named, passed over, and kept here."""
    gap = open_gap(province, one_way_copies=3)
    county, city = posts
    handoffs = []
    for _ in range(3):
        handoffs.append(hand_over(county)[1])
        county.runner.collect()
        county.runner.push()
        gap.lower.ferry.send()
    lost = sorted(path.name for path in gap.lower.outgoing.iterdir())[1]

    def without(name: str, content: bytes) -> list[tuple[str, bytes]]:
        return [] if name == lost else whole(name, content)

    arrived = []
    for _ in range(6):
        arrived.append(gap.carry(gap.lower, gap.upper, without))
        gap.upper.ferry.receive()
        gap.upper.ferry.send()
        gap.clock.ahead += timedelta(minutes=61)
        gap.lower.ferry.send()
    city.runner.pull()

    assert [2, 2, 2, 0, 0, 0] == arrived
    assert [] == [*gap.upper.outgoing.glob("*")]
    assert any(line.startswith("LOST: bundles 2 ") for line in gap.upper.said)
    assert 1 == gap.upper.journal.standing()["lost"]
    assert {handoffs[0], handoffs[2]} == {
        row["handoff_id"] for row in city.desk.db.rows("SELECT handoff_id FROM handoff")
    }
    assert [(6,)] == rows(province.county, "SELECT count(*) FROM mailbox")


def test_no_more_is_under_way_than_the_other_side_keeps(
    province: Province, posts: tuple[Post, Post], gap: Gap
) -> None:
    """The mailbox keeps what follows, and it goes out when earlier bundles are confirmed."""
    gap.lower.window = 2
    gap.lower.close()
    gap.lower.open()
    county, city = posts
    for _ in range(4):
        hand_over(county)
        county.runner.collect()
        county.runner.push()
        gap.lower.ferry.send()
    assert 2 == len([*gap.lower.outgoing.iterdir()])
    gap.settle(county, city)
    gap.settle(county, city)
    assert 4 == len(city.desk.db.rows("SELECT 1 FROM handoff"))
    assert [] == rows(province.county, "SELECT * FROM mailbox")
