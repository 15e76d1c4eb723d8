"""``exchange conformance``: judge a bridge, an adapter or a relay, as a black box over mutual TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.grammar import group, json_option, language, option, say
from exchange.cli.screen import show_json
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.conformance.judge import Result

_PROFILES = ("bridge", "receiver", "sender", "relay")
_MARKS = {
    "passed": "✓",
    "failed": "✗",
    "known-failing": "~",
    "passed-though-listed": "!",
    "skipped": "–",
}

conformance = group(
    "conformance",
    en="Conformance (符合性): the kit plays the counterpart and judges a bridge, an adapter or a relay.",
    zh="符合性测试：工具扮演对方，检验网桥、适配器或中继。",
)

_MADE = Text(
    en="{folder}/ has test authorities, certificates and configurations. Never use them in earnest.\n"
    "A bridge under test trusts the two networks' roots in {folder}/certificates/trust/, registers {folder}/register.toml and "
    "presents {folder}/certificates/bridge/; for this project's own:\n"
    "  exchange migrate --create --config {folder}/bridge.toml\n"
    "  exchange serve --config {folder}/bridge.toml\n"
    "Then: exchange conformance run --profile bridge --capabilities {folder}/conformance.toml\n"
    "An adapter under test takes {folder}/hotline.toml; enter in {folder}/conformance.toml how it is "
    "started. A relay takes {folder}/relay-lower.toml and {folder}/relay-upper.toml, likewise.",
    zh="{folder}/ 中已有测试用认证机构、证书与配置，切勿用于生产。\n"
    "被测网桥应信任 {folder}/certificates/trust/ 中两个网络的根证书、登记 {folder}/register.toml，并出示 "
    "{folder}/certificates/bridge/；本项目网桥：\n"
    "  exchange migrate --create --config {folder}/bridge.toml\n"
    "  exchange serve --config {folder}/bridge.toml\n"
    "然后：exchange conformance run --profile bridge --capabilities {folder}/conformance.toml\n"
    "被测适配器使用 {folder}/hotline.toml，并在 {folder}/conformance.toml 中填写启动方式。"
    "被测中继使用 {folder}/relay-lower.toml 与 {folder}/relay-upper.toml，同样填写。",
)


@conformance.command(
    "prepare",
    text=Text(
        en="Make test authorities, certificates and a capability file in the new folder FOLDER.",
        zh="在新文件夹中生成测试用认证机构、证书与能力文件。",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path))
@option(
    "--target", default="127.0.0.1:15210", show_default=True, metavar="HOST:PORT",
    en="Where the bridge listens, the one under test or the kit's own; above a relay another, on the next port.",
    zh="网桥监听地址（被测网桥，或工具自带网桥）；中继上级一侧的网桥使用下一端口。",
)  # fmt: skip
@json_option
def prepare(*, folder: Path, target: str, as_json: bool) -> None:
    """Make the ground of a run."""
    from datetime import UTC, datetime

    from certs.errors import Refused
    from exchange.conformance.ground import prepare as make
    from exchange.errors import ConfigurationError

    try:
        made = make(folder, target, datetime.now(UTC))
    except Refused as refused:
        raise ConfigurationError(Text(en=refused.sentence.en, zh=refused.sentence.zh)) from refused
    if as_json:
        files = {"bridge": str(made.bridge), "capabilities": str(made.capabilities)}
        show_json({"folder": str(folder), "target": target, **files})
    else:
        say(_MADE.fill(folder=folder))


@conformance.command(
    "list",
    text=Text(
        en="List the cases: id, what it rests on, and its sentence.",
        zh="列出全部用例：编号、依据与内容。",
    ),
)
@option(
    "--profile", type=click.Choice(_PROFILES), en="Only this profile's.", zh="仅列该类。",
)  # fmt: skip
@json_option
def list_cases(*, profile: str | None, as_json: bool) -> None:
    """Show the table."""
    from exchange.conformance.table import CASES

    cases = [case for case in CASES if profile in {None, case.profile.value}]
    if as_json:
        show_json(
            [
                {
                    "id": case.id,
                    "rests": case.rests,
                    "en": case.text.en,
                    "zh": case.text.zh,
                    "needs": sorted(case.needs),
                }
                for case in cases
            ]
        )
        return
    for case in cases:
        click.echo(f"{case.id}  [{case.rests}]")
        click.echo(f"    {case.text.say(language())}")


@conformance.command(
    "run",
    text=Text(
        en="Judge a bridge, an adapter or a relay. Exit: 0 it conforms (listed failures aside), 1 it does not, "
        "or a listed case passes,\n2 misused, or the run could not be made.",
        zh="检验网桥、适配器或中继。退出码：0 符合（清单所列失败除外），1 不符合或清单所列用例已通过，\n"
        "2 用法有误或无法进行。",
    ),
)
@option(
    "--profile", type=click.Choice(_PROFILES), required=True, en="What is under test.", zh="被测类别。",
)  # fmt: skip
@option(
    "--capabilities", "file", type=click.Path(path_type=Path), default=Path("conformance.toml"),
    show_default=True, metavar="FILE", en="The capability file.", zh="能力文件。",
)  # fmt: skip
@option(
    "--target", metavar="TARGET",
    en="Instead of the file's: a bridge's HOST:PORT, or the command that starts an adapter or relay.",
    zh="代替能力文件所列：网桥 HOST:PORT，或启动适配器、中继的命令。",
)  # fmt: skip
@option(
    "--case", "only", multiple=True, metavar="ID",
    en="Only this case, or those whose id begins so; may be repeated.",
    zh="仅运行该用例或以此开头的用例，可多次给出。",
)  # fmt: skip
@option(
    "--known-failing", "known_file", type=click.Path(path_type=Path), metavar="FILE",
    en="Case ids that are known to fail, one a line; instead of the file's.",
    zh="已知失败的用例编号，每行一个；代替能力文件所列。",
)  # fmt: skip
@option(
    "--trace", "trace_file", type=click.Path(path_type=Path), metavar="FILE",
    en="Write what was sent and received, as JSON lines.", zh="将收发内容写为 JSON 行。",
)  # fmt: skip
@option(
    "--junit", "junit_file", type=click.Path(path_type=Path), metavar="FILE",
    en="Write the results as JUnit XML.", zh="将结果写为 JUnit XML。",
)  # fmt: skip
@option(
    "--report", "report_file", type=click.Path(path_type=Path), metavar="FILE",
    en="Write the signed report.", zh="写出签名报告。",
)  # fmt: skip
@option(
    "--signer", type=click.Path(path_type=Path), metavar="FILE",
    en="Gateway configuration whose signer signs the report; else the hotline's that the kit plays.",
    zh="以该网关配置的签名密钥签署报告；默认用工具所扮演热线的密钥。",
)  # fmt: skip
@json_option
@click.pass_context
def run(
    context: click.Context,
    *,
    profile: str,
    file: Path,
    target: str | None,
    only: tuple[str, ...],
    known_file: Path | None,
    trace_file: Path | None,
    junit_file: Path | None,
    report_file: Path | None,
    signer: Path | None,
    as_json: bool,
) -> None:
    """Judge."""
    import signal
    from datetime import UTC, datetime

    from exchange.cli.root import telling
    from exchange.client import read_gateway
    from exchange.conformance import judge, report
    from exchange.conformance.capabilities import read_capabilities
    from exchange.conformance.cases import Profile
    from exchange.conformance.opening import aimed, open_stage
    from exchange.conformance.table import CASES
    from exchange.conformance.trace import Trace

    which, begun = Profile(profile), datetime.now(UTC)
    capabilities = aimed(read_capabilities(file), which, target)
    cases = judge.select(CASES, which, only)
    known = judge.read_known(known_file or capabilities.known_failing, CASES)
    signs = read_gateway(signer or capabilities.parties["hotline"]) if report_file else None
    with telling(lambda: _ENDED), ExitStack() as stack:
        # Asked to end, it ends what it started, as at Ctrl-C.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before)
        trace = Trace(
            stack.enter_context(trace_file.open("w", encoding="utf-8")) if trace_file else None
        )
        stage, about = stack.enter_context(open_stage(capabilities, which, trace))
        results = judge.run(
            cases, stage, capabilities.provides(which), known=known, trace=trace,
            told=None if as_json else _show,
        )  # fmt: skip
    told = report.report_object(results, profile=which, target=about, begun=begun)
    if junit_file is not None:
        junit_file.write_bytes(report.junit(results, which, language()))
    if report_file is not None and signs is not None:
        report_file.write_bytes(report.sign_report(told, signs))
    if as_json:
        show_json(told)
    else:
        say(_conclusion(results))
    context.exit(0 if judge.holds(results) else 1)


def _show(result: Result) -> None:
    click.echo(f"{_MARKS[result.verdict.value]} {result.case.id}")
    if result.why is not None and result.verdict.value != "skipped":
        click.echo(f"    {result.case.text.say(language())} [{result.case.rests}]")
        click.echo(f"    → {result.why.say(language())}")
    elif result.why is not None:
        click.echo(f"    {result.why.say(language())}")


def _conclusion(results: Sequence[Result]) -> Text:
    from exchange.conformance import judge

    found = {name.replace("-", "_"): count for name, count in judge.counts(results).items()}
    if judge.holds(results):
        return _HOLDS.fill(**found)
    return (_FAILS if any(not r.verdict.is_good for r in results) else _NOTHING).fill(**found)


_ENDED = Text(
    en="Interrupted: nothing was concluded; whatever the kit had started was ended.",
    zh="已中断：未得出结论；工具启动的程序均已结束。",
)
_HOLDS = Text(
    en="It conforms: {passed} passed, {known_failing} known to fail, {skipped} skipped.",
    zh="符合：通过 {passed} 项，已知失败 {known_failing} 项，跳过 {skipped} 项。",
)
_FAILS = Text(
    en="It does NOT conform: {failed} failed, {passed_though_listed} passed though listed as failing, "
    "{passed} passed, {known_failing} known to fail, {skipped} skipped. What was sent and received: "
    "run again with --case ID --trace FILE.",
    zh="不符合：失败 {failed} 项，清单所列却已通过 {passed_though_listed} 项，通过 {passed} 项，已知失败 "
    "{known_failing} 项，跳过 {skipped} 项。收发内容可用 --case 编号 --trace 文件 重新运行查看。",
)
_NOTHING = Text(
    en="Nothing was judged: every case was skipped. See what the capability file lacks above.",
    zh="未作任何检验：全部用例均被跳过。能力文件缺少的内容见上。",
)


@conformance.command(
    "verify",
    text=Text(
        en="Prove a signed report offline. Exit: 0 the signature holds and the program conforms, 1 either "
        "does not, 2 misused.",
        zh="离线验证签名报告。退出码：0 签名成立且结论为符合，1 任一不成立，2 用法有误。",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@option(
    "--trust", "roots", multiple=True, metavar="NETWORK=FILE",
    en="A network's roots, or a folder of NETWORK.pem files; may be repeated.",
    zh="某网络的根证书，或含“网络.pem”文件的文件夹，可多次给出。",
)  # fmt: skip
@option(
    "--config", type=click.Path(path_type=Path), envvar="EXCHANGE_CONFIG",
    en="A gateway's configuration that names the roots.", zh="载有根证书的网关配置。",
)  # fmt: skip
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    file: Path,
    roots: tuple[str, ...],
    config: Path | None,
    as_json: bool,
) -> None:
    """Prove one report."""
    from exchange.conformance.report import prove_report
    from exchange.trust import TrustStore

    proved = prove_report(file.read_bytes(), TrustStore.load(_roots(roots, config)))
    if as_json:
        show_json({"signed_by": proved.organisation, "network": proved.network, **proved.report})
    else:
        facts = proved.report
        for case in facts["cases"]:
            click.echo(f"{_MARKS.get(case['verdict'], '?')} {case['id']}")
        text = _PROVED if facts["holds"] else _PROVED_NOT
        say(
            text.fill(
                organisation=proved.organisation, network=proved.network, kit=facts["kit"],
                profile=facts["profile"], target=facts["target"], ended=facts["ended"],
                **{name.replace("-", "_"): count for name, count in facts["counts"].items()},
            )
        )  # fmt: skip
    context.exit(0 if proved.report["holds"] else 1)


def _roots(roots: tuple[str, ...], config: Path | None) -> Mapping[str, Path]:
    from exchange.cli.gateway import read_gateway
    from exchange.cli.grammar import Misused
    from exchange.cli.trust import root_files

    files = root_files(roots)
    if not files and config is not None:
        files = read_gateway(config).trust
    if not files:
        raise Misused(_NO_TRUST, click.get_current_context(silent=True))
    return files


_PROVED = Text(
    en="{organisation} of {network} signed on {ended} that {target} conforms as {profile} ({kit}): "
    "{passed} passed, {known_failing} known to fail, {skipped} skipped.",
    zh="{network} 的 {organisation} 于 {ended} 签署：{target} 作为 {profile} 符合要求（{kit}）："
    "通过 {passed} 项，已知失败 {known_failing} 项，跳过 {skipped} 项。",
)
_PROVED_NOT = Text(
    en="{organisation} of {network} signed on {ended} that {target} does NOT conform as {profile} "
    "({kit}): {failed} failed, {passed} passed, {skipped} skipped.",
    zh="{network} 的 {organisation} 于 {ended} 签署：{target} 作为 {profile} 不符合要求（{kit}）："
    "失败 {failed} 项，通过 {passed} 项，跳过 {skipped} 项。",
)
_NO_TRUST = Text(
    en="Nobody is trusted: give the signer's network as --trust NETWORK=FILE.pem, or --config FILE.",
    zh="尚未指定信任对象：请用 --trust 网络=文件.pem 给出签署方网络的根证书，或用 --config 指定配置。",
)
