"""The certificate tool's commands: languages, refusals, what they show."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from certs.cli import main, run
from certs.development import BRIDGE, GOVERNMENT
from certs.files import write_new
from certs.founding import create_authority
from tests.certs.issuing import NOW, ORGANISATION, desk_name


@dataclass(frozen=True, slots=True)
class Result:
    """How a command line ended, and all it said."""

    exit_code: int
    output: str


def _run(*arguments: object, lang: str = "en", **environment: str) -> Result:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run([*map(str, arguments), *(("--lang", lang) if lang else ())], environment)
    return Result(code, said.getvalue())


class TestCommands:
    def test_from_nothing_to_a_gateway_certificate(self, tmp_path: Path) -> None:
        """The README's three commands, and what `show` says of the result."""
        folder, stem, out = tmp_path / "ca", tmp_path / "gw", tmp_path / "gw.pem"
        assert _run("init", GOVERNMENT, "--out", folder).exit_code == 0
        assert _run("csr", stem).exit_code == 0
        issued = _run(
            "issue", f"{stem}.csr", "--authority", folder, "--profile", "gateway-tls",
            "--region", "140400", "--organisation", ORGANISATION, "--out", out,
        )  # fmt: skip
        assert issued.exit_code == 0, issued.output
        assert "valid until" in issued.output
        described = json.loads(_run("show", out, "--json").output)
        assert [one["kind"] for one in described] == ["gateway-tls", "authority"]
        assert described[0]["names"] == [desk_name().uri]
        assert described[0]["days_left"] == 89
        assert "剩余 89 天" in _run("show", out, lang="zh").output

    def test_a_bridge_certificate(self, tmp_path: Path) -> None:
        """Hosts instead of region and organisation; both together are refused."""
        folder, stem, out = tmp_path / "ca", tmp_path / "bridge", tmp_path / "bridge.pem"
        _run("init", BRIDGE, "--out", folder)
        _run("csr", stem)
        common = ["issue", f"{stem}.csr", "--authority", folder, "--profile", "bridge-tls"]
        both = _run(*common, "--dns", "b.example", "--region", "140400", "--out", out)
        assert both.exit_code == 1
        assert "cannot carry both" in both.output
        assert not out.exists()
        made = _run(*common, "--dns", "b.example", "--ip", "192.0.2.1", "--out", out)
        assert made.exit_code == 0, made.output

    @pytest.mark.parametrize(("lang", "words"), [("en", "not overwritten"), ("zh", "不予覆盖")])
    def test_refusals_speak_the_chosen_language(
        self, tmp_path: Path, lang: str, words: str
    ) -> None:
        """Exit code 1 and one sentence, no traceback."""
        write_new(tmp_path / "log.key", b"mine")
        result = _run("log-key", tmp_path / "log", "--name", "b.example/log/1", lang=lang)
        assert result.exit_code == 1
        assert words in result.output

    def test_show_refuses_a_file_with_a_broken_block(self, tmp_path: Path) -> None:
        """What the parser would drop in silence is named."""
        path = tmp_path / "x.pem"
        path.write_bytes(b"junk")
        assert "no readable certificate" in _run("show", path).output
        assert "cannot be read" in _run("show", tmp_path / "absent.pem").output

    @pytest.mark.parametrize(
        ("line", "environment", "zh"),
        [
            (["--help"], {}, False),
            (["--help"], {"EXCHANGE_LANG": "zh", "LANG": "en_US"}, True),
            (["--help"], {"LANG": "zh_CN.UTF-8"}, True),
            (["--lang", "zh", "issue", "--help"], {}, True),
            (["issue", "--help", "--lang=zh"], {}, True),
            (["issue", "--help", "--lang", "en"], {"EXCHANGE_LANG": "zh"}, False),
        ],
    )
    def test_the_language_is_chosen_as_the_exchange_chooses_it(
        self, line: list[str], environment: dict[str, str], zh: bool
    ) -> None:
        """``--lang`` anywhere on the line rules, then EXCHANGE_LANG, then the locale."""
        said = _run(*line, lang="", **environment)
        assert (said.exit_code, said.output.startswith("用法：")) == (0, zh)

    def test_no_help_page_or_complaint_is_left_in_english(self, tmp_path: Path) -> None:
        """Every command and option, what click finds wrong, and what the system says."""
        for command in main.commands:
            for said in _run(command, "--help", lang="zh").output.splitlines()[1:]:
                assert not said.strip() or any("一" <= letter for letter in said), (command, said)
        assert "缺少参数：申请文件" in _run("issue", lang="zh").output
        assert "没有 --ouch 选项" in _run("init", "n", "--ouch", lang="zh").output
        missing = _run("show", tmp_path / "absent.pem", lang="zh")
        assert "文件或文件夹不存在" in missing.output
        assert missing.exit_code == 1

    def test_times_are_shown_in_china_s_zone_unless_tz_is_set(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On the screen local with its offset; in JSON in UTC."""
        path = create_authority(tmp_path, GOVERNMENT, NOW).issuing
        monkeypatch.delenv("TZ", raising=False)
        assert "2026-03-01 15:55 +08:00" in _run("show", path).output
        assert json.loads(_run("show", path, "--json").output)[0]["not_before"] == (
            "2026-03-01T07:55:00+00:00"
        )
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert "2026-03-01 07:55 +00:00" in _run("show", path).output
        monkeypatch.undo()
        time.tzset()

    def test_it_runs_alone(self) -> None:
        """`python -m certs` needs nothing of the exchange."""
        program = (
            "import sys, runpy; sys.argv = ['certs', '--help']\n"
            "try: runpy.run_module('certs', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "print([name for name in sys.modules if name.split('.')[0] == 'exchange'])"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        assert ran.stdout.decode().splitlines()[-1] == "[]"
        assert b"init" in ran.stdout

    @pytest.mark.parametrize("program", ["certs", "exchange certs"])
    def test_ctrl_c_says_where_what_was_done_stands(self, tmp_path: Path, program: str) -> None:
        """Also under `exchange`, which else says that nothing was changed."""
        folder = tmp_path / "ca"
        assert _run("init", GOVERNMENT, "--out", folder).exit_code == 0
        words = ["exchange", "certs"] if program == "exchange certs" else ["certs"]
        module, *rest = words
        hook = "while :; do sleep 0.1; done"
        assert _run("csr", tmp_path / "gw").exit_code == 0
        issued = _run(
            "issue", tmp_path / "gw.csr", "--authority", folder, "--profile", "gateway-tls",
            "--region", "140400", "--organisation", ORGANISATION, "--out", tmp_path / "gw.pem",
        )  # fmt: skip
        assert issued.exit_code == 0
        boxes = [
            "--outbox",
            tmp_path / "o",
            "--inbox",
            tmp_path / "i",
            "--roots",
            folder / "root/root.pem",
        ]
        assert _run("renew", tmp_path / "gw", *boxes, "--early").exit_code == 0
        answered = _run(
            "answer", "--authority", folder, "--inbox", tmp_path / "o", "--outbox", tmp_path / "i"
        )
        assert answered.exit_code == 0
        begun = tmp_path / "begun"
        os.mkfifo(begun)
        process = subprocess.Popen(
            [sys.executable, "-m", module, *rest, "renew", str(tmp_path / "gw"), *map(str, boxes),
             "--pre", f"echo x > {begun}; {hook}"],
            stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], start_new_session=True,
            env={**os.environ, "EXCHANGE_LANG": "en"},
        )  # fmt: skip
        with process:
            assert begun.read_text() == "x\n"
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert (process.returncode, "certs acts list" in said) == (130, True)
