"""Lists that people paste or upload are read as they meant them, and none of them does harm."""

import io
import zipfile
from typing import Any

import openpyxl
import polars as pl
import pytest

from reconcile.asked_list import MOST_BYTES, MOST_ENTRIES, read_list
from reconcile.errors import ListError, RuleError
from reconcile.retrieval import DEFAULT_NAME, UNFOUND, distinct, pack_of
from reconcile.retrieval_index import index_files

A, B = "15372388463", "138 0013 8000"


def book(*rows: tuple[Any, ...]) -> bytes:
    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "field"),
    [
        (f"{A}\n{B}\n".encode(), "pasted.txt", "number"),
        (f"  {A} ，{B}；\r\n\r\n{A}".encode(), "pasted.txt", "number"),
        (f"\ufeff{A}\r\n{B}".encode(), "a.txt", "number"),
        (f"{A}\n{B}\n".encode("utf-16"), "a.txt", "number"),
        (f"序号,客户号码\n1,{A}\n2,{B}\n".encode("gb18030"), "a.csv", "number"),
        (f"{A};x\n{B};y\n".encode(), "a.csv", "number"),
        (f"案件编号\t备注\n{A}\t\n{B}\t\n".encode(), "a.csv", "案件编号"),
        (f"'{A}\n１３８ 0013 8000".encode(), "a.txt", "number"),
        (book((int(A),), (B,)), "a.xlsx", "number"),
        (book(("name", "Phone"), ("x", float(A)), (None, None), ("y", B)), "a.xlsx", "number"),
        (book(("Call_ID",), (A,), (B,)), "no-suffix", "call"),
    ],
)
def test_a_list_is_read_however_it_is_written(content: bytes, name: str, field: str) -> None:
    assert read_list(content, name, field) == [A, B]


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_entities() -> bytes:
    """A workbook whose sheet grows by entities, in UTF-16 so that a search for the ASCII word misses it."""
    grown = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    sheet = f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY a0 "x">{grown}]><worksheet>&a8;</worksheet>'
    content, buffer = book(("x",)), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, sheet.encode("utf-16") if name.endswith("sheet1.xml") else old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b"", "a.txt", "empty"),
        (b" \n ,; \n", "a.txt", "empty"),
        (b"x" * (MOST_BYTES + 1), "a.txt", "too_large"),
        ("\n".join(map(str, range(MOST_ENTRIES + 1))).encode(), "a.txt", "too_many"),
        (b"x" * 201, "a.txt", "too_long"),
        (b"PK\3\4 and nothing else", "a.xlsx", "unreadable"),
        (b"plain text", "a.xlsx", "unreadable"),
        (zipped(hello=b"no workbook"), "a.xlsx", "unreadable"),
        (zipped(big=b"\0" * 60_000_000), "a.xlsx", "too_large"),
        (with_entities(), "a.xlsx", "unreadable"),
        (b'"' + b"x" * 200_000, "a.csv", "unreadable"),
    ],
    ids=["empty", "blanks", "bytes", "entries", "entry", "no-zip", "no-xlsx", "other-zip", "bomb", "entities", "csv"],
)
def test_a_list_that_cannot_be_or_would_do_harm_is_refused(content: bytes, name: str, why: str) -> None:
    with pytest.raises(ListError) as refused:
        read_list(content, name, "number")
    assert refused.value.why == why


@pytest.mark.parametrize("name", ["{caled}.wav", "a:b/{call_id}.wav", "{call_id", "..\\{call_id}.wav", "a\n{call_id}"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(RuleError, match="name recordings"):
        pack_of(name, "xlsx", "number", "zh")


def test_names_are_such_as_every_system_can_have_and_no_two_are_one() -> None:
    names = ["a/../b.wav", "/etc/x.wav", "CON.wav", "x. /y.wav", "A.wav", "a.wav", f"{'长' * 300}.wav"]
    made = distinct(names, [f"{place}" * 32 for place in range(len(names))])
    assert made[:4] == ["a/_/b.wav", "_/etc/x.wav", "_CON.wav", "x/y.wav"]
    assert made[4:6] == ["A_44444444.wav", "a_55555555.wav"]
    assert len(made[6].encode()) <= 200
    assert made[6].endswith("长.wav")


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_no_list_that_people_open_runs_a_formula(kind: str) -> None:
    """An entry, a name, and whatever stands in the source could be one."""
    evil = '=HYPERLINK("http://evil","x")'
    pack = pack_of(DEFAULT_NAME, kind, "案件编号", "zh")
    texts = {str(place): [evil] for place in range(len(pack.columns))}
    rows = pl.DataFrame({"asked": ["{=1+1}"], "file": ["a.wav"], **texts})
    unfound = pl.DataFrame([{"entry": 1, "asked": evil, "reason": "lost", "lost_at": "published"}], schema=UNFOUND)
    files = index_files(pack, rows, unfound, "zh", "Asia/Shanghai")
    if kind == "csv":
        for content in files.values():
            assert f"'{evil[:10]}" in content.decode("utf-8-sig")
            assert ',"=HYP' not in content.decode("utf-8-sig")
        return
    for sheet in openpyxl.load_workbook(io.BytesIO(files["index.xlsx"])):
        assert {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value} == {"s"}
    assert "录音已丢失，对象存储中没有 · 对象存储" in str(
        [cell.value for row in openpyxl.load_workbook(io.BytesIO(files["index.xlsx"]))["未找到"] for cell in row]
    )
