"""One city's performance: its matters cross, its scenes are played, and everything is proved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exchange.cli.rule_words import seed_word
from exchange.demo import counts, proofs
from exchange.demo.counts import Count
from exchange.demo.director import Played, Scene
from exchange.demo.proofs import Verified
from exchange.demo.silence import silent_peer
from exchange.demo.stage import Stage
from exchange.demo.teller import Teller
from exchange.demo.words import filled
from exchange.text import Text

#: The round of the crossing in whose midst the bridge is killed: what is said is under way.
_KILL_IN_ROUND = 2

_CITY = Text(
    en="── {title} ({seed}): {platforms} platforms, one bridge on port {port}, real TLS",
    zh="── {title}（{seed}）：{platforms} 个平台，一座网桥（端口 {port}），真实双向 TLS",
)
_CROSSING = Text(
    en="  categories on their way: {done} of {of}", zh="  正在移交：{done}/{of} 类事项"
)
_CROSSED = Text(
    en="  {mark} {done} of {of} matters crossed by their own route and were closed: 12345→110 {going} "
    "({parallel} with a parallel own duty), 110→12345 {coming}.",
    zh="  {mark} {done}/{of} 件事项按各自路径移交并办结：12345→110 {going} 件（其中 {parallel} 件同时自办），"
    "110→12345 {coming} 件。",
)
_NOT_CROSSED = Text(en="  ✗ {title}: {why}", zh="  ✗ {title}：{why}")
_KILLED = Text(
    en="  ✓ The bridge was killed (SIGKILL) with {waiting} messages under way and started again in "
    "{seconds:.1f} s; the platforms' spools went on by themselves.",
    zh="  ✓ 网桥在 {waiting} 条消息在途时被强行终止（SIGKILL），{seconds:.1f} 秒后重启；"
    "各平台暂存库自动续传。",
)
_SCENE = Text(en="  ✓ {title} ({rules}). {text}", zh="  ✓ {title}（{rules}）。{text}")
_COUNTED = Text(
    en="  ✓ Counted in all databases: {said} messages said = {own} on own duties, which go to nobody "
    "else, + {crossed} to the other side{twice}; {lost} lost, {doubled} doubled.",
    zh="  ✓ 逐库清点：发出 {said} 条 = 自办 {own} 条（只属本方，无需对方写入）+ 发往对方 {crossed} 条，"
    "对方均已写入{twice}；丢失 {lost} 条、重复 {doubled} 条。",
)
_TWICE = Text(
    en=" and written there ({came} times: some go to more than one desk)",
    zh="（其中有的发往多个平台，共写入 {came} 次）",
)
_ONCE = Text(en=" and written there", zh="")
_NOT_COUNTED = Text(
    en="  ✗ The databases differ: {lost} lost, {doubled} doubled, {differing} states differ, "
    "{waiting} still under way.",
    zh="  ✗ 各库不一致：丢失 {lost} 条、重复 {doubled} 条、状态不符 {differing} 处、在途 {waiting} 条。",
)
_PROVED = Text(
    en="  ✓ All receipts and the log verify: {stored} stored, {written} written, {refused} refused; "
    "{entries} log entries.",
    zh="  ✓ 全部回执与日志验证通过：存储 {stored}、写入 {written}、拒绝 {refused}；日志 {entries} 条。",
)
_NOT_PROVED = Text(
    en="  ✗ Not everything verifies, first: {first}", zh="  ✗ 并非全部通过验证，首条：{first}"
)


@dataclass(slots=True, kw_only=True)
class Performance:
    """What happened in one city."""

    stage: Stage
    crossed: list[Played] = field(default_factory=list)
    scenes: list[Played] = field(default_factory=list)
    #: Messages under way when the bridge was killed, and seconds until it was back.
    killed: tuple[int, float] = (0, 0.0)
    counts: list[Count] = field(default_factory=list)
    waiting: int = 0
    verified: Verified | None = None
    seconds: float = 0.0
    #: Numbers of real messages that the hotline does not take (R02).
    stayed: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything came as promised."""
        played = all(one.kept for one in (*self.crossed, *self.scenes))
        counted = not self.waiting and bool(self.counts) and all(c.holds for c in self.counts)
        return played and counted and self.verified is not None and self.verified.holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What is played: matters that cross while the bridge is killed, then scenes, then *silence*."""

    crossings: Sequence[Scene]
    scenes: Sequence[Scene]
    silence: bool


def perform(stage: Stage, programme: Programme, teller: Teller) -> Performance:
    """Play everything of one city on its open stage; raises `DemoFailed` where it cannot go on."""
    began = time.monotonic()
    city, rules = stage.city, stage.city.profile
    teller.line()
    teller.line(
        filled(
            _CITY,
            title=rules.title,
            seed=seed_word(rules.seed),
            platforms=len(city.platforms),
            port=stage.ground.port,
        )
    )
    found = Performance(stage=stage)
    _cross(found, programme.crossings, teller)
    tell = _tell_scene(teller)
    found.scenes = stage.director.play(programme.scenes, finished=tell)
    if programme.silence:
        found.scenes.append(silent_peer(stage))
        tell(found.scenes[-1])
    _prove(found, teller)
    found.seconds = time.monotonic() - began
    return found


def _cross(found: Performance, scenes: Sequence[Scene], teller: Teller) -> None:
    stage = found.stage
    done = 0

    def finished(played: Played) -> None:
        nonlocal done
        done += played.kept
        teller.live(_CROSSING.fill(done=done, of=len(scenes)))
        _tell_failure(teller, played)

    def kill() -> None:
        counts.await_under_way(stage.ground)
        stage.bridge.process.kill()
        down = time.monotonic()
        # The platforms go on talking to a bridge that is not there.
        waiting = counts.await_under_way(stage.ground)
        stage.bridge.launch()
        stage.bridge.await_listening()
        found.killed = (waiting, time.monotonic() - down)

    teller.live(_CROSSING.fill(done=0, of=len(scenes)))
    found.crossed = stage.director.play(scenes, finished=finished, midst={_KILL_IN_ROUND: kill})
    facts = [played.told.facts for played in found.crossed if played.told is not None]
    going = [one for one in facts if one["direction"] == "12345-110"]
    ways = {
        "going": len(going),
        "coming": len(facts) - len(going),
        "parallel": sum(bool(one["own_duty"]) for one in going),
    }
    mark = "✓" if done == len(scenes) else "✗"
    teller.line(_CROSSED.fill(mark=mark, done=done, of=len(scenes), **ways))
    teller.line(_KILLED.fill(waiting=found.killed[0], seconds=found.killed[1]))


def _tell_scene(teller: Teller) -> Callable[[Played], None]:
    def finished(played: Played) -> None:
        if played.told is None:
            _tell_failure(teller, played)
            return
        scene = played.scene
        teller.line(filled(_SCENE, title=scene.title, rules=scene.rules, text=played.told.text))

    return finished


def _tell_failure(teller: Teller, played: Played) -> None:
    if played.failure is not None:
        teller.line(filled(_NOT_CROSSED, title=played.scene.title, why=played.failure))


def _prove(found: Performance, teller: Teller) -> None:
    ground = found.stage.ground
    counts.settle(ground)
    found.waiting = counts.under_way(ground)
    found.counts = counts.count(ground)
    facts = {
        name: sum(getattr(one, name) for one in found.counts)
        for name in ("said", "own", "came", "lost", "doubled", "differing")
    }
    crossed = facts["said"] - facts["own"]
    twice = (_ONCE if facts["came"] == crossed else _TWICE).fill(came=facts["came"])
    counted = not found.waiting and all(one.holds for one in found.counts)
    if counted:
        teller.line(filled(_COUNTED, **facts, crossed=crossed, twice=twice))
    else:
        teller.line(_NOT_COUNTED.fill(**facts, waiting=found.waiting))
    found.verified = verified = proofs.verify(ground)
    if verified.holds:
        teller.line(
            _PROVED.fill(
                stored=verified.stored, written=verified.written, refused=verified.refused,
                entries=verified.entries,
            )
        )  # fmt: skip
    else:
        teller.line(filled(_NOT_PROVED, first=verified.findings[0]))
