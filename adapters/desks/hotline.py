"""
A 12345 hotline at work: 受理 → 派遣 → 处置 → 反馈 → 回复 → 结案 → 回访 (S3).

Its own matters are the police's, so it hands them over; what 110 hands to it, it takes and has done.
"""

from __future__ import annotations

from types import MappingProxyType

from adapters.desks.workflow import SCRIPTED, Rows, Step, Workflow
from exchange.text import Text

_AGENT = Text(en="agent", zh="话务员")
_LEADER = Text(en="shift leader", zh="班长")
_DISPATCHER = Text(en="dispatcher", zh="派单员")
_UNIT = Text(en="department", zh="承办单位")
_VISITOR = Text(en="visitor", zh="回访员")

_STEPS = (
    # -- its own matter, handed to 110
    Step(state="待受理", act=Text(en="receives the call", zh="受理"), who=_AGENT, minutes=(1, 5),
         leads="待移交", writes=("accept",)),
    Step(state="待移交", act=Text(en="hands it to 110", zh="审核移交"), who=_LEADER, minutes=(1, 10),
         leads="已移交待签收", writes=("hand_over",),
         words=("经核实属公安机关职责，请依法处置。", "涉及治安管理，转请110派警。")),
    Step(state="退回待审", act=Text(en="agrees to the return", zh="同意退回"), who=_LEADER, minutes=(5, 30),
         leads="自办待派遣", chance=60, says="同意退回", words=("同意退回，由12345转相关部门办理。",)),
    Step(state="退回待审", act=Text(en="refuses the return", zh="不同意退回"), who=_LEADER, minutes=(5, 30),
         leads="争议协商中", chance=40, says="不同意退回", words=("诉求涉及治安管理，请公安机关继续办理。",)),
    Step(state="待裁定续办", act=Text(en="rules: 110 goes on", zh="裁定由承办方续办"), who=_LEADER,
         minutes=(5, 60), leads="对方办理中", says="裁定", code="K", words=("双方协商一致，由110办理。",)),
    Step(state="待裁定首接", act=Text(en="rules: the first receiver does it", zh="裁定由首接方办理"), who=_LEADER,
         minutes=(5, 60), leads="自办待派遣", says="裁定", code="F",
         words=("协商不成，按首接负责由12345先行受理。",)),
    Step(state="自办待派遣", act=Text(en="dispatches a department itself", zh="派遣（自办）"), who=_DISPATCHER,
         minutes=(5, 30), leads="自办处置中", says="自办进展", code="02", writes=("dispatch",),
         words=("已派单至承办单位。",)),
    Step(state="自办处置中", act=Text(en="has done it", zh="处置反馈（自办）"), who=_UNIT, minutes=(60, 600),
         leads="自办待办结", says="自办反馈", code="1", writes=("finish",), words=("经现场处置，问题已解决。",)),
    Step(state="自办待办结", act=Text(en="replies to the caller", zh="回复（自办）"), who=_AGENT, minutes=(5, 60),
         leads="自办待结案", says="自办办结", writes=("reply",), words=("已将办理结果回复诉求人。",)),
    Step(state="自办待结案", act=Text(en="closes the order", zh="结案"), who=_LEADER, minutes=(5, 30),
         leads="自办待回访", says="结案", writes=("close",), words=("办结归档。",)),
    Step(state="自办待回访", act=Text(en="asks the caller", zh="回访"), who=_VISITOR, minutes=(60, 1440),
         leads="已归档", says="自办回访", code="1", writes=("visit",), words=("诉求人表示满意。",)),
    Step(state="待回复", act=Text(en="replies to the caller, who agrees", zh="回复"), who=_AGENT, minutes=(5, 60),
         leads="待结案", chance=85, says="办结", writes=("reply",), words=("已将结果告知诉求人，诉求人认可。",)),
    Step(state="待回复", act=Text(en="replies; the caller is not content", zh="回复未认可，退回重办"), who=_AGENT,
         minutes=(5, 60), leads="对方办理中", chance=15, says="重办",
         words=("诉求人反映问题再次出现，请继续办理。",)),
    Step(state="待结案", act=Text(en="closes the order", zh="结案"), who=_LEADER, minutes=(5, 30),
         leads="待回访", says="结案", writes=("close",), words=("办结归档。",)),
    Step(state="待回访", act=Text(en="asks the caller: satisfied", zh="回访：满意"), who=_VISITOR,
         minutes=(60, 1440), leads="已归档", chance=80, says="回访", code="1", writes=("visit",),
         words=("诉求人表示满意。", "诉求人表示感谢。")),
    Step(state="待回访", act=Text(en="asks the caller: so-so", zh="回访：基本满意"), who=_VISITOR,
         minutes=(60, 1440), leads="已归档", chance=12, says="回访", code="2", writes=("visit",),
         words=("诉求人认为处理时间偏长。",)),
    Step(state="待回访", act=Text(en="does not reach the caller", zh="回访：未接通"), who=_VISITOR,
         minutes=(60, 1440), leads="已归档", chance=8, says="回访", code="4", writes=("visit",),
         words=("两次拨打均未接通。",)),
    # -- 110's matter, handed to 12345
    Step(state="来单待签收", act=Text(en="takes it", zh="签收受理"), who=_AGENT, minutes=(2, 20),
         leads="待派遣", says="签收", words=("已签收。",)),
    Step(state="待派遣", act=Text(en="dispatches a department", zh="派遣"), who=_DISPATCHER, minutes=(5, 30),
         leads="待处置", chance=80, says="进展", code="02", writes=("dispatch",), words=("已派单至承办单位。",)),
    Step(state="待派遣", act=Text(en="asks to return it", zh="申请退回"), who=_DISPATCHER, minutes=(5, 30),
         leads="退回待确认", chance=20, says="退回", code="01", words=("经研判不属政务服务事项，建议由公安机关办理。",)),
    Step(state="待表态", act=Text(en="agrees to go on", zh="表态：同意续办"), who=_LEADER, minutes=(5, 60),
         leads="待对方裁定", chance=60, says="表态", code="K", words=("经协商，同意由12345继续办理。",)),
    Step(state="待表态", act=Text(en="keeps to its view", zh="表态：维持意见"), who=_LEADER, minutes=(5, 60),
         leads="待对方裁定", chance=40, says="表态", code="F", words=("仍认为不属政务服务事项，请按首接负责办理。",)),
    Step(state="续办待派遣", act=Text(en="dispatches a department", zh="派遣（续办）"), who=_DISPATCHER,
         minutes=(5, 30), leads="待处置", says="进展", code="02", writes=("dispatch",), words=("已派单至承办单位。",)),
    Step(state="待处置", act=Text(en="is at work", zh="处置"), who=_UNIT, minutes=(30, 300),
         leads="待反馈", says="进展", code="04", words=("承办单位已到现场，正在处置。",)),
    Step(state="待反馈", act=Text(en="gives its result", zh="反馈"), who=_UNIT, minutes=(30, 600),
         leads="已反馈待确认", says="反馈", code="1", writes=("finish",), words=SCRIPTED),
)  # fmt: skip

