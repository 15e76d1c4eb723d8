"""
What the operating system and Python's readers say, for people, in both languages.

``[Errno 2] No such file or directory`` tells an operator neither in their language nor what to do.
A cause is the part of a sentence after its colon: what is the matter, and the next step; it ends
without a full stop.
"""

from __future__ import annotations

import errno
import json
import re

from exchange.text import Text

_SYSTEM: dict[int, Text] = {
    errno.ENOENT: Text(
        en="there is no such file or folder; check the path", zh="没有该文件或文件夹，请检查路径"
    ),
    errno.EACCES: Text(
        en="this user may not open it; check its owner and mode, or run as the user it belongs to",
        zh="当前用户无权打开，请检查属主与权限，或以其属主身份运行",
    ),
    errno.EPERM: Text(
        en="this user may not do that; run as the user it belongs to",
        zh="当前用户无权进行此操作，请以其属主身份运行",
    ),
    errno.EISDIR: Text(en="it is a folder; name a file in it", zh="这是文件夹，请指定其中的文件"),
    errno.ENOTDIR: Text(
        en="a part of the path is a file, not a folder; check the path",
        zh="路径中有一段是文件而非文件夹，请检查路径",
    ),
    errno.EEXIST: Text(
        en="it is there already; name another or move it away", zh="已存在，请换名或先移走"
    ),
    errno.ENOSPC: Text(en="the disk is full; make room and try again", zh="磁盘已满，请清理后重试"),
    errno.EDQUOT: Text(
        en="this user's share of the disk is used up; make room and try again",
        zh="磁盘配额已用尽，请清理后重试",
    ),
    errno.EROFS: Text(
        en="the file system is read-only; choose another place",
        zh="文件系统为只读，请换用其他位置",
    ),
    errno.EIO: Text(
        en="the disk cannot be read or written; check its health", zh="磁盘读写出错，请检查磁盘状态"
    ),
    errno.EMFILE: Text(
        en="too many files are open; raise the limit (ulimit -n)",
        zh="打开的文件过多，请调高上限（ulimit -n）",
    ),
    errno.ENAMETOOLONG: Text(en="the name is too long; shorten it", zh="名称过长，请缩短"),
    errno.ELOOP: Text(en="its links lead back to themselves; mend them", zh="符号链接成环，请修正"),
    errno.EADDRINUSE: Text(
        en="another program uses this address; stop it or choose another",
        zh="地址已被其他程序占用，请停止该程序或换用其他地址",
    ),
    errno.EADDRNOTAVAIL: Text(
        en="this machine has no such address; choose one of its own",
        zh="本机没有该地址，请使用本机地址",
    ),
    errno.ECONNREFUSED: Text(
        en="nothing listens there; check address and port, and whether it runs",
        zh="该处无程序监听，请检查地址、端口及对方是否在运行",
    ),
}
_OTHER = Text(en="{said}", zh="系统报告错误 {number}（{said}）")

_NOT_UTF8 = Text(
    en="byte {byte} is not UTF-8; save the file as UTF-8 (it may be GBK or UTF-16)",
    zh="第 {byte} 字节不是 UTF-8 编码，请将文件另存为 UTF-8（原文件可能为 GBK 或 UTF-16）",
)
_TOML = Text(
    en="line {line}, column {column} is not TOML ({said}); mend that line",
    zh="第 {line} 行第 {column} 列不符合 TOML 语法，请修正该行",
)
_TOML_END = Text(
    en="it ends in the middle of a TOML line ({said}); complete it",
    zh="文件在一行 TOML 未写完处结束，请补全",
)
_TOML_PLACE = re.compile(r"(?P<said>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)")
_JSON = Text(
    en="line {line}, column {column} is not JSON: {said}",
    zh="第 {line} 行第 {column} 列不符合 JSON 语法：{said}",
)
# By how Python's sentence begins.
_JSON_SAID: dict[str, Text] = {
    "Expecting value": Text(
        en="a value is missing or unquoted here", zh="此处缺少值，或字符串未加引号"
    ),
    "Expecting property name": Text(
        en="a key in double quotes is expected here", zh="此处应为双引号括起的键"
    ),
    "Expecting ',' delimiter": Text(en="a comma is missing before this", zh="此处之前缺少逗号"),
    "Expecting ':' delimiter": Text(en="a colon is missing before this", zh="此处之前缺少冒号"),
    "Extra data": Text(
        en="something follows after the object's end", zh="对象结束之后还有多余内容"
    ),
    "Unterminated string": Text(
        en="the string that begins here has no closing quote", zh="此处开始的字符串没有结束引号"
    ),
    "Invalid control character": Text(
        en=r"a line break or tab stands inside a string; write \n or \t",
        zh=r"字符串中有换行或制表符，请写作 \n 或 \t",
    ),
    "Invalid": Text(en=r"a backslash must be written \\", zh=r"反斜杠应写作 \\"),
    "Illegal trailing comma": Text(en="remove this comma", zh="请删除此处的逗号"),
}
_NUMBER = Text(en="a number in it is too long to read", zh="其中的数字过长，无法读取")


def cause(error: OSError | ValueError) -> Text:
    """Return why a file could not be opened or read, and what to do, for people."""
    if isinstance(error, OSError):
        known = _SYSTEM.get(error.errno or 0)
        said = error.strerror or type(error).__name__
        return known or _OTHER.fill(said=said, number=error.errno or type(error).__name__)
    if isinstance(error, UnicodeDecodeError):
        return _NOT_UTF8.fill(byte=error.start + 1)
    if isinstance(error, json.JSONDecodeError):
        told = next((t for start, t in _JSON_SAID.items() if error.msg.startswith(start)), None)
        at = {"line": error.lineno, "column": error.colno}
        return Text(
            en=_JSON.en.format(said=told.en if told else error.msg, **at),
            zh=_JSON.zh.format(said=told.zh if told else error.msg, **at),
        )
    place = _TOML_PLACE.fullmatch(str(error))
    if place is not None:
        return _TOML.fill(**place.groupdict())
    if str(error).endswith("(at end of document)"):
        return _TOML_END.fill(said=str(error).removesuffix(" (at end of document)"))
    return _NUMBER if "digits" in str(error) else Text(en=str(error), zh=str(error))
