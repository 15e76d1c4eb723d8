"""Attachments of a platform over HTTP: by address and in base64, both ways."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from standardwebhooks import Webhook

from tests.adapters.attachments.folders import Folder, folder_of, new_id, offer, opening
from tests.adapters.http.city import Linked, linked
from tests.adapters.http.desk import OUR_SECRET, OUR_TOKEN, Desk
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

MORE = """
[sheets.photo]
key = ["id"]
about = { sheet = "jjd", columns = ["ticket"] }

[attachments]
still = 0
max_bytes = 100000
[attachments.heard]
sheet = "photo"
columns = { title = "name", data = "base64", link = "url", digest = "sha256" }

[[say]]
kind = "supplement"
sheet = "action"
when = { what = "photos" }
use = ["action"]
[[say.attachments]]
each = "photos"
url = "url"
name = "title"
[[say.attachments]]
base64 = "scan"
name = "words"

[http]
"""
CALL = """
[[http.call]]
sheet = "photo"
path = "/photos"
number = "Data.BillNo"
id_field = "request.id"

[http.listen]
files = "http://adapter.example:1/files"
"""


@pytest.fixture
def hotline(link: Link) -> Folder:
    """The hotline's folder."""
    return folder_of(link.folder / "hotline", lambda p, pace: link.runner(CITY_12345, p, pace))


@pytest.fixture
def police(link: Link, platform: Desk) -> Iterator[Linked]:
    """The police desk, linked by a mapping with files."""
    with linked(link, platform, {"\n[http]\n": MORE, "[http.listen]\n": CALL}) as found:
        yield found


def settle(hotline: Folder, police: Linked) -> None:
    """Let messages and files cross until nothing moves any more."""
    moved = True
    while moved:
        hotline.messages()
        moved = bool(hotline.files() + police.platform.poll_now() + police.turn())
        moved |= bool(police.runner.posting.turn())


def offered(hotline: Folder, *files: str) -> None:
    """Let the hotline open a ticket that cites *files*, and offer it."""
    ticket = new_id()
    hotline.say(opening(ticket, *files), offer(ticket, CITY_110.organisation))


def get(police: Linked, path: str, token: str) -> bytes:
    """Get what the adapter offers to its platform."""
    now = datetime.now(UTC)
    request = urllib.request.Request(
        f"http://127.0.0.1:{police.platform.port}{path}",
        headers={
            "Authorization": f"Bearer {token}",
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(OUR_SECRET).sign("msg_1", now, ""),
        },
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return bytes(response.read())


def test_files_cross_by_address_and_in_base64(
    hotline: Folder, police: Linked, platform: Desk
) -> None:
    """What came is given in a field and offered at an address; what the desk has is got, or decoded."""
    hotline.put("photo.jpg", b"from the hotline")
    offered(hotline, "photo.jpg")
    settle(hotline, police)

    (given,) = platform.asked("POST", "/api/photos")
    digest = sha256(b"from the hotline").hexdigest()
    assert ("现场", digest) == (given["title"], given["digest"])
    assert b"from the hotline" == base64.b64decode(given["data"])
    assert f"http://adapter.example:1/files/{digest}" == given["link"]
    assert b"from the hotline" == get(police, f"/files/{digest}", OUR_TOKEN)
    for path, token, status in (
        (f"/files/{digest}", "guessed", 401),
        (f"/files/{'0' * 64}", OUR_TOKEN, 404),
        (f"/files/..%2f{digest}", OUR_TOKEN, 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(police, path, token)
        refused.value.close()

        assert status == refused.value.code

    platform.files["/media/one.jpg"] = b"one"
    action = platform.act("J0001", "photos", "笔录.pdf") | {
        "photos": [
            {"url": "/media/one.jpg", "title": "一.jpg"},
            {"url": "http://elsewhere.example/two.jpg"},
        ],
        "scan": base64.b64encode(b"scanned").decode(),
    }
    platform.actions[-1] = action
    settle(hotline, police)

    assert {b"one", b"scanned"} == set(hotline.came().values())
    ((why,),) = (
        [one.reason.en for one in police.platform.quarantine.entries() if one.side == "file"],
    )
    assert "elsewhere.example, which is not asked" in why


def test_a_message_waits_alone_for_what_the_server_does_not_give_yet(
    hotline: Folder, police: Linked, platform: Desk
) -> None:
    """The taking crosses at once; the photographs follow when the server has them."""
    offered(hotline)
    settle(hotline, police)
    platform.act("J0001", "photos")
    platform.actions[-1] |= {"photos": [{"url": "/media/late.jpg"}]}
    platform.act("J0001", "take")
    settle(hotline, police)

    names = [path.name for path in (hotline.path / "inbox").glob("*.json")]
    assert ["take"] == [name.split("-")[1] for name in names]

    platform.files["/media/late.jpg"] = b"late"
    police.platform.filing.leaving.later.forget()
    settle(hotline, police)

    assert {b"late"} == set(hotline.came().values())


def test_a_file_beyond_the_limit_is_cut_off_and_named(
    hotline: Folder, police: Linked, platform: Desk
) -> None:
    """What is more than the mapping allows is not read to its end, and not waited for."""
    offered(hotline)
    settle(hotline, police)
    platform.files["/media/film.jpg"] = bytes(300_000)
    platform.act("J0001", "photos")
    platform.actions[-1] |= {"photos": [{"url": "/media/film.jpg"}]}
    settle(hotline, police)

    (held,) = [one for one in police.platform.quarantine.entries() if one.side == "file"]
    assert "larger than 100000 bytes" in held.reason.en
    assert not hotline.came()
