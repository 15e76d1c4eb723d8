"""A ticket of one system is worked in the other and closed, by mapping files alone."""

from __future__ import annotations

import re

import pytest

from tests.systems.between import Mischief
from tests.systems.city import City

#: Making the environment takes a while where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_an_issue_is_worked_as_a_ticket_and_closed(linked: City) -> None:
    """Opened in Roundup, taken and resolved in django-helpdesk, closed in Roundup: and so in both."""
    zhang, wang, title = linked.desks.zhang, linked.desks.wang, next(linked.titles)
    issue = zhang.opens(title, "楼上深夜敲打，{{ 已三天 }}。")
    linked.until(lambda: bool(wang.tickets(title)), "no ticket came")
    (ticket,) = wang.tickets(title)

    wang.works(ticket, "民警到场。")
    linked.until(lambda: zhang.sees(issue)["status"] == "in-progress", "it was not taken")
    linked.until(lambda: "民警到场" in zhang.sees(issue)["last"], "no progress came")
    wang.works(ticket, "已劝止。", 3)
    linked.until(lambda: zhang.sees(issue)["status"] == "feedback", "no result came")
    assert "已劝止。" == zhang.sees(issue)["last"]

    zhang.works(issue, "reopened", "仍有噪声。")
    linked.until(lambda: wang.sees(ticket)["status"] == 2, "it was not reopened")
    wang.works(ticket, "再次劝止，已停工。", 3)
    linked.until(lambda: zhang.sees(issue)["status"] == "feedback", "no second result came")
    assert "再次劝止，已停工。" == zhang.sees(issue)["last"]

    zhang.works(issue, "resolved", "市民满意。")
    linked.until(lambda: wang.sees(ticket)["status"] == 4, "it was not closed")
    linked.until(lambda: wang.sees(ticket)["notes"] == 8, "the ticket was not concluded")


def test_a_ticket_is_worked_as_an_issue_and_closed(linked: City) -> None:
    """The other way round: handed over in django-helpdesk, resolved in Roundup, closed."""
    zhang, wang, title = linked.desks.zhang, linked.desks.wang, next(linked.titles)
    ticket = wang.opens(title, "路口井盖缺失。")
    wang.works(ticket, "属热线受理范围。", 8)
    linked.until(lambda: bool(zhang.issues(title)), "no issue came")
    (issue,) = zhang.issues(title)

    zhang.works(issue, "in-progress", "已派单。")
    linked.until(lambda: "take" in wang.sees(ticket)["last"], "it was not taken")
    zhang.works(issue, "resolved", "已修复。")
    linked.until(lambda: "已修复。" in wang.sees(ticket)["last"], "no result came")
    assert 3 == wang.sees(ticket)["status"]

    wang.works(ticket, "确认。", 4)
    linked.until(lambda: zhang.sees(issue)["status"] == "closed", "it was not closed")
    linked.until(lambda: zhang.sees(issue)["notes"] == 6, "the ticket was not concluded")


def test_a_ticket_is_returned_and_taken_back(linked: City) -> None:
    """退回: the police say that it is not theirs, the hotline agrees, does it itself and concludes."""
    zhang, wang, title = linked.desks.zhang, linked.desks.wang, next(linked.titles)
    issue = zhang.opens(title, "物业停水。")
    linked.until(lambda: bool(wang.tickets(title)), "no ticket came")
    (ticket,) = wang.tickets(title)

    wang.works(ticket, "不属公安职责，无需先期处置。", 6)
    linked.until(lambda: zhang.sees(issue)["status"] == "returned", "it did not come back")
    assert "不属公安职责，无需先期处置。" == zhang.sees(issue)["last"]
    zhang.works(issue, "taken-back", "同意，转水务。")
    linked.until(lambda: "agree" in wang.sees(ticket)["last"], "nobody agreed")
    assert "同意，转水务。" in wang.sees(ticket)["last"]
    notes = wang.sees(ticket)["notes"]
    zhang.works(issue, "resolved", "水务已恢复供水。")
    linked.until(lambda: wang.sees(ticket)["notes"] > notes, "it was not concluded")


def test_an_edit_in_between_is_kept_and_ours_too(linked: City) -> None:
    """Somebody edits the issue between our look and our change: 412, looked at again, both stand."""
    zhang, wang, title = linked.desks.zhang, linked.desks.wang, next(linked.titles)
    issue = zhang.opens(title, "楼上深夜敲打。")
    linked.until(lambda: bool(wang.tickets(title)), "no ticket came")
    (ticket,) = wang.tickets(title)
    line = linked.desks.roundup
    change = rf"PATCH /rest/data/issue/{issue}$"
    line.planned.append(Mischief(change, lambda: zhang.changes(issue, {"priority": "urgent"})))
    before = len(line.calls)

    wang.works(ticket, "已劝止。", 3)
    linked.until(lambda: zhang.sees(issue)["status"] == "feedback", "no result came")

    assert [] == line.planned
    assert 3 == sum(
        bool(re.match(change, call)) for call in line.calls[before:]
    )  # take twice, result
    assert "urgent" == zhang.priority(issue)
    assert "已劝止。" == zhang.sees(issue)["last"]


def test_a_killed_adapter_makes_no_second_ticket(linked: City) -> None:
    """SIGKILL when the helpdesk has heard and not yet answered: one ticket, and one of each follow-up."""
    zhang, wang, title = linked.desks.zhang, linked.desks.wang, next(linked.titles)
    line, adapter = linked.desks.helpdesk, linked.police
    for call in (r"POST /api/tickets/$", r"POST /api/followups/$"):
        line.planned.append(Mischief(call, adapter.kill, after=True, cuts=True))
    issue = zhang.opens(title, "楼上深夜敲打。")
    for _ in range(2):
        linked.until(adapter.ended, "nothing was said")
        adapter.start()
    assert [] == line.planned
    linked.until(lambda: bool(wang.tickets(title)), "no ticket came")
    (ticket,) = wang.tickets(title)
    linked.until(lambda: "offer" in wang.sees(ticket)["last"], "it was not offered")

    wang.works(ticket, "民警到场。")
    linked.until(lambda: zhang.sees(issue)["status"] == "in-progress", "it was not taken")
    assert [ticket] == wang.tickets(title)
    assert 3 == wang.sees(ticket)["notes"]  # its opening, the offer, what was said now


def test_a_killed_adapter_makes_no_second_issue(linked: City) -> None:
    """The same at Roundup, which needs two calls for one thing: killed in each of them."""
    zhang, wang, title = linked.desks.zhang, linked.desks.wang, next(linked.titles)
    line, adapter = linked.desks.roundup, linked.hotline
    calls = (r"POST /rest/data/msg$", r"POST /rest/data/issue$", r"PATCH /rest/data/issue/")
    line.planned += [Mischief(call, adapter.kill, after=True, cuts=True) for call in calls]
    ticket = wang.opens(title, "路口井盖缺失。")
    known = zhang.notes()
    wang.works(ticket, "属热线受理范围。", 8)
    for _ in calls:
        linked.until(adapter.ended, "nothing was said")
        adapter.start()
    assert [] == line.planned
    linked.until(lambda: bool(zhang.issues(title)), "no issue came")
    (issue,) = zhang.issues(title)
    linked.until(lambda: zhang.sees(issue)["notes"] == 2, "it was not offered")

    zhang.works(issue, "in-progress", "已派单。")
    linked.until(lambda: "take" in wang.sees(ticket)["last"], "it was not taken")
    assert [issue] == zhang.issues(title)
    assert known + 3 == zhang.notes()  # its text, the offer's, and what was said now
