"""The rows and files of a pack: written as the bank wants them, and every rule that a row breaks told."""

import json
from datetime import date, timedelta
from io import BytesIO
from itertools import pairwise
from typing import Any

import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tables import BUSINESS, DAY, SITE, Row, at, call, calls, inventory, named, rows_of

from reconcile.documents import documents
from reconcile.errors import RuleError
from reconcile.frames import LISTING, NOTES, SENT, SUMMARY
from reconcile.matching import match
from reconcile.pack import Pack, Split
from reconcile.pack_files import named as file_named
from reconcile.pack_files import parts, table
from reconcile.pack_rows import PackRows, fields_of, not_sent, pack_rows, summary_fields, with_published
from reconcile.rules import Rules

ZONE, RULES = "Asia/Shanghai", Rules()
NOT_QUOTED = "it holds a delimiter or a line end, and nothing is quoted"
PERIOD = (date(2021, 1, 1), DAY)


def pack(*columns: Row, **more: Any) -> Pack:
    given: Row = {"pack": "bank", "title": "Bank", "rows": "calls", "file": {"name": "rows.csv"}, "columns": columns}
    return Pack.model_validate(given | more)


def fields(
    wanted: Pack, rows: list[Row], files: list[Row] | None = None, notes: list[Row] | None = None
) -> pl.DataFrame:
    of_calls, of_files = calls(*rows), inventory(*(files or []))
    known = rows_of(NOTES, *(notes or []))
    found = documents(of_calls, known, of_files, match(of_calls.lazy(), of_files.lazy(), RULES), RULES.numbers)
    made = fields_of(wanted, found, known, RULES)
    if wanted.rows != "recordings":
        return made
    objects = [{"key": key, "size": 1000, "etag": None, "last_modified": at("13:00:00")} for key in made["key"]]
    return with_published(made, rows_of(LISTING, *objects))


def made(wanted: Pack, rows: list[Row], **more: Any) -> PackRows:
    return pack_rows(wanted, fields(wanted, rows, **more), ZONE)


def texts(found: PackRows) -> list[tuple[str, ...]]:
    return found.rows.select(pl.col("^[0-9]+$")).rows()


def note(text: str, call_id: str = "c1", **columns: Any) -> Row:
    return {
        "business": BUSINESS, "site": SITE, "dataset": "notes", "day": DAY, "note_uid": f"n-{text}", "call_id": call_id,
        "written_at": at("18:00:00"), "attributes": json.dumps({"内容": text}), "source_file": "n.csv", "source_row": 2,
    } | columns  # fmt: skip


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ({"field": "call_id"}, "c1"),
        ({"field": "started_at"}, "2021-01-31 09:00:00"),
        ({"field": "started_at", "format": "%Y%m%d%H%M%S"}, "20210131090000"),
        ({"field": "ended_at", "format": "%H:%M:%S"}, "09:00:05"),
        ({"field": "day", "format": "%d.%m.%Y"}, "31.01.2021"),
        ({"field": "talk_seconds"}, "5"),
        ({"field": "talk_seconds", "decimals": 2}, "5.00"),
        ({"field": "number"}, "15372388463"),
        ({"field": "attribute.银行"}, "工行"),
        ({"field": "attribute.金额", "decimals": 1}, "1200.5"),
        ({"field": "attribute.没有"}, ""),
        ({"fixed": "0010"}, "0010"),
        ({"template": "{call_id}-{day:%m}"}, "c1-01"),
        ({"computed": "talk_seconds * 2", "decimals": 0}, "10"),
        ({"computed": 'upper("attribute.code")'}, "A1"),
        ({"computed": "1 + 1"}, "2"),
        ({"field": "attribute.银行", "codes": {"工行": "ICBC"}}, "ICBC"),
        ({"field": "attribute.code", "codes": {"b": "x"}, "otherwise": "-"}, "-"),
        ({"field": "attribute.没有", "codes": {"b": "x"}, "otherwise": "-"}, ""),
        ({"field": "row"}, "1"),
    ],
)
def test_a_column_is_written_as_it_says(column: Row, text: str) -> None:
    attributes = json.dumps({"银行": "工行", "金额": "1200.50", "code": "a1"}, ensure_ascii=False)
    found = made(pack({"name": "x"} | column), [call("c1", attributes=attributes)])
    assert texts(found) == [(text,)]
    assert found.problems.is_empty()


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ({"required": True}, None, "it is empty"),
        ({"decimals": 2}, "12a", "it is no number"),
        ({"codes": {"a": "b"}}, "c", "the code table lacks it"),
        ({"max_length": 3}, "四个汉字", "it is longer than 3 characters"),
        ({"pattern": "[0-9]+"}, "1x", "it does not fit [0-9]+"),
        ({"pattern": "a|b"}, "ab", "it does not fit a|b"),
    ],
)
def test_a_rule_that_is_broken_is_told_with_row_and_column(column: Row, value: str | None, rule: str) -> None:
    rows = [call("c1", attributes="{}"), call("c2", "10:00:00", attributes=json.dumps({"v": value}))]
    good = made(pack({"name": "v", "field": "attribute.v"} | column | {"required": False}), rows[:1])
    assert good.problems.is_empty()
    found = made(pack({"name": "v", "field": "attribute.v"} | column, where="call_id = 'c2'"), rows)
    assert found.problems.rows() == [(1, "c2", "v", rule)]


