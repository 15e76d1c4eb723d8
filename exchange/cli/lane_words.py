"""What ``exchange lane`` says, in both languages."""

from __future__ import annotations

from exchange.text import Text

HEADS = Text(en="since|lane|of|kind|refused for", zh="起始|通道|机构|种类|拒收原因")
WORDS = {
    "lane": Text(en="lane", zh="通道"),
    "organisation": Text(en="of", zh="机构"),
    "author": Text(en="author", zh="发送方"),
    "message_id": Text(en="message", zh="消息"),
    "kind": Text(en="kind", zh="种类"),
    "ticket_id": Text(en="ticket", zh="单"),
    "since": Text(en="stands still since", zh="停滞自"),
    "newest": Text(en="declined last", zh="最近拒收"),
    "times": Text(en="declined, times", zh="拒收次数"),
    "waiting": Text(en="wait in it", zh="其中等候"),
    "original_bytes": Text(en="original, bytes", zh="原文字节数"),
    "set_aside": Text(en="set aside because", zh="搁置理由"),
    "set_aside_by": Text(en="set aside by", zh="搁置人"),
    "set_aside_at": Text(en="set aside at", zh="搁置时间"),
}
NONE = Text(en="No lane stands still.", zh="没有停滞的通道。")
NONE_ASIDE = Text(
    en="Nothing is set aside that was not written since.", zh="没有已搁置且此后未写入的消息。"
)
NO_LANE = Text(
    en="No lane or message '{name}' stands still here; see: exchange lane list",
    zh="此处没有名为“{name}”的停滞通道或消息，请查看：exchange lane list",
)
SEVERAL = Text(
    en="'{name}' begins {count} of them; write more of the id.",
    zh="“{name}”对应 {count} 项，请写出更多位。",
)
RECEIVERS = Text(
    en="{file} is a bridge's configuration. The original is kept where it could not be digested, and only that "
    "organisation asks for it again: run this there, with its gateway's configuration.",
    zh="{file} 是网桥配置。原文保存在未能写入的一方，也只能由该机构重新请求：请在其处用网关配置执行。",
)
KEPT = Text(
    en="The original is in {file}: it holds personal data, remove it when you are done.",
    zh="原文已写入 {file}：其中含个人信息，用毕请删除。",
)
EXISTS = Text(
    en="{file} is there already and stays as it is; name another file.",
    zh="{file} 已存在，未改动；请另取文件名。",
)
NOT_KEPT = Text(
    en="The original of {id} is not here: an older version declined it, or it was set aside longer than originals "
    "are kept. `exchange lane retry` brings it again.",
    zh="此处没有 {id} 的原文（由旧版本拒收，或搁置已超过保留期）。请执行 exchange lane retry 重新取得。",
)
UNREADABLE = Text(
    en="The original of {id} cannot be read as a message. Write it as it came: --out with a name that does not "
    "end in .json.",
    zh="{id} 的原文无法按消息解析。请原样写出：--out 的文件名不要以 .json 结尾。",
)
WHICH = Text(
    en="Which lane? Name it (exchange lane list), or give --all.",
    zh="请指明通道（见 exchange lane list），或使用 --all。",
)
NAMELESS = Text(
    en="Of message {id}, which an older version declined, no lane was noted. Restart the adapter: it asks for "
    "everything that it declined.",
    zh="消息 {id} 由旧版本拒收，未记录通道。请重启适配器，届时将重新请求全部拒收消息。",
)
INTERRUPTED = Text(
    en="Interrupted: what was asked for by then comes all the same. See: exchange lane list",
    zh="已中断：此前已请求的仍会送达。请查看：exchange lane list",
)
OUTCOMES = {
    "written": Text(
        en="{lane}: written now as {number}; the lane goes on.",
        zh="{lane}：已写入，记录号 {number}；通道恢复。",
    ),
    "declined": Text(
        en="{lane}: declined again ({code}): exchange lane show {message_id}",
        zh="{lane}：再次拒收（{code}）：exchange lane show {message_id}",
    ),
    "asked": Text(
        en="{lane}: asked for. The adapter has not said yet what became of it: does it run? See: exchange lane list",
        zh="{lane}：已请求重新送达，适配器尚无结果，请确认其是否运行，并查看：exchange lane list",
    ),
    "unknown": Text(
        en="{lane}: the bridge does not know this hand-off (any more), so there is nothing to ask for; its sender "
        "has to push it again.",
        zh="{lane}：网桥不认识（或已不再有）该移交，无从请求；须由移交方重新推送。",
    ),
}