_HEARD = {
    ("已移交待签收", "take", ""): "对方办理中",
    ("对方办理中", "result", ""): "待回复",
    ("对方办理中", "return", ""): "退回待审",
    ("争议协商中", "position", "K"): "待裁定续办",
    ("争议协商中", "position", "F"): "待裁定首接",
    ("退回待确认", "agree", ""): "已退回",
    ("退回待确认", "refuse", ""): "待表态",
    ("待对方裁定", "rule", "K"): "续办待派遣",
    ("待对方裁定", "rule", "F"): "已退回",
    ("已反馈待确认", "close", ""): "对方已办结",
    ("已反馈待确认", "reopen", ""): "待处置",
    ("对方已办结", "close_ticket", ""): "已归档",
}

_ROWS = {
    Rows.COUNT: "SELECT count(*) FROM T_GD WHERE LYDH = ''",
    Rows.BEGIN: (
        "INSERT INTO T_GD (GDBH, BT, SQLXDM, SQNR, SQRXM, LXDH, DZ, XZQHDM, SXDM, JJCD, SLSJ, JSDWDM, GDZT, XBSJ) "
        "VALUES (:number, :title, '02', :content, :name, :telephone, :place, :region, :matter, '1', :now, :peer, "
        ":state, :due)"
    ),
    Rows.DUE: "SELECT GDBH, LYDH, GDZT, SXDM FROM T_GD WHERE coalesce(XBSJ, 0) <= :now ORDER BY XBSJ, GDBH",
    Rows.MOVE: "UPDATE T_GD SET GDZT = :state, XBSJ = :due WHERE GDBH = :record",
    Rows.SAY: (
        "INSERT INTO T_CZ (CZBH, GDBH, CZLX, CZNR, CZCS, CZR, CZSJ) "
        "VALUES (:number, :record, :says, :words, :code, :who, :now)"
    ),
    Rows.SAID: "SELECT count(*) FROM T_CZ WHERE GDBH = :record",
    Rows.CAME: (
        "SELECT w.LWBH, w.GDBH, g.GDZT, w.LWLX, coalesce(w.LWCS, ''), coalesce(w.DFDH, '') "
        "FROM T_LW w JOIN T_GD g ON g.GDBH = w.GDBH WHERE w.CLBZ = '0' ORDER BY w.rowid LIMIT 1"
    ),
    Rows.SEEN: "UPDATE T_LW SET CLBZ = '1' WHERE LWBH = :number",
    Rows.LINK: "UPDATE T_GD SET DFDH = :there WHERE GDBH = :record",
    Rows.STOPPED: (
        "SELECT 'T_CZ', CZBH, coalesce(TSXX, '') FROM T_CZ WHERE TSZT = '9' "
        "UNION ALL SELECT 'T_GD', GDBH, coalesce(TSXX, '') FROM T_GD WHERE TSZT = '9'"
    ),
    Rows.UNSENT: (
        "SELECT (SELECT count(*) FROM T_CZ WHERE TSZT = '0') + "
        "(SELECT count(*) FROM T_GD WHERE YJBZ = '1' AND TSZT = '0')"
    ),
    Rows.STANDING: "SELECT GDZT, count(*) FROM T_GD GROUP BY GDZT ORDER BY GDZT",
}