def test_two_rows_with_the_same_are_both_told() -> None:
    found = made(pack({"name": "n", "field": "number", "unique": True}), [call("c1"), call("c2", "10:00:00")])
    assert found.problems.select("row", "rule").rows() == [(n, "another row has the same") for n in (1, 2)]


@pytest.mark.parametrize(
    ("file", "width", "value", "rule"),
    [
        ({"kind": "fixed", "encoding": "gb18030"}, 3, "汉字", "it is longer than 3 bytes"),
        ({"kind": "fixed"}, 9, "a\nb", "it holds a line end"),
        ({"encoding": "gbk"}, None, "😡", "gbk has no sign for it"),
        (
            {"quotes": "never", "delimiter": "|"},
            None,
            "a|b",
            "it holds a delimiter or a line end, and nothing is quoted",
        ),
        ({"kind": "xlsx"}, None, "x" * 32768, "it is longer than the 32,767 characters of a cell"),
    ],
)
def test_what_the_file_cannot_hold_is_told(file: Row, width: int | None, value: str, rule: str) -> None:
    column = {"name": "v", "field": "attribute.v", "width": width}
    found = made(pack(column, file={"name": "x", **file}), [call("c1", attributes=json.dumps({"v": value}))])
    assert found.problems["rule"].to_list() == [rule]


def written(wanted: Pack, rows: list[Row]) -> bytes:
    return table(wanted, made(wanted, rows).rows, DAY)


def test_a_csv_quotes_what_needs_it_and_changes_nothing_for_a_spreadsheets_sake() -> None:
    attributes = json.dumps({"备注": '=1+1,"x"', "空": ""})
    columns = [{"name": name, "field": f"attribute.{name}"} for name in ("备注", "空")]
    rows = [call("c1", attributes=attributes)]
    assert written(pack(*columns), rows).decode() == '备注,空\r\n"=1+1,""x""",\r\n'
    form = {"name": "x", "delimiter": "|", "line_end": "lf", "quotes": "always", "encoding": "gb18030", "header": False}
    assert written(pack(*columns, file=form), rows).decode("gb18030") == '"=1+1,""x"""|""\n'


def test_a_fixed_width_counts_bytes_of_its_encoding() -> None:
    columns = [
        {"name": "银", "field": "attribute.银行", "width": 6}, {"name": "秒", "field": "talk_seconds", "width": 4,
        "align": "right", "pad": "0"},
    ]  # fmt: skip
    rows = [call("c1", attributes=json.dumps({"银行": "工行"}))]
    form = {"name": "x", "kind": "fixed", "encoding": "gb18030", "line_end": "lf"}
    assert written(pack(*columns, file=form), rows) == "银    00秒\n工行  0005\n".encode("gb18030")


