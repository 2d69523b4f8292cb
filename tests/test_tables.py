"""Rows are read without losing, shifting or inventing one."""

import csv
import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconcile.encodings import bytes_shown, decode
from reconcile.errors import UnreadableError
from reconcile.layouts import HeaderError, unique_names
from reconcile.tables import Table, parse_table, read_table

ASTERISK_16 = [
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start",
    "answer", "end", "duration", "billsec", "disposition", "amaflags",
]  # fmt: skip


def parse(data: bytes | str, header: list[str] | None = None, *, vectorised: bool = True) -> Table:
    raw = data.encode() if isinstance(data, str) else data
    return parse_table(decode(raw), headers=[header] if header else [], vectorised=vectorised)


def rows(table: Table) -> list[tuple[object, ...]]:
    return table.rows.rows()


def set_aside(table: Table) -> list[tuple[object, ...]]:
    return table.quarantined.rows()


def test_null_and_the_empty_text_are_told_apart() -> None:
    table = parse('a,b,c\n1,,""\n')
    assert rows(table) == [("1", None, "", 2)]
    assert table.rows.schema == {"a": pl.String, "b": pl.String, "c": pl.String, "source_row": pl.Int64}


def test_numbers_stay_the_text_that_they_are() -> None:
    table = parse("id,number\n007,+8613800000000\n1e5,1.0\n12345678901234567890,0x1F\n")
    assert [row[:2] for row in rows(table)] == [
        ("007", "+8613800000000"), ("1e5", "1.0"), ("12345678901234567890", "0x1F"),
    ]  # fmt: skip


