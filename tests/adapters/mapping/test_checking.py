"""What is missing in a mapping is found, what becomes of a sample is shown, a draft says what to decide."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from adapters.mapping.abbreviations import MEANINGS
from adapters.mapping.checking import findings
from adapters.mapping.drafting import Draft
from adapters.mapping.parsing import load, read
from adapters.mapping.places import shape_at
from adapters.mapping.sources import from_database, from_openapi, from_sample
from adapters.mapping.trying import try_message, try_record
from exchange.acts import Kind
from exchange.cli.root import run
from tests.adapters.table.city import WORK_ORDER

TABLE = Path(__file__).parent.parent / "table"
HEAD = '[platform]\nname = "x"\nzone = "+08:00"\n[sheets.fk]\nkey = ["ID"]\nstatus = "ZT"\n'
HEAR = '[[hear]]\nkind = "*"\nsheet = "fk"\ncolumns = { ID = { new = "{serial}" } }\n'
CREATED = '"header.created" = "SJ"'
CODES = '[codes.lx]\nunmapped = "refuse"\n[codes.lx.values]\n"1" = "PHASE_ACCEPTED"\n"2" = "PHASE_REPLIED"\n'


def say(kind: str, fields: str, rest: str = "") -> str:
    """Return a say rule."""
    return f'[[say]]\nkind = "{kind}"\nsheet = "fk"\n{rest}\nfields = {{ {fields} }}\n'


PROGRESS = f'{CREATED}, "disposal.content" = "NR"'


@pytest.mark.parametrize(
    ("text", "weight", "key", "found"),
    [
        (say("progress", '"disposal.content" = "NR"') + HEAR, "error", "say[0]", "without header.created"),
        (say("progress", CREATED) + HEAR, "error", "say[0]", "without disposal"),
        (say("return", f'{CREATED}, "grounds.text" = "NR"') + HEAR, "error", "say[0]", "without act.ground"),
        (say("offer", f'{CREATED}, "act.profile" = "P"') + HEAR, "error", "say[0]", "header.recipient"),
        (say("supplement", CREATED) + HEAR, "error", "say[0]", "content.…"),
        (
            say("open_ticket", f'{CREATED}, "act.kind" = {{ value = "TICKET_KIND_WORK_ORDER" }}, "act.region" = "Q",'
                ' "identity.record_number" = "ID", "matter.title" = "T", "content.content" = "C",'
                ' "matter.catalogue_items[0].item_id" = "I"') + HEAR,
            "error", "say[0]", "without matter.catalogue_items[0].edition",
        ),
        (
            say("progress", PROGRESS + ', "disposal.unit_name" = { column = "DW", separator = "/", part = 1 }') + HEAR,
            "error", "say[0]", "part 0 of the column DW",
        ),
        (say("progress", PROGRESS) + say("progress", PROGRESS) + HEAR, "error", "say[1]", "never reached"),
        (
            say("progress", PROGRESS, 'when = { LX = ["1", "2"] }\nrevision = ["R"]')
            + say("close", CREATED, 'when = { LX = "2" }') + HEAR,
            "error", "say[1]", "say[0] holds wherever it does",
        ),
        (say("progress", PROGRESS, 'when = "1 > 2"') + HEAR, "error", "say[0].when", "never true"),
        (say("progress", PROGRESS, 'after = ["take"]') + HEAR, "error", "say[0].after", "'take'"),
        (HEAR + '[[hear]]\nkind = "take"\nsheet = "fk"\ncolumns = { ID = { new = "{serial}" } }\n', "error", "hear[1]", "never reached"),
        (say("progress", PROGRESS), "error", "hear", "take, return"),
        (HEAR.replace('"*"', '"*"\nwhen = { "header.urgency" = "urgent" }'), "warning", "hear[0]", "on conditions only"),
        (
            CODES + say("progress", PROGRESS + ', "act.phase" = { column = "LX", codes = "lx" }', 'when = { LX = "1" }') + HEAR,
            "warning", "say[0]", "LX = '2'",
        ),
        (
            CODES + say("progress", PROGRESS + ', "act.phase" = { column = "LX", codes = "lx" }', 'when = { LX = "9" }') + HEAR,
            "warning", "say[0].when", "LX = '9'",
        ),
        (
            CODES + HEAR.replace("columns", 'fields = { "act.phase" = { column = "LX", codes = "lx" } }\ncolumns'),
            "warning", "codes.lx", "PHASE_ON_SCENE",
        ),
        (CODES + HEAR, "warning", "codes.lx", "used by no rule"),
        (say("progress", f'{PROGRESS}, "act.mark_digests[0]" = {{ digest = ["A"], key = "none.key" }}') + HEAR, "error", "act.mark_digests", "none.key"),
        (say("progress", f'{CREATED}, "disposal.content" = "?"') + HEAR, "error", "disposal.content", "must decide"),
    ],
)  # fmt: skip
def test_what_is_missing_is_found(
    tmp_path: Path, text: str, weight: str, key: str, found: str
) -> None:
    """One thing wrong with a file that can be read: found at its key, with its weight."""
    path = tmp_path / "m.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    all_found = [(one.weight.value, one.key, one.text.en) for one in findings(load(path))]

    assert [
        one for one in all_found if one[0] == weight and key in one[1] and found in one[2]
    ], all_found  # fmt: skip


def test_every_kind_can_be_said_and_heard(tmp_path: Path) -> None:
    """A mapping can reach each of the kinds, and every kind that arrives finds its record."""
    filled = {
        "release": '"act.take_over_digest" = { newest = "take_over" }',
        "clear_danger": '"act.mark_digest" = { newest = ["mark_danger", "offer"] }, "disposal.content" = "NR"',
        "grant_extension": '"act.request_digest" = { newest = "request_extension" }',
        "rule": '"act.outcome" = { value = "RULING_OUTCOME_HANDLER_KEEPS" }, "act.position_digest" = { newest = "position" }',
        "open_ticket": '"act.kind" = { value = "TICKET_KIND_WORK_ORDER" }, "act.region" = "Q", '
        '"identity.record_number" = "ID", "matter.title" = "T", "content.content" = "NR"',
        "offer": '"header.recipient" = "R", "act.profile" = "P", "act.profile_edition" = "P", "act.catalogue_edition" = "P"',
        "return": '"act.ground" = { value = "RETURN_GROUND_OTHER" }, "grounds.text" = "NR"',
        "refuse": '"grounds.text" = "NR"', "reopen": '"grounds.text" = "NR"',
        "result": '"act.settlement" = { value = "SETTLEMENT_SETTLED" }, "disposal.content" = "NR"',
        "progress": '"disposal.content" = "NR"', "supplement": '"content.content" = "NR"',
        "position": '"act.agrees_to" = { value = "RULING_OUTCOME_JOINT" }',
        "supervise": '"act.due_time" = "SJ", "supervision.form" = { value = "SUPERVISION_FORM_REMINDER" }, "supervision.opinion" = "NR"',
        "visit": '"act.satisfaction" = { value = "SATISFACTION_SATISFIED" }, "visit.visit_id" = "ID", "visit.visit_time" = "SJ"',
        "evaluate": '"evaluation.text" = "NR"',
        "call": '"call.calls[0].call_leg_id" = "ID", "call.calls[0].mode" = { value = "CALL_MODE_THREE_PARTY" }, "call.calls[0].start_time" = "SJ"',
        "request_extension": '"act.new_due_time" = "SJ", "extension.text" = "NR"',
        "mark_danger": '"hazard.description" = "NR"',
        "emergency": '"act.level" = { value = "EMERGENCY_LEVEL_GENERAL" }, "emergency.event_id" = "ID", "emergency.title" = "T", "emergency.start_time" = "SJ"',
    }  # fmt: skip
    path = tmp_path / "m.toml"
    rules = [
        say(
            kind.value,
            ", ".join(filter(None, (CREATED, filled.get(kind.value)))),
            f'when = {{ LX = "{kind.value}" }}',
        )
        for kind in Kind
    ]
    path.write_text(HEAD + "".join(rules) + HEAR, encoding="utf-8")
    document = load(path)
    row = {
        "ID": "1",
        "SJ": "2026-11-22 10:00:00",
        "Q": "140400",
        "NR": "内容",
        "T": "标题",
        "R": "140400000000",
        "P": "x",
    }
    tried = {kind: try_record(document, "fk", {**row, "LX": kind.value}) for kind in Kind}

    assert [] == [one for one in findings(document) if one.weight.value == "error"]
    assert {kind: [kind] for kind in Kind} == {
        kind: [m.kind for _, m in one.said] for kind, one in tried.items()
    }
    assert dict.fromkeys(Kind, ()) == {kind: one.wrong for kind, one in tried.items()}
    heard = {
        kind: try_message(document, {"kind": kind.value, "act": {}, "groups": {}}) for kind in Kind
    }
    assert {"fk"} == {one.sheet for one in heard.values()}


def test_the_commands_speak_to_a_stranger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Check and try, by hand and for a script, in both languages, with good and bad input."""
    good, sample, broken = str(TABLE / "police.toml"), tmp_path / "s.json", tmp_path / "b.toml"
    sample.write_text(
        '{"FKID": "1", "JJDBH": "J", "YY": "04", "THLYDM": "77", "FKNR": "x", "FKSJ": "20261122100000"}',
        "utf-8",
    )
    broken.write_text(HEAD.replace("zone", "zonne"), "utf-8")
    nothing = tmp_path / "n.json"
    nothing.write_text("[1]", "utf-8")
    said = []
    for line in (
        ["mapping", "check", good],
        ["mapping", "check", str(broken), "--lang", "zh"],
        ["mapping", "check", str(broken), "--json"],
        ["mapping", "try", good, str(sample), "--sheet", "fk"],
        ["mapping", "try", good, str(sample), "--sheet", "fkk", "--lang", "zh"],
        ["mapping", "try", good, str(nothing)],
        ["mapping", "check", str(tmp_path / "none.toml")],
        ["mapping", "draft"],
    ):  # fmt: skip
        code = run(line, {"LANG": "C"})
        captured = capsys.readouterr()
        said.append((code, captured.out, captured.err))

    assert [0, 1, 1, 1, 1, 1, 2, 2] == [code for code, *_ in said]
    assert "is a good mapping." in said[0][1]
    assert "缺少该键；“zonne”是否为其误写？" in said[1][1]
    assert 3 == json.loads(said[2][1])["findings"][0]["line"] or "zonne" in said[2][1]
    assert "THLYDM: the code '77' is not in the code table 'thly'" in said[3][2]
    assert "没有表“fkk”" in said[4][2]
    assert "holds no JSON object" in said[5][2]
    assert "none.toml" in said[6][2]
    assert "--openapi" in said[7][2]


