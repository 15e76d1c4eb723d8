"""
Write the scenarios as the conformance kit plays them: ``python proto/vector_scenes.py DIR``.

The golden scenarios are signed with keys that everybody can make, so no bridge may trust them.  Here
are the same stories unsigned, as plain data: the kit gives them new ids, times and signatures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from vector_samples import every_kind
from vector_scenarios import scenarios
from vector_story import Said, Story

from exchange._proto.v1 import message_pb2 as pb
from exchange.wire.content import decode_group, group_name
from exchange.wire.headers import header_fields

#: What hangs on the signature itself, or on the bridge's own name, the kit plays by hand.
BY_HAND = {
    "UNSIGNED", "SIGNATURE_INVALID", "SIGNER_NOT_TRUSTED", "AUTHOR_MISMATCH", "RELAY_LOOP",
}  # fmt: skip


def step(said: Said) -> dict[str, Any]:
    """Return one push as data; *digest* and *handoff_id* tell what later steps refer to it by."""
    header = header_fields(pb.Envelope.FromString(said.envelope).header)
    header.pop("groups", None)
    whole = pb.Envelope.FromString(said.envelope)
    return {
        "author": said.caller,
        "digest": said.digest.hex(),
        "header": header,
        "groups": {group_name(g.group): decode_group(g.group, g.content) for g in whole.groups},
        "expect": said.expect,
        "fields": [field for field, _ in said.faults],
    }


def scene(story: Story) -> dict[str, Any]:
    """Return a story as data."""
    return {
        "about": story.about,
        "profile": story.profile,
        "steps": [step(said) for said in story.said],
    }


def main() -> None:
    """Write ``scenes.json`` into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {code: scene(story) for code, story in scenarios().items() if code not in BY_HAND}
    scenes["EVERY_KIND"] = scene(every_kind())
    text = json.dumps(scenes, ensure_ascii=False, indent=1) + "\n"
    (folder / "scenes.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