def test_a_line_number_counts_physical_lines() -> None:
    table = parse('id,note\n1,"two\nlines"\n\n2,one\n3,"three\n\nlines"\n4,x\n')
    assert rows(table) == [("1", "two\nlines", 2), ("2", "one", 5), ("3", "three\n\nlines", 6), ("4", "x", 9)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_understood(end: str) -> None:
    table = parse(end.join(["id,note", "1,a", "2,", f'3,"x{end}y"', "4,b", ""]))
    assert rows(table) == [("1", "a", 2), ("2", None, 3), ("3", f"x{end}y", 4), ("4", "b", 6)]


def test_the_last_line_needs_no_end() -> None:
    assert rows(parse("id,note\n1,a\n2,b")) == [("1", "a", 2), ("2", "b", 3)]


def test_a_row_of_another_length_is_set_aside_and_none_is_shifted() -> None:
    table = parse("a,b,c\n1,2\n1,2,3\n1,2,3,4\n")
    assert rows(table) == [("1", "2", "3", 3)]
    assert set_aside(table) == [
        (2, "2 fields found, 3 expected", "1,2"),
        (4, "4 fields found, 3 expected", "1,2,3,4"),
    ]
    assert table.rows_in == 3


def test_one_row_too_long_does_not_make_up_for_one_too_short() -> None:
    table = parse("a,b\n1\n1,2,3\n4,5\n")
    assert rows(table) == [("4", "5", 4)]
    assert table.quarantined["source_row"].to_list() == [2, 3]


def test_only_the_line_with_the_unclosed_quote_is_set_aside() -> None:
    table = parse('id,note,n\n1,"open,2\n2,"closed",3\n3,plain,4\n')
    assert rows(table) == [("2", "closed", "3", 3), ("3", "plain", "4", 4)]
    assert set_aside(table) == [(2, "text follows a closing quote", '1,"open,2')]


def test_a_quote_that_no_later_line_closes_is_set_aside_alone() -> None:
    table = parse('id,note\n1,"open\n2,b\n3,c\n')
    assert rows(table) == [("2", "b", 3), ("3", "c", 4)]
    assert set_aside(table) == [(2, "a quote is never closed", '1,"open')]


def test_many_unclosed_quotes_cost_no_more_than_their_lines() -> None:
    data = "id,note\n" + '1,"open\n2,b\n' * 20_000
    table = parse(data)
    assert table.rows.height == 20_000
    assert table.quarantined.height == 20_000


def test_text_after_a_closing_quote_is_not_guessed_at() -> None:
    table = parse('id,note\n1,"a"b\n2,c\n')
    assert rows(table) == [("2", "c", 3)]
    assert table.quarantined["reason"].to_list() == ["text follows a closing quote"]


def test_a_quote_inside_an_unquoted_field_is_text() -> None:
    assert rows(parse('id,note\n1,5" disk\n2,x"y"\n')) == [("1", '5" disk', 2), ("2", 'x"y"', 3)]


def test_doubled_quotes_are_one() -> None:
    assert rows(parse('id,note\n1,"say ""hi"""\n2,""""\n')) == [("1", 'say "hi"', 2), ("2", '"', 3)]


def test_a_row_with_a_nul_byte_is_set_aside() -> None:
    table = parse(b"id,note\n1,a\0b\n2,c\n")
    assert rows(table) == [("2", "c", 3)]
    assert set_aside(table) == [(2, "it holds a NUL byte", "1,a\\x00b")]


def test_a_field_of_ten_megabytes_is_read() -> None:
    long, lines = "x" * 10_000_000, "line\n" * 2_000_000
    table = parse(f'id,note\n1,{long}\n2,"{lines}"\n3,c\n')
    assert [len(row[1]) for row in rows(table)] == [10_000_000, 10_000_000, 1]  # type: ignore[arg-type]
    assert table.rows["source_row"].to_list() == [2, 3, 2_000_004]


def test_what_is_set_aside_shows_its_first_500_characters() -> None:
    table = parse("a,b\n" + "x" * 1000 + "\n")
    assert [len(raw) for raw in table.quarantined["raw"]] == [500]


def test_blank_lines_are_no_rows() -> None:
    table = parse("\n  \nid,note\n\n1,a\n   \n2,b\n\n\n")
    assert rows(table) == [("1", "a", 5), ("2", "b", 7)]
    assert table.rows_in == 2


@pytest.mark.parametrize("data", ["", "\n", "\r\n\r\n", "\ufeff", "  \n"])
def test_an_empty_file_has_no_rows(data: str) -> None:
    table = parse(data)
    assert (table.rows.height, table.quarantined.height, table.rows_in) == (0, 0, 0)
    assert table.rows.columns == ["source_row"]


def test_an_empty_file_has_the_columns_that_were_given() -> None:
    assert parse("", ["a", "b"]).rows.columns == ["a", "b", "source_row"]


@pytest.mark.parametrize("data", ["call_id,start", "call_id,start\n", '"call_id","start"\r\n'])
def test_a_header_alone_is_no_row(data: str) -> None:
    table = parse(data)
    assert table.rows.columns == ["call_id", "start", "source_row"]
    assert table.rows_in == 0


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a_2", "a"], ["a", "a_2", "a_3"]),
        (["a", "", None, " b "], ["a", "column_2", "column_3", "b"]),
        (["source_row", "x"], ["source_row_2", "x"]),
        (["column_2", ""], ["column_2", "column_2_2"]),
    ],
)
def test_every_column_has_a_name_of_its_own(names: list[str | None], expected: list[str]) -> None:
    assert unique_names(names) == expected