_STATEMENTS = {
    "accept": "UPDATE T_GD SET JDYGH = :who WHERE GDBH = :record",
    "hand_over": "UPDATE T_GD SET YJBZ = '1', YJYY = :words, YJSJ = :now WHERE GDBH = :record",
    "dispatch": "INSERT INTO T_PD (PDBH, GDBH, CBDW, PDY, PDSJ) VALUES (:number, :record, :unit, :who, :now)",
    "finish": "UPDATE T_PD SET BJSJ = :now, BLJG = :words WHERE GDBH = :record AND BJSJ IS NULL",
    "reply": "UPDATE T_GD SET HFNR = :words WHERE GDBH = :record",
    "close": "UPDATE T_GD SET JASJ = :now WHERE GDBH = :record",
    "visit": (
        "INSERT INTO T_HF (HFBH, GDBH, HFY, HFSJ, MYD, HFNR) VALUES (:number, :record, :who, :now, :code, :words)"
    ),
}

WORKFLOW = Workflow(
    name="hotline",
    title=Text(en="12345 hotline", zh="12345 热线"),
    prefix="GD",
    time="%Y-%m-%d %H:%M:%S",
    lists=("NM.P.", "XC.P."),
    first="待受理",
    ends=frozenset({"已归档", "已退回"}),
    steps=_STEPS,
    heard=MappingProxyType(_HEARD),
    rows=MappingProxyType(_ROWS),
    statements=MappingProxyType(_STATEMENTS),
    units=("城管局", "市场监管局", "住建局", "生态环境局", "交通运输局"),
)