def test_a_division_that_the_bridge_would_refuse_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record is sound, and REGION_UNKNOWN is said before anything is sent."""
    sample = tmp_path / "s.json"
    said = []
    for region in ("140403", "149999"):
        sample.write_text(json.dumps(WORK_ORDER | {"XZQHDM": region}), "utf-8")
        line = [
            "mapping",
            "try",
            str(TABLE / "hotline.toml"),
            str(sample),
            "--sheet",
            "gd",
            "--json",
        ]
        said.append((run(line, {}), json.loads(capsys.readouterr().out)["warned"]))

    assert (0, []) == said[0]
    code, (warned,) = said[1]
    assert 0 == code
    assert warned["en"].startswith("REGION_UNKNOWN: There is no division 149999.")
    assert "除非网桥自有区划表" in warned["zh"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('[[say]]\nkind="open_ticket"\nsheet="gd"\n[[say.attachments]]\npath="A"\n', "waits for no file"),
        ('[[say]]\nkind="supplement"\nsheet="gd"\n[[say.attachments]]\npath="A"\nurl="B"\n', "exactly one of these"),
        ('[[say]]\nkind="supplement"\nsheet="gd"\n[[say.attachments]]\nname="A"\n', "exactly one of these"),
        ('[[say]]\nkind="supplement"\nsheet="gd"\n[[say.attachments]]\npath="A"\n', "in [attachments]"),
        ('[attachments]\nmax_bytes = 0\n', "must be 1 to"),
        ('[attachments]\n[[say]]\nkind="supplement"\nsheet="gd"\n[[say.attachments]]\npath="A"\n', "rows name paths"),
        ('[attachments]\nfolder = "."\n', "this mapping lies in it"),
        ('[attachments]\nfolder = "/"\n', "this mapping lies in it"),
        ('[attachments.heard]\nsheet = "gd"\ncolumns = { A = "path" }\n', "kept as paths"),
        ('[attachments]\ntypes = ["JPG"]\n', "'JPG' is no media type"),
        ('[attachments]\nfoldr = "x"\n', "did you mean 'folder'"),
        ('[attachments.heard]\nsheet = "gd"\ncolumns = { A = "name" }\n', "no column takes the bytes"),
        ('[attachments.heard]\nsheet = "gd"\ncolumns = { A = "pth" }\n', "'pth' is not known"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_mapping_of_files_is_named(
    tmp_path: Path, more: str, why: str
) -> None:
    """Each mistake with its place and what would be right."""
    path = tmp_path / "m.toml"
    path.write_text((TABLE / "hotline.toml").read_text("utf-8") + more, "utf-8")

    assert [why for one in read(path).faults if why in one.text.en], read(path).faults


def test_abbreviations_name_places_that_are_there() -> None:
    """Whatever a draft proposes is a place of the contract."""
    assert set() == {
        one.place for one in MEANINGS.values() if shape_at(one.place, tuple(Kind)).type == "object"
    }
    assert {"person.telephone", "content.content", "place.address", "identity.record_number"} <= {
        MEANINGS[name].place for name in ("bjdh", "bjnr", "afdd", "jjdbh")
    }  # fmt: skip
    assert ("police.jurisdiction_unit.code", "act.region") == (
        MEANINGS["gxdwdm"].place,
        MEANINGS["xzqhdm"].place,
    )


def test_a_database_that_is_not_there_or_empty_is_no_draft(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither an empty file nor an empty mapping comes of a misspelt name."""
    missing, empty = tmp_path / "nowhere.db", tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    empty.touch()

    assert 2 == run(["mapping", "draft", "--database", f"sqlite:///{missing}"], {})
    assert "no database file" in capsys.readouterr().err
    assert not missing.exists()
    assert 1 == run(["mapping", "draft", "--database", f"sqlite:///{empty}"], {})
    assert "no table or view" in capsys.readouterr().err


