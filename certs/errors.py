"""What the tool says: sentences in both languages, and the one exception that carries them."""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence for people, in English and Chinese."""

    en: str
    zh: str

    def __str__(self) -> str:
        return self.en

    def say(self, language: str) -> str:
        """Return the sentence in *language*, ``"zh"`` or anything else for English."""
        return self.zh if language == "zh" else self.en


class Refused(Exception):
    """The tool did nothing; the sentence says what was asked, why not, and what to do next."""

    def __init__(self, *, en: str, zh: str) -> None:
        super().__init__(en)
        self.sentence = Sentence(en=en, zh=zh)


_SYSTEM = {
    errno.ENOENT: "文件或文件夹不存在",
    errno.EACCES: "没有权限",
    errno.EPERM: "不允许此操作",
    errno.EISDIR: "这是文件夹",
    errno.ENOTDIR: "路径中有一段不是文件夹",
    errno.ENOSPC: "磁盘空间已满",
    errno.EROFS: "文件系统只读",
    errno.ENAMETOOLONG: "名称过长",
}


def said(error: OSError) -> Sentence:
    """Return what the system says of *error*; in Chinese where it is one that people meet."""
    en = error.strerror or type(error).__name__
    return Sentence(en=en, zh=_SYSTEM.get(error.errno or 0, en))
