"""The directory in the contract's form: organisations, divisions, matters, profiles."""

from __future__ import annotations

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import directory_service_pb2 as pb
from exchange.divisions import Division, divisions
from exchange.errors import InvalidRequest
from exchange.log import LeafKind, StoredProof, leaf_bytes
from exchange.matters import Item
from exchange.organisations import Organisation
from exchange.profile import Profile
from exchange.text import Text
from exchange.views import EnteredAct
from exchange.wire.headers import time_from_proto
from exchange.wire.receipts import stored_receipt, text_to_proto
from exchange.wire.tickets import region_ref

_NO_ACT = Text(
    en="The bridge gave an act without a leaf of its log.",
    zh="网桥给出的操作记录没有对应的日志条目。",
)


def organisation_to_proto(organisation: Organisation) -> pb.Organisation:
    """Return one organisation of the site register."""
    return pb.Organisation(
        code=organisation.code,
        name=text_to_proto(organisation.name),
        region=organisation.region,
        network=organisation.network,
        side=organisation.service.value,
        parent=organisation.parent,
        matters=organisation.matters,
        procedure=organisation.procedure,
        liaison=organisation.liaison,
        telephone=organisation.telephone,
        duty=organisation.duty,
    )


def act_to_proto(act: EnteredAct) -> pb.LoggedAct:
    """Return one act, with its leaf's proof."""
    return pb.LoggedAct(
        source=act.source,
        number=act.number,
        line=act.line,
        logged=stored_receipt("", act.proof),
    )


def act_of(found: pb.LoggedAct) -> EnteredAct:
    """Return an act as a bridge gives it; nothing of it is verified.  Raises `InvalidRequest` for no act."""
    try:
        time = time_from_proto(found.logged.accept_time)
        leaf = leaf_bytes(LeafKind.ADMINISTRATIVE, found.logged.message_digest, time)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(_NO_ACT) from error
    return EnteredAct(
        source=found.source,
        number=found.number,
        line=found.line,
        time=time,
        proof=StoredProof(
            leaf=leaf,
            index=found.logged.leaf_index,
            path=tuple(found.logged.path),
            note=found.logged.checkpoint.encode(),
        ),
    )


def division_to_proto(division: Division) -> common_pb.RegionRef:
    """Return one division with its own name."""
    return common_pb.RegionRef(code=division.code, name=division.name[:128])


def matter_to_proto(item: Item, explanation: Text | None = None) -> pb.Matter:
    """Return one matter; *explanation* says why it was chosen among several that match."""
    return pb.Matter(
        id=item.id,
        name=text_to_proto(item.name),
        owner_side=item.category.owner.value,
        handling_mode=item.mode.value,
        explanation=text_to_proto(explanation) if explanation is not None else None,
        category=item.category.id,
        source=f"{item.category.seed} {item.category.section}",
    )


def profile_to_proto(profile: Profile, source: str) -> pb.GetProfileResponse:
    """Return one profile; *source* is its TOML text."""
    return pb.GetProfileResponse(
        name=profile.name,
        edition=profile.edition,
        region=region_ref(profile.region, divisions()),
        rules=[
            common_pb.LocalizedText(
                en=f"{name}: {citation}"[:2048],
                zh=f"{name}：{citation.quote or citation.note or '—'}（{citation}）"[:2048],
            )
            for name, citation in profile.citations.items()
        ],
        toml=source,
    )
