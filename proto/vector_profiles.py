"""
Stories that end in a refusal which a region's profile or the catalogue asks for.

What is expected is written down here by hand, not taken from the program: code, fields, rules.
"""

from __future__ import annotations

from vector_story import (
    COUNTY_POLICE,
    HOTLINE,
    MEASURES,
    OPENING,
    POLICE,
    STRANGER,
    TO_HOTLINE,
    WHY,
    Story,
    base64_of,
    scene,
)

from exchange.acts import Kind

BACK = {"grounds": {"text": "不属于本机构职责。"}, **MEASURES}


@scene("DANGER_PRESENT")
def _danger_present(story: Story) -> None:
    """110 returns a dangerous matter before it stated its disposal (R31)."""
    story.opened()
    story.offered(act={"danger": True})
    story.say(POLICE, Kind.TAKE, to=HOTLINE)
    story.say(
        POLICE,
        Kind.RETURN,
        {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
        BACK,
        to=HOTLINE,
        expect="DANGER_PRESENT",
        faults=(("header.return", "DANGER_PRESENT"),),
    )


@scene("ROUTE_NOT_ALLOWED")
def _route_not_allowed(story: Story) -> None:
    """A criminal case goes to 12345 (R04)."""
    story.opened(by=POLICE)
    faults = (("header.offer.matter", "ROUTE_NOT_ALLOWED"),)
    story.offered(by=POLICE, to=HOTLINE, expect="ROUTE_NOT_ALLOWED", faults=faults)


@scene("RELAY_REQUIRED", profile="changzhi")
def _relay_required(story: Story) -> None:
    """A county's 110 offers to 12345 without the city's 110 (R05, Changzhi)."""
    story.opened(TO_HOTLINE, by=COUNTY_POLICE)
    story.offered(
        TO_HOTLINE,
        by=COUNTY_POLICE,
        to=HOTLINE,
        expect="RELAY_REQUIRED",
        faults=(("header.recipient", "RELAY_REQUIRED"),),
    )


@scene("REASON_REQUIRED")
def _reason_required(story: Story) -> None:
    """An offer without grounds (R15)."""
    story.opened()
    faults = (("groups.grounds", "required"),)
    story.offered(groups={}, expect="REASON_REQUIRED", faults=faults)


@scene("REVIEW_REQUIRED", profile="xiangcheng", region="320507")
def _review_required(story: Story) -> None:
    """110 offers to 12345 without its internal review (R14, Xiangcheng)."""
    story.opened(TO_HOTLINE, by=POLICE)
    faults = (("groups.review", "required"),)
    story.offered(TO_HOTLINE, by=POLICE, to=HOTLINE, expect="REVIEW_REQUIRED", faults=faults)


@scene("PRIOR_DISPOSAL_REQUIRED", profile="inner-mongolia", region="150102")
def _prior_disposal_required(story: Story) -> None:
    """110 hands over traffic signs without saying what it did first (R12, Inner Mongolia)."""
    matter = "NM.F.01.01"
    story.opened(matter, by=POLICE)
    faults = (("groups.prior_disposal", "required"),)
    story.offered(matter, by=POLICE, to=HOTLINE, expect="PRIOR_DISPOSAL_REQUIRED", faults=faults)


@scene("CASE_OPENED", profile="xiangcheng", region="320507")
def _case_opened(story: Story) -> None:
    """A dispute on which a case was opened goes to 12345 (R13, Xiangcheng)."""
    matter = "XC.H.07.01"
    story.opened(matter, by=POLICE)
    reviewed = {
        "steps": [
            {
                "decision": "REVIEW_DECISION_APPROVED",
                "reviewer": {"name": "值班长"},
                "decide_time": "2026-03-02T08:00:30Z",
            }
        ]
    }
    disposed = {"disposed": True, "content": "已到场调解。", "no_case": False}
    story.offered(
        matter,
        by=POLICE,
        to=HOTLINE,
        groups={**WHY, "review": reviewed, "prior_disposal": disposed},
        act={"case_opened": True},
        expect="CASE_OPENED",
        faults=(("header.offer.case_opened", "CASE_OPENED"),),
    )


@scene("MEASURES_REQUIRED")
def _measures_required(story: Story) -> None:
    """A return that does not state the measures taken (R21)."""
    story.taken()
    story.say(
        POLICE,
        Kind.RETURN,
        {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
        {"grounds": BACK["grounds"]},
        to=HOTLINE,
        expect="MEASURES_REQUIRED",
        faults=(("groups.measures", "required"),),
    )


@scene("NEW_GROUND_REQUIRED")
def _new_ground_required(story: Story) -> None:
    """A second return on the ground that a ruling has already answered."""
    story.taken()
    ground = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
    story.say(POLICE, Kind.RETURN, ground, BACK, to=HOTLINE)
    story.say(HOTLINE, Kind.REFUSE, {}, WHY, to=POLICE)
    keeps = "RULING_OUTCOME_HANDLER_KEEPS"
    agreed = story.say(POLICE, Kind.POSITION, {"agrees_to": keeps}, to=HOTLINE)
    ruling = {"outcome": keeps, "position_digest": base64_of(agreed.digest)}
    story.say(HOTLINE, Kind.RULE, ruling, to=POLICE)
    story.say(
        POLICE,
        Kind.RETURN,
        ground,
        BACK,
        to=HOTLINE,
        expect="NEW_GROUND_REQUIRED",
        faults=(("header.return.ground", "NEW_GROUND_REQUIRED"),),
    )


@scene("FIRST_RECEIVER_KEEPS", profile="shanghai", region="310115")
def _first_receiver_keeps(story: Story) -> None:
    """The first receiver returns the matter (R30, Shanghai)."""
    story.opened(act={"first_receiver": POLICE})
    story.offered()
    story.say(POLICE, Kind.TAKE, to=HOTLINE)
    story.say(
        POLICE,
        Kind.RETURN,
        {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
        BACK,
        to=HOTLINE,
        expect="FIRST_RECEIVER_KEEPS",
        faults=(("header.return", "FIRST_RECEIVER_KEEPS"),),
    )


@scene("NO_NEGOTIATION", profile="shanghai", region="310115")
def _no_negotiation(story: Story) -> None:
    """The first receiver refuses a return to itself (R30, Shanghai)."""
    story.taken()
    ground = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
    story.say(POLICE, Kind.RETURN, ground, BACK, to=HOTLINE)
    faults = (("header.refuse", "NO_NEGOTIATION"),)
    story.say(HOTLINE, Kind.REFUSE, {}, WHY, to=POLICE, expect="NO_NEGOTIATION", faults=faults)


@scene("POSITION_REQUIRED")
def _position_required(story: Story) -> None:
    """A ruling that the handler keeps it, without the handler's agreement (R30)."""
    story.taken()
    ground = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
    story.say(POLICE, Kind.RETURN, ground, BACK, to=HOTLINE)
    story.say(HOTLINE, Kind.REFUSE, {}, WHY, to=POLICE)
    story.say(
        HOTLINE,
        Kind.RULE,
        {"outcome": "RULING_OUTCOME_HANDLER_KEEPS"},
        to=POLICE,
        expect="POSITION_REQUIRED",
        faults=(("header.rule.position_digest", "POSITION_REQUIRED"),),
    )


@scene("LEVEL_REQUIRES_110", profile="changzhi")
def _level_requires_110(story: Story) -> None:
    """A substantial emergency goes to another hotline desk before 110 has it (R40, Changzhi)."""
    story.opened("NM.H.01.10", act={"level": "EMERGENCY_LEVEL_SUBSTANTIAL"})
    story.offered(
        "NM.H.01.10",
        to=STRANGER,
        expect="LEVEL_REQUIRES_110",
        faults=(("header.recipient", "LEVEL_REQUIRES_110"),),
    )


@scene("GROUP_REQUIRED")
def _group_required(story: Story) -> None:
    """A ticket is opened without saying what it is about."""
    identity = {"identity": OPENING["identity"]}
    faults = (("groups.matter", "required"), ("groups.content", "required"))
    story.opened(groups=identity, expect="GROUP_REQUIRED", faults=faults)


@scene("ASSESSOR_MISMATCH", profile="inner-mongolia", region="150102")
def _assessor_mismatch(story: Story) -> None:
    """12345 rates what 110 did in a police matter, which the police assess (R51, Inner Mongolia)."""
    story.taken("NM.P.01.01")
    story.say(
        HOTLINE,
        Kind.EVALUATE,
        {"assessed_by": HOTLINE},
        {"evaluation": {"text": "办理及时。"}},
        to=POLICE,
        expect="ASSESSOR_MISMATCH",
        faults=(("header.evaluate.assessed_by", "assessor"),),
    )


@scene("PARALLEL_DUTY_REQUIRED", profile="inner-mongolia", region="150102")
def _parallel_duty_required(story: Story) -> None:
    """An immediate kind goes to 110 without the sender's own duty (R24, Inner Mongolia)."""
    matter = "NM.I.01.01"
    story.opened(matter)
    story.offered(
        matter,
        expect="PARALLEL_DUTY_REQUIRED",
        faults=(("header.offer.parallel_duty", "PARALLEL_DUTY_REQUIRED"),),
    )