def test_a_spreadsheet_has_texts_that_are_no_formulas_and_numbers_that_are_numbers() -> None:
    columns = [{"name": "备注", "field": "attribute.备注"}, {"name": "秒", "field": "talk_seconds", "decimals": 1}]
    wanted = pack(*columns, file={"name": "x", "kind": "xlsx"})
    rows = [call("c1", attributes=json.dumps({"备注": "=HYPERLINK('x')"}))]
    content = written(wanted, rows)
    assert content == written(wanted, rows)
    sheet = openpyxl.load_workbook(BytesIO(content)).active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["备注", "秒"],
        ["=HYPERLINK('x')", 5],
    ]
    assert sheet["A2"].data_type == "s"


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9) | st.none(), st.integers(1, 90) | st.none())
def test_parts_together_are_the_whole_and_none_is_too_large(
    sizes: list[int], rows: int | None, size: int | None
) -> None:
    whole = pl.DataFrame({"size": sizes}, schema={"size": pl.Int64})
    cut = list(parts(whole, Split(rows=rows, bytes=size)))
    assert pl.concat(cut).equals(whole)
    for part in cut:
        assert rows is None or part.height <= rows
        assert size is None or part["size"].sum() <= size or part.height == 1
    # The first row of each part would not have fitted into the one before.
    for before, after in pairwise(cut):
        assert before.height == rows or (size is not None and before["size"].sum() + after["size"][0] > size)


def of_recordings(name: str, **more: Any) -> Pack:
    return pack({"name": "f", "field": "file"}, rows="recordings", recordings={"name": name}, **more)


def test_recordings_are_named_by_their_fields_and_no_field_leads_out() -> None:
    attributes = json.dumps({"案件": "../..", "路": "a/b:c"})
    rows = [call("c1", recording_path="x/A.WAV", attributes=attributes)]
    files = [named("09:00:00", "x/A.WAV")]
    name = "{attribute.案件}/{day:%Y%m%d}/{attribute.路}_{started_at:%H%M}.{suffix}"
    found = made(of_recordings(name), rows, files=files)
    assert found.rows["file"].to_list() == [".._../20210131/a_b_c_0900.wav"]
    dots = made(of_recordings("{attribute.案件}{leg}/x"), [rows[0] | {"attributes": '{"案件": ".."}'}], files=files)
    assert dots.rows["file"].to_list() == ["_/x"]


def test_two_recordings_of_one_name_and_one_that_is_not_published_are_told() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", "10:00:00", recording_path="b.wav")]
    files = [named("09:00:00", "a.wav"), named("10:00:00", "b.wav")]
    same = made(of_recordings("{extension}.wav"), rows, files=files)
    assert same.problems["rule"].to_list() == ["two recordings would have this name"] * 2
    wanted = of_recordings("{call_id}.wav")
    lost = with_published(fields(wanted, rows, files).drop("published"), LISTING.empty())
    assert pack_rows(wanted, lost, ZONE).problems["rule"].to_list() == ["the object store does not hold it whole"] * 2
    cut = with_published(lost.drop("published"), rows_of(LISTING, *({"key": key, "size": 999, "etag": None,
        "last_modified": at("13:00:00")} for key in lost["key"])))  # fmt: skip
    assert not cut["published"].any()
    only = of_recordings("{call_id}.wav", where="published")
    assert pack_rows(only, lost, ZONE).rows.is_empty()


def test_copies_that_are_transcoded_have_the_suffix_of_their_form() -> None:
    wanted = pack(
        {"name": "f", "field": "file"}, rows="recordings", recordings={"name": "{call_id}.{suffix}", "format": "mp3"}
    )  # fmt: skip
    rows, files = [call("c1", recording_path="a.wav")], [named("09:00:00", "a.wav")]
    assert made(wanted, rows, files=files).rows["file"].to_list() == ["c1.mp3"]


def test_notes_have_the_fields_of_the_first_leg_of_their_call_and_stay_without_one() -> None:
    wanted = pack(
        {"name": "n", "field": "note.内容"}, {"name": "e", "field": "extension"}, {"name": "t", "field": "written_at",
        "format": "%H:%M"}, rows="notes",
    )  # fmt: skip
    rows = [call("c1", leg="2", extension="9999"), call("c1", leg="1")]
    notes = [note("第二"), note("第一"), note("无", call_id="gone")]
    found = made(wanted, rows, notes=notes)
    assert texts(found) == [("无", "", "18:00"), ("第一", "2049", "18:00"), ("第二", "2049", "18:00")]
    assert found.rows["row_uid"].to_list() == ["n-无", "n-第一", "n-第二"]