def test_columns_of_one_name_are_both_kept() -> None:
    assert parse("a,a,\n1,2,3\n").rows.to_dicts() == [{"a": "1", "a_2": "2", "column_3": "3", "source_row": 2}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_recognised(delimiter: str) -> None:
    lines = ["id{}start{}fee", "1{}2021-01-31 11:41:29{}x", '2{}"a,b;c|d"{}']
    table = parse("\n".join(line.format(*[delimiter] * 2) for line in lines))
    assert rows(table) == [("1", "2021-01-31 11:41:29", "x", 2), ("2", "a,b;c|d", None, 3)]


def test_decimal_commas_do_not_make_a_semicolon_file_a_comma_file() -> None:
    assert rows(parse("id;fee;tax\n1;0,5;1,5\n2;0,7;2,5\n")) == [
        ("1", "0,5", "1,5", 2),
        ("2", "0,7", "2,5", 3),
    ]


def test_a_column_of_text_is_not_split_by_a_character_in_it() -> None:
    assert rows(parse("note\nplain\nwith | in it\nplain\n")) == [
        ("plain", 2),
        ("with | in it", 3),
        ("plain", 4),
    ]


def test_a_first_row_that_looks_like_data_is_data() -> None:
    table = parse("1612064489.1,2049,2021-01-31 11:41:29\n1612064489.2,2050,2021-01-31 11:42:00\n")
    assert table.rows.columns == ["column_1", "column_2", "column_3", "source_row"]
    assert table.rows["source_row"].to_list() == [1, 2]


def test_names_that_are_given_make_the_first_row_a_row() -> None:
    assert rows(parse("x,y\nz,w\n", ["a", "b"])) == [("x", "y", 1), ("z", "w", 2)]


def test_a_first_row_that_repeats_the_given_names_is_no_row() -> None:
    assert rows(parse("A, b\nx,y\n", ["a", "b"])) == [("x", "y", 2)]


def test_of_several_headers_the_one_that_most_rows_fit_holds() -> None:
    headers = [["a", "b"], ["a", "b", "c"]]
    table = parse_table(decode(b"1,2\n1,2,3\n4,5,6\n"), headers=headers)
    assert rows(table) == [("1", "2", "3", 2), ("4", "5", "6", 3)]
    assert set_aside(table) == [(1, "2 fields found, 3 expected", "1,2")]


def test_a_broken_header_is_said_to_be_broken(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text('id,"note"x\n1,a\n')
    with pytest.raises(UnreadableError, match=r"calls\.csv.*first row.*text follows a closing quote"):
        read_table(file)


def test_a_file_that_is_not_there_is_said_not_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")


def test_a_parquet_file_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "calls.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UnreadableError, match=r"calls\.parquet"):
        read_table(tmp_path / "calls.parquet")


CHINESE = "通话ID,主叫,备注\n1,13800000000,承诺还款，周五\n2,13900000000,无人接听\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (CHINESE.encode(), "utf-8"),
        (CHINESE.encode("utf-8-sig"), "utf-8-sig"),
        (CHINESE.encode("gbk"), "gb18030"),
        (("\ufeff" + CHINESE).encode("utf-16-le"), "utf-16-le"),
        (("\ufeff" + CHINESE).encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_each_encoding_gives_the_same_rows(data: bytes, encoding: str) -> None:
    table = parse(data)
    assert table.encoding == encoding
    assert table.rows.to_dicts() == [
        {"通话ID": "1", "主叫": "13800000000", "备注": "承诺还款，周五", "source_row": 2},
        {"通话ID": "2", "主叫": "13900000000", "备注": "无人接听", "source_row": 3},
    ]
    assert table.damaged_rows == frozenset()


def test_characters_of_four_bytes_in_gb18030_are_read() -> None:
    table = parse("姓名,备注\n㐀㐁,承诺还款\n".encode("gb18030"))
    assert rows(table) == [("㐀㐁", "承诺还款", 2)]


def test_a_byte_that_is_no_utf_8_is_shown_and_its_row_kept() -> None:
    table = parse("id,name\n1,张三\n2,".encode() + b"Jos\xe9 a" + "\n3,李四\n".encode())
    assert rows(table) == [("1", "张三", 2), ("2", "Jos\\xe9 a", 3), ("3", "李四", 4)]
    assert table.encoding == "utf-8"
    assert table.damaged_rows == {3}


def test_a_latin_1_name_alone_does_not_make_a_file_chinese() -> None:
    table = parse(b"id,name\n1,M\xfcller\n2,Smith\n")
    assert table.encoding == "utf-8"
    assert rows(table)[0] == ("1", "M\\xfcller", 2)


def test_a_damaged_line_in_a_gbk_file_keeps_the_others() -> None:
    data = "编号,备注\n".encode("gbk") + "1,承诺还款\n".encode("gbk") * 5 + b"2,\xff\n"
    table = parse(data)
    assert table.encoding == "gb18030"
    assert rows(table)[4:] == [("1", "承诺还款", 6), ("2", "\\xff", 7)]
    assert table.damaged_rows == {7}


def test_a_shown_byte_is_told_apart_from_text_that_looks_like_it() -> None:
    table = parse(b"id,path\n1,d:\\x86\\\xe9.wav\n2,d:\\x86\\a.wav\n")
    assert rows(table)[1] == ("2", "d:\\x86\\a.wav", 3)
    assert table.damaged_rows == {2}
    assert bytes_shown(str(rows(table)[0][1])) == ["d:", "\\", "x86\\", 0xE9, ".wav"]


def test_damage_in_the_middle_of_a_record_of_several_lines_is_known() -> None:
    table = parse(b'id,note\n1,"a\n\xe9\nb"\n2,c\n')
    assert rows(table) == [("1", "a\n\\xe9\nb", 2), ("2", "c", 5)]
    assert table.damaged_rows == {2}


def test_half_a_character_at_the_end_of_utf_16_loses_no_row() -> None:
    table = parse("\ufeffid,note\n1,a\n".encode("utf-16-le") + b"\x00\xd8")
    assert rows(table)[0] == ("1", "a", 2)
    assert table.rows_in == 2


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_no_bytes_can_break_the_reader(data: bytes) -> None:
    table = parse(data, ["a", "b"])
    assert table.rows_in == table.rows.height + table.quarantined.height
    assert table.rows.columns == ["a", "b", "source_row"]


FIELD = (
    st.none() | st.text(st.sampled_from('ab,"\n\r;|\t é中\\x0\u2028'), max_size=6) | st.sampled_from(["", "007", '""'])
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str | None]], str, bool]:
    """Names, rows, the end of lines, and whether every field is quoted."""
    width = draw(st.integers(1, 4))
    names = [f"name{place}" for place in range(width)]
    found = draw(st.lists(st.lists(FIELD, min_size=width, max_size=width), max_size=8))
    # A row of one NULL is a blank line, which is no row.
    found = [row for row in found if row != [None]]
    return names, found, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans())