def test_a_draft_can_be_read_and_names_what_to_decide(tmp_path: Path) -> None:
    """From tables, a sample and an OpenAPI file: TOML whose open places check names, and nothing else."""
    database = tmp_path / "p.db"
    with sqlite3.connect(database) as made:
        made.executescript(
            "CREATE TABLE JJD (JJDBH TEXT PRIMARY KEY, BJDH TEXT, BJNR TEXT, AFDD TEXT, GXDWDM TEXT, XZQHDM TEXT, FKBH TEXT,"
            " JJSJ VARCHAR(14), BJRXB TEXT, QT TEXT, TSZT TEXT);"
            "CREATE TABLE FK (FKBH TEXT PRIMARY KEY, JJDBH TEXT, FKLX TEXT, FKNR TEXT, FKSJ VARCHAR(14), TSZT TEXT);"
            "INSERT INTO JJD (JJDBH, BJRXB, BJDH) VALUES ('1', '1', '13900000000'), ('2', '2', '13900000001');"
        )
    made.close()
    sample = tmp_path / "order.json"
    sample.write_text(
        '{"orderNum": "1", "caller": {"phone": "1", "name": "x"}, "content": "c", "createTime": "2026-11-22 10:00:00"}',
        "utf-8",
    )
    openapi = tmp_path / "api.json"
    schema = {"type": "object", "properties": {"jjdbh": {"type": "string"}, "bjnr": {"type": "string"},
              "sj": {"$ref": "#/components/schemas/T"}, "bjsj": {"type": "string", "format": "date-time"}}}  # fmt: skip
    openapi.write_text(
        json.dumps(
            {
                "components": {
                    "schemas": {
                        "Alarm": schema,
                        "T": {"type": "object", "properties": {"x": {"type": "string"}}},
                    }
                }
            }
        ),
        "utf-8",
    )
    drafts = {
        "tables": Draft(from_database(f"sqlite:///{database}", ()), police=True).text(),
        "sample": Draft(from_sample(sample), police=False).text(),
        "openapi": Draft(from_openapi(openapi, ["Alarm"]), police=True).text(),
    }
    for name, draft in drafts.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(draft, encoding="utf-8")
        found = read(path)
        assert found.document is not None, (name, found.faults)
        open_ones = [one.text.en for one in found.faults] or [
            one.text.en for one in findings(found.document) if one.weight.value == "error"
        ]
        assert [] == [one for one in open_ones if "?" not in one and "decide" not in one], name

    assert '"person.telephone" = { column = "BJDH", clean = "phone" }' in drafts["tables"]
    assert '# "?" = "QT"' in drafts["tables"]
    opening = drafts["tables"].partition('kind = "open_ticket"')[2].partition("[[say]]")[0]
    assert '\n"disposal.feedback_id"' not in opening  # a feedback's own number is said by no ticket
    assert '# "disposal.feedback_id" = "FKBH"' in opening
    assert '"1" = "?"' in drafts["tables"]
    assert "13900000000" not in drafts["tables"]  # no person's data is read for a draft
    assert '"person.telephone" = { column = "caller.phone"' in drafts["sample"]
    assert '"intake.report_time" = { column = "bjsj", time = "rfc3339" }' in drafts["openapi"]