def test_a_summary_is_added_up_by_month_and_site() -> None:
    row = dict.fromkeys(SUMMARY.columns, 0) | {"business": BUSINESS, "site": SITE, "day": DAY, "coverage": 1.0}
    days = [row | {"calls": 3, "complete": 1, "missing": 1}, row | {"day": DAY - timedelta(days=1), "calls": 4},
            row | {"day": DAY + timedelta(days=1), "calls": 9}, row | {"site": "gz", "calls": 7}]  # fmt: skip
    columns = [{"name": name, "field": name} for name in ("month", "site", "calls", "coverage")]
    wanted = pack(*columns, rows="summary", by=["month", "site"])
    found = pack_rows(wanted, summary_fields(wanted, pl.DataFrame(days, schema=SUMMARY.schema)), ZONE)
    assert texts(found) == [("2021-01", SITE, "7", "0.5"), ("2021-01", "gz", "7", "1"), ("2021-02", SITE, "9", "1")]


def test_what_was_sent_in_this_pack_is_not_sent_again() -> None:
    wanted = pack({"name": "c", "field": "call_id"})
    rows = fields(wanted, [call("c1"), call("c2", "10:00:00")])
    sent = {
        "business": BUSINESS, "site": SITE, "day": DAY, "pack": "bank", "row_uid": rows["row_uid"][0], "call_uid": None,
        "export": "x", "part": 1, "sent_at": at("12:00:00"),
    }  # fmt: skip
    assert not_sent(rows, rows_of(SENT, sent), "bank")["call_id"].to_list() == ["c2"]
    assert not_sent(rows, rows_of(SENT, sent | {"pack": "other"}), "bank").height == 2


def test_only_the_sites_that_are_wanted() -> None:
    rows = [call("c1"), call("c2", site="gz")]
    assert texts(made(pack({"name": "c", "field": "call_id"}, sites=["gz"]), rows)) == [("c2",)]


def test_a_condition_that_is_no_sql_is_told_with_the_fields() -> None:
    for wrong in ("nothing = 1", "talk_seconds >", "upper("):
        with pytest.raises(RuleError, match="write SQL over the fields"):
            made(pack({"name": "c", "field": "call_id"}, where=wrong), [call("c1")])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"columns": [{"name": "x", "field": "caled"}]}, "no field caled"),
        ({"columns": [{"name": "x", "field": "note.内容"}]}, "no field note.内容"),
        ({"columns": [{"name": "x", "field": "day", "fixed": "1"}]}, "one of field, fixed"),
        ({"columns": [{"name": "x"}]}, "one of field, fixed"),
        ({"recordings": {"name": "{call_id}"}}, "rows: recordings"),
        ({"by": ["month"]}, "only of a summary"),
        ({"rows": "summary", "columns": [{"name": "x", "field": "month"}]}, "only of a summary"),
        ({"file": {"name": "x", "kind": "fixed"}}, "has a width"),
        ({"file": {"name": "x/y"}}, "no plain name"),
        ({"file": {"name": "{day}"}}, "no field day"),
        ({"file": {"name": "{part"}}, "is no name"),
        ({"split": {"rows": 5}}, "every part alike"),
        ({"split": {"rows": 5}, "zip": "x.zip"}, "every part alike"),
        ({"column": []}, "Extra inputs"),
    ],
)
def test_a_pack_that_cannot_be_is_told(more: Row, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        pack(**{"columns": [{"name": "x", "field": "call_id"}], **more}) if "columns" in more else pack(
            {"name": "x", "field": "call_id"}, **more
        )


def test_a_name_of_a_file_tells_its_period_and_part() -> None:
    name = file_named("{business}_{pack}_{since:%Y%m%d}_{until:%m}_{part:03}.csv", "icbc", "meituan", PERIOD, 7)
    assert name == "meituan_icbc_20210101_01_007.csv"