def written(names: list[str], values: list[list[str | None]], end: str, quoted: bool) -> str:
    def field(value: str | None) -> str:
        if value is None:
            return ""
        if quoted or value == "" or set(value) & set(',"\r\n;|\t') or value.strip(" ") != value:
            return '"' + value.replace('"', '""') + '"'
        return value

    return "".join(",".join(map(field, row)) + end for row in [list[str | None](names), *values])


@given(tables())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read_back_exactly(
    given_table: tuple[list[str], list[list[str | None]], str, bool],
) -> None:
    names, values, end, quoted = given_table
    text = written(names, values, end, quoted)
    lone_returns = text.count("\r") - text.count("\r\n")
    if lone_returns > text.count("\n"):
        return  # such a file is one of lines that end with a carriage return
    for vectorised in (True, False):
        table = parse(text, names, vectorised=vectorised)
        assert [list(row[:-1]) for row in rows(table)] == values
        assert table.quarantined.is_empty()


@given(st.text(st.sampled_from('ab,"\n\r\0 é'), max_size=60))
@example('a,b\n"\n",x\n')
@example('"a""\n""b",c\n')
@settings(max_examples=1000)
def test_both_ways_of_reading_agree_on_anything(text: str) -> None:
    fast, exact = (parse(text, ["a", "b"], vectorised=vectorised) for vectorised in (True, False))
    assert rows(fast) == rows(exact)
    assert set_aside(fast) == set_aside(exact)


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('xy,"\n'), min_size=1, max_size=5), min_size=3, max_size=3),
        max_size=6,
    )
)
def test_the_standard_library_reads_the_same_records(values: list[list[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([["a", "b", "c"], *values])
    assert [list(row[:-1]) for row in rows(parse(buffer.getvalue()))] == values


def test_asterisk_writes_rows_that_are_all_read(tmp_path: Path) -> None:
    file = tmp_path / "Master.csv"
    file.write_bytes(
        b'"","2049","915372388463","from-internal","""Jos\xe9"" <2049>","SIP/2049-0000001a",'
        b'"SIP/trunk-0000001b","Dial","SIP/trunk/915372388463,60","2021-01-31 11:41:29",'
        b'"2021-01-31 11:41:35","2021-01-31 11:43:00",91,85,"ANSWERED","DOCUMENTATION"\n'
        b'"","2050","13800000000","from-internal","""Li"" <2050>","SIP/2050-0000001c","","Dial","SIP/x",'
        b'"2021-01-31 11:42:00",,"2021-01-31 11:42:20",20,0,"NO ANSWER","DOCUMENTATION"\n'
    )
    table = read_table(file, header=[[*ASTERISK_16, "uniqueid"], ASTERISK_16])
    assert table.rows_in == table.rows.height == 2
    assert table.rows["clid"].to_list() == ['"Jos\\xe9" <2049>', '"Li" <2050>']
    assert table.rows["answer"].to_list() == ["2021-01-31 11:41:35", None]
    assert table.rows["accountcode"].to_list() == ["", ""]


def test_a_parquet_file_becomes_the_text_of_an_export(tmp_path: Path) -> None:
    shanghai = datetime(2021, 1, 31, 11, 41, 29, 500_000, ZoneInfo("Asia/Shanghai"))
    frame = pl.DataFrame(
        {
            "id": [15372388463.0, None],
            "rate": [0.5, 1e300],
            "count": [7, None],
            "at": [shanghai, None],
            "local": [datetime(2021, 1, 31, 11, 41, 29), None],  # noqa: DTZ001
            "day": [date(2021, 1, 31), None],
            "clock": [time(11, 41, 29), None],
            "talked": [timedelta(seconds=65), timedelta(milliseconds=1500)],
            "fee": [Decimal("12.50"), None],
            "ok": [True, None],
            "tags": [["a", "中"], None],
            "source_row": ["mine", ""],
            "raw": [b"a\xe9", None],
        }
    )
    frame.write_parquet(tmp_path / "calls.parquet")
    table = read_table(tmp_path / "calls.parquet")
    assert table.rows.row(0, named=True) == {
        "id": "15372388463", "rate": "0.5", "count": "7", "at": "2021-01-31T11:41:29.500+08:00",
        "local": "2021-01-31T11:41:29", "day": "2021-01-31", "clock": "11:41:29", "talked": "65",
        "fee": "12.50", "ok": "true", "tags": '["a","中"]', "source_row_2": "mine", "raw": "a\\xe9",
        "source_row": 1,
    }  # fmt: skip
    second = table.rows.row(1, named=True)
    assert (second["talked"], second["source_row_2"], second["source_row"]) == ("1.5", "", 2)
    assert [name for name, value in second.items() if value is None] == [
        "id", "count", "at", "local", "day", "clock", "fee", "ok", "tags", "raw",
    ]  # fmt: skip
    assert (table.rows_in, table.encoding) == (2, "parquet")


def test_an_instant_in_a_parquet_file_says_its_offset(tmp_path: Path) -> None:
    pl.DataFrame({"at": [datetime(2021, 1, 31, tzinfo=UTC)]}).write_parquet(tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").rows["at"].to_list() == ["2021-01-31T00:00:00+00:00"]


def test_a_header_of_many_lines_is_read_beyond_the_head_of_the_file() -> None:
    name = "x\n" * 200_000
    table = parse(f'id,"{name}"\n1,a\n')
    assert rows(table) == [("1", "a", 200_002)]


def test_the_header_error_names_the_reason() -> None:
    with pytest.raises(HeaderError, match="a quote is never closed"):
        parse('id,"note\n')
