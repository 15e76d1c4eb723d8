"""
Cases of a bridge: each refusal that a matter's standing or a region's rules ask for.

The stories are the golden scenarios (`proto/vector_scenarios.py`), given new ids, times and
signatures by the parties that the kit plays, so that any running bridge can be asked.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from exchange.conformance.cases import Case, require
from exchange.conformance.ground import DESKS
from exchange.conformance.stage import BridgeStage
from exchange.envelope import MESSAGE_TYPE, message_digest, sign
from exchange.errors import RefusalCode
from exchange.reading import Table, package_data
from exchange.text import Text
from exchange.ticket import own_duty_id
from exchange.wire.headers import draft_message, seal_envelope

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WHO = {desk.organisation: name for name, desk in DESKS.items()}


@cache
def scenes() -> dict[str, Any]:
    """Return the stories by the code that each ends in."""
    table = Table.read(package_data("conformance", "scenes.json"))
    return {code: _scene(table.table(code)) for code in table}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One story: who pushes what, and what is answered at its end."""

    about: str
    profile: str
    steps: Sequence[Mapping[str, Any]]


def _scene(table: Table) -> Scene:
    steps = []
    for step in table.tables("steps"):
        plain: dict[str, Any] = {name: step.raw(name) for name in step}
        steps.append(plain)
    return Scene(about=table.text("about"), profile=table.text("profile"), steps=steps)


@dataclass(slots=True)
class _Renaming:
    """What stands for what in this playing of a story: ids, and digests in hexadecimal."""

    ids: dict[str, str] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self(one) for one in value]
        if not isinstance(value, str):
            return value
        if _UUID.fullmatch(value):
            return self.ids.setdefault(value, str(uuid.uuid4()))
        if len(value) == 44:
            new = self.digests.get(value)
            return value if new is None else base64.b64encode(new).decode()
        return value


def play(stage: BridgeStage, code: str) -> None:
    """Play one story to its end; every step before the last must be stored."""
    scene: Scene = scenes()[code]
    renamed = _Renaming()
    begun = datetime.now(UTC) - timedelta(seconds=len(scene.steps))
    for place, step in enumerate(scene.steps):
        party = stage.party(_WHO[step["author"]])
        header = renamed(step["header"]) | {
            "create_time": (begun + timedelta(seconds=place)).isoformat(),
        }
        draft = draft_message(header, renamed(step["groups"]))
        (signature,) = sign(MESSAGE_TYPE, [draft.header], party.signer)
        digest = message_digest(draft.header)
        old = bytes.fromhex(step["digest"])
        renamed.digests[base64.b64encode(old).decode()] = digest
        if handoff := step["header"].get("handoff_id"):
            renamed.ids[own_duty_id(handoff, old)] = own_duty_id(header["handoff_id"], digest)
        (outcome,) = party.push([seal_envelope(draft, signature)])
        if step["expect"] == "stored":
            party.stored(outcome, digest)
            continue
        refusal = party.refused(outcome, RefusalCode[step["expect"]])
        named = [violation.field for violation in refusal.violations]
        require(
            named == step["fields"],
            f"The refusal {step['expect']} names {named}, not {step['fields']}.",
            f"拒绝 {step['expect']} 所列字段为 {named}，应为 {step['fields']}。",
        )


def refusal_cases() -> list[Case]:
    """Return a case for each story."""
    return [_case(code, scene) for code, scene in scenes().items()]


def _case(code: str, scene: Scene) -> Case:
    authors = {_WHO[step["author"]] for step in scene.steps} | {
        _WHO[r] for step in scene.steps if (r := step["header"].get("recipient")) in _WHO
    }
    return Case(
        id="bridge.every-kind" if code == "EVERY_KIND" else f"bridge.refusal.{code.lower()}",
        rests=_rests(code),
        text=_EVERY_KIND if code == "EVERY_KIND" else _text(code, scene),
        play=lambda stage: play(stage, code),
        needs=frozenset({f"profile:{scene.profile}"} | {f"party:{name}" for name in authors}),
    )


_EVERY_KIND = Text(
    en="A ticket through all 25 kinds of message, with every field group, is stored step by step.",
    zh="一张单走完全部 25 种消息、携带全部字段组，逐步存储。",
)


def _text(code: str, scene: Scene) -> Text:
    # The code's own sentence is in both languages, and says what the sender should do.
    return Text(
        en=f"{scene.about} Refused: {code}.", zh=f"应拒绝（{code}）：{RefusalCode[code].text.zh}"
    )


def _rests(code: str) -> str:
    if code == "EVERY_KIND":
        return "Header.act"
    cited = re.search(r"[(（]((?:R\d+[,、 ]*)+)[)）]", RefusalCode[code].text.en)
    rule = f"{cited[1]} · " if cited else ""
    return f"{rule}RefusalCode {code}"
