"""The directory in the contract's form: organisations, divisions, matters, profiles."""

from __future__ import annotations

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import directory_service_pb2 as pb
from exchange.divisions import Division
from exchange.matters import Item
from exchange.organisations import Organisation
from exchange.profile import Profile
from exchange.text import Text
from exchange.wire.receipts import text_to_proto
from exchange.wire.tickets import region_ref


def organisation_to_proto(organisation: Organisation) -> pb.Organisation:
    """Return one organisation of the site register."""
    return pb.Organisation(
        code=organisation.code,
        name=text_to_proto(organisation.name),
        region=organisation.region,
        network=organisation.network,
        side=organisation.service.value,
        parent=organisation.parent,
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
    )


def profile_to_proto(profile: Profile, source: str) -> pb.GetProfileResponse:
    """Return one profile; *source* is its TOML text."""
    return pb.GetProfileResponse(
        name=profile.name,
        edition=profile.edition,
        region=region_ref(profile.region),
        rules=[
            common_pb.LocalizedText(
                en=f"{name}: {citation}"[:2048],
                zh=f"{name}：{citation.quote or citation.note or '—'}（{citation}）"[:2048],
            )
            for name, citation in profile.citations.items()
        ],
        toml=source,
    )
