"""A silent peer: its process is stopped, the sender takes over, and the peer comes back and releases."""

from __future__ import annotations

from dataclasses import replace

from exchange.demo import counts
from exchange.demo.city import Role
from exchange.demo.director import Played, Scene, Unpromised
from exchange.demo.script import Case, Told
from exchange.demo.stage import Stage
from exchange.text import Text

H, P = Role.HOTLINE, Role.POLICE

_TITLE = Text(
    en="A take-over from a silent peer, and its release", zh="对方失联时收回自办，恢复后解除"
)
_TOLD = Text(
    en="110's process was stopped. 12345 took the matter over, did it and closed the ticket without "
    "waiting; when 110 came back, it learned of everything in order and released its part.",
    zh="110 平台进程被终止。12345 收回自办、办结并结案，无需等待；110 恢复后按序收到全部消息并解除。",
)


def silent_peer(stage: Stage) -> Played:
    """Play the scene; it needs the whole stage, for a platform is down meanwhile."""
    scene = Scene(name="take-over", title=_TITLE, rules="R30")
    case = Case(
        stage.city, H, "老人走失", "家属称一名老人早市后未归，穿灰色外套。", "NM.P.05.01", "XC.P.05.01"
    )  # fmt: skip
    desk, director = stage.desks[P], stage.director
    # What it has in hand when it stops would come again only when its lease has ended.
    counts.settle(stage.ground)
    desk.process.kill()
    try:
        director.say([case.open(), replace(case.offer(P, "走失求助，请110查找。"), until="stored")])
        (taken,) = director.say(
            [case.say(H, "take_over", "对方未签收，收回自办。", until="stored")]
        )
        director.say(
            [
                case.duty("result", taken.duty, "社区网格员在公园找到老人，已送回。"),
                case.duty("close", taken.duty, "家属确认。"),
                case.conclude("办结。"),
            ]
        )
        desk.process.start()
        desk.ask({"status": {}})
        director.await_written(H, taken.message)
        director.say([case.say(P, "release", "对方已收回自办，本方解除。")])
    except Unpromised as broken:
        if not desk.process.running:
            desk.process.start()
            desk.ask({"status": {}})
        return Played(scene=scene, told=None, failure=broken.text)
    told = Told(text=_TOLD, tickets=(case.ticket,), facts={"own_duty": taken.duty})
    return Played(scene=scene, told=told, messages=7)
