"""What the system says is said to people: in their language, with the next step."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.causes import cause


def _caught(question: Callable[[], object]) -> OSError | ValueError:
    with pytest.raises((OSError, ValueError)) as raised:
        question()
    assert isinstance(raised.value, (OSError, ValueError))
    return raised.value


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "absent": (lambda p: (p / "no").read_text(), "check the path", "请检查路径"),
    "folder": (lambda p: p.read_text(), "it is a folder", "这是文件夹"),
    "below a file": (lambda p: (p / "f" / "g").read_text(), "is a file, not", "而非文件夹"),
    "not UTF-8": (lambda _: b"ab\xff".decode(), "byte 3 is not UTF-8", "第 3 字节"),
    "no JSON": (lambda _: json.loads("{\n,}"), "line 2, column 1", "第 2 行第 1 列"),
    "open string": (lambda _: json.loads('{"a": "b'), "no closing quote", "没有结束引号"),
    "no comma": (lambda _: json.loads('{"a": 1 "b"}'), "a comma is missing", "缺少逗号"),
    "no TOML": (lambda _: tomllib.loads("a = 1\nb\n"), "line 2, column 2 is not TOML", "第 2 行"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_is_said_in_both_languages_with_a_next_step(case: str, tmp_path: Path) -> None:
    """No errno, no Python sentence, and nothing English in the Chinese one."""
    (tmp_path / "f").touch()
    question, en, zh = CASES[case]
    text = cause(_caught(lambda: question(tmp_path)))
    assert en in text.en
    assert zh in text.zh
    assert "Errno" not in text.en
    assert not any(word in text.zh for word in ("Errno", "file", "directory", "Expect", "line "))


def test_what_is_not_in_the_list_still_has_its_number() -> None:
    """An error of the system that nobody foresaw keeps what the system said."""
    text = cause(OSError(71, "Protocol error"))
    assert text.en == "Protocol error"
    assert "71" in text.zh
