"""
What a platform's database complains of, said to whoever can mend it.

No value of a row stands in it: it may be a person's.  Nor does a password; of an address only host, port
and the database's name.
"""

from __future__ import annotations

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from exchange.text import Text

#: What drivers say or number when no connection comes about, and what to do: of each the first that fits.
#: Numbers are MariaDB's, words psycopg's, libpq's and SQLite's.
_CAUSES: tuple[tuple[tuple[str, ...], Text], ...] = (
    (
        ("(1045", "(1698", "password authentication failed", "no password supplied", "Access denied",
         "no pg_hba.conf entry", "role \""),
        Text(
            en="it does not let this user in. Check user and password in the URL, and that the database "
            "admits this machine",
            zh="拒绝该用户登录。请检查 URL 中的用户名、口令，以及数据库是否允许本机连接",
        ),
    ),
    (
        ("(1049", "database \""),
        Text(
            en="the server has no database of this name. Check the end of the URL",
            zh="服务器上没有该数据库。请检查 URL 末尾的库名",
        ),
    ),
    (
        ("Name or service not known", "translate host name", "getaddrinfo", "resolve host",
         "nodename nor servname", "No address associated"),
        Text(
            en="the name of the server is not known. Check the host in the URL, and this machine's DNS",
            zh="无法解析服务器名。请检查 URL 中的主机名与本机 DNS",
        ),
    ),
    (
        ("(1040", "too many clients", "too many connections", "remaining connection slots"),
        Text(
            en="it has no connection left. Ask its administrator for three more",
            zh="连接数已满。请管理员增加至少三个连接",
        ),
    ),
    (
        ("onnection refused", "[Errno 111]"),
        Text(
            en="nothing listens at this address. Is the database started, and is the port right?",
            zh="该地址无服务监听。请确认数据库已启动、端口正确",
        ),
    ),
    (
        ("timeout", "timed out", "No route to host", "unreachable", "[Errno 113]"),
        Text(
            en="it is not reached in time. Is a firewall between, or the network down?",
            zh="连接超时或不可达。请检查防火墙与网络",
        ),
    ),
    (
        ("(2006", "(2013", "server closed the connection", "terminating connection", "Lost connection",
         "the connection is closed", "connection is lost", "gone away", "(1927", "Connection was killed"),
        Text(
            en="it ended the connection. Was it restarted? A new one is made",
            zh="连接被数据库断开（是否重启）。将重新连接",
        ),
    ),
    (
        ("database is locked",),
        Text(
            en="another program holds it locked for more than ten seconds. Which one writes for so long?",
            zh="被其他程序锁定超过十秒。请检查长时间写入的程序",
        ),
    ),
    (
        ("unable to open database file",),
        Text(
            en="its file cannot be opened. Check the path in the URL, and who may read and write it and its "
            "folder",
            zh="无法打开数据库文件。请检查 URL 中的路径，以及文件和所在文件夹的读写权限",
        ),
    ),
    (
        ("disk is full", "database or disk is full", "No space left", "could not extend file", "(1114"),
        Text(en="its disk is full. Make room", zh="数据库磁盘已满。请清理空间"),
    ),
    (
        ("readonly database", "read-only transaction", "--read-only", "(1290"),
        Text(
            en="it is read-only. The adapter must write: name the primary server, or mend its rights",
            zh="数据库为只读。适配器须写入：请指向主库或修正权限",
        ),
    ),
)  # fmt: skip


#: What drivers say of a table or column that is not there, where they have no class of their own for it.
_CHANGED = ("no such table", "no such column", "has no column named", "(1054")


def changed(error: SQLAlchemyError) -> bool:
    """Return whether the database says that a table is not as it was."""
    original = str(getattr(error, "orig", None) or "")
    return original.startswith(("table ", *_CHANGED)) and any(one in original for one in _CHANGED)


def why(error: SQLAlchemyError) -> str:
    """Return what a database complains of, as its class and state: the rest may hold values."""
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
    name = type(original if original is not None else error).__name__
    if isinstance(error, NoSuchTableError):
        return f"no such table: {error}"
    if isinstance(error, DBAPIError) and original is not None:
        text = str(original)
        if text.startswith(
            ("no such", "table ", "NOT NULL", "UNIQUE", "unable to open", "database is locked")
        ):
            return text  # SQLite names tables and columns only
        diagnosis = getattr(original, "diag", None)
        if diagnosis is not None and diagnosis.column_name:
            return f"{name} {state or ''} ({diagnosis.column_name})"
    return f"{name} {state}" if state else name


def down(error: SQLAlchemyError, url: URL) -> Text:
    """Return that the database at *url* cannot be used now, why, and what to do."""
    original = getattr(error, "orig", None)
    text = str(original if original is not None else error)
    where = url.database or ""
    if url.host is not None:
        where = f"{url.host}{f':{url.port}' if url.port else ''}/{where}"
    for signs, cause in _CAUSES:
        if any(sign in text for sign in signs):
            return _DOWN.fill(where=where, why=why(error), en=cause.en, zh=cause.zh)
    return _DOWN.fill(where=where, why=why(error), en=_OTHER.en, zh=_OTHER.zh)


_DOWN = Text(
    en="The platform's database {where} cannot be used: {en} ({why}).",
    zh="平台数据库 {where} 无法使用：{zh}（{why}）。",
)
_OTHER = Text(
    en="its own log says more. Try the same URL with its own client",
    zh="详见数据库日志。请用其自带客户端以同一 URL 试连",
)
