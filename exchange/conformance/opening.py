"""From a capability file to the stage that a profile's cases play on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from exchange.conformance.capabilities import Capabilities
from exchange.conformance.cases import Profile
from exchange.conformance.desk_stage import DeskStage
from exchange.conformance.judge import Stage
from exchange.conformance.party import CallFailed
from exchange.conformance.relay_stage import RelayStage
from exchange.conformance.stage import BridgeStage
from exchange.conformance.trace import Trace
from exchange.errors import ConfigurationError
from exchange.text import Text

#: The table of the capability file that says what is under test.
_TABLES = {
    Profile.BRIDGE: "bridge",
    Profile.RECEIVER: "adapter",
    Profile.SENDER: "adapter",
    Profile.RELAY: "relay",
}


def aimed(capabilities: Capabilities, profile: Profile, target: str | None) -> Capabilities:
    """
    Return *capabilities* with *target* in place of the file's: an address, or a command.

    Raises `ConfigurationError` where the file has no table for *profile*.
    """
    if getattr(capabilities, _TABLES[profile]) is None:
        raise _lacking(capabilities, profile)
    if target is None:
        return capabilities
    if profile is Profile.BRIDGE and capabilities.bridge is not None:
        return replace(capabilities, bridge=replace(capabilities.bridge, target=target))
    start = tuple(shlex.split(target))
    if profile is Profile.RELAY and capabilities.relay is not None:
        return replace(capabilities, relay=replace(capabilities.relay, start=start))
    if capabilities.adapter is not None:
        return replace(capabilities, adapter=replace(capabilities.adapter, start=start))
    return capabilities


@contextmanager
def open_stage(
    capabilities: Capabilities, profile: Profile, trace: Trace
) -> Iterator[tuple[Stage, str]]:
    """
    Yield the stage of *profile*, and what is under test in a word.

    Raises `ConfigurationError` where the program under test cannot even be reached: then nothing
    would be judged but the line.
    """
    if profile is Profile.BRIDGE and capabilities.bridge is not None:
        stage = BridgeStage(capabilities, capabilities.bridge, trace)
        try:
            _require_reached(stage)
            yield stage, capabilities.bridge.target
        finally:
            stage.close()
        return
    try:
        if profile is Profile.RELAY and capabilities.relay is not None:
            with RelayStage(capabilities, capabilities.relay, trace) as between:
                yield between, " ".join(capabilities.relay.start)
        elif capabilities.adapter is not None:
            with DeskStage(capabilities, capabilities.adapter, trace) as desk:
                yield desk, " ".join(capabilities.adapter.start)
        else:
            raise _lacking(capabilities, profile)
    except RuntimeError as taken:  # grpc's word for a port that somebody has
        raise ConfigurationError(_TAKEN.fill(file=_dialled(capabilities, profile))) from taken


def _lacking(capabilities: Capabilities, profile: Profile) -> ConfigurationError:
    text = _NO_TABLE.fill(
        file=capabilities.file, table=_TABLES[profile], profile=profile.value
    )  # fmt: skip
    return ConfigurationError(text, file=str(capabilities.file))


def _dialled(capabilities: Capabilities, profile: Profile) -> str:
    """Return the files whose ``target`` the kit listens at."""
    if profile is Profile.RELAY and capabilities.relay is not None:
        return f"{capabilities.relay.lower}, {capabilities.relay.upper}"
    return str(capabilities.adapter.config) if capabilities.adapter is not None else ""


def _require_reached(stage: BridgeStage) -> None:
    for party in (stage.hotline, stage.police):
        try:
            party.pull(limit=1)
        except CallFailed as failed:
            text = _UNREACHED.fill(who=party.name, en=failed.text.en, zh=failed.text.zh)
            raise ConfigurationError(text) from failed


_NO_TABLE = Text(
    en="{file} has no table [{table}], which --profile {profile} needs.",
    zh="{file} 缺少 --profile {profile} 所需的 [{table}] 表。",
)
_TAKEN = Text(
    en="The kit cannot listen where {file} says that the adapter dials ('target'): something else "
    "listens there.",
    zh="工具无法在 {file} 的 target 所列地址监听：该端口已被占用。",
)
_UNREACHED = Text(
    en="Nothing was judged: the kit, as the {who}, cannot call the bridge. {en}",
    zh="未作检验：工具以 {who} 身份无法调用网桥。{zh}",
)
