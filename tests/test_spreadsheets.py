"""What people open in a spreadsheet is text, whatever it begins with."""

import polars as pl
import pytest

from reconcile.spreadsheets import csv_for_people


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("=1+1", "'=1+1"), ("+86", "'+86"), ("-1", "'-1"), ("@a", "'@a"), ("＝1", "'＝1"), ("a=1", "a=1"), (None, ""),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(cell: str | None, text: str) -> None:
    frame = pl.DataFrame({"x": [cell], "n": [-1]}, schema={"x": pl.String, "n": pl.Int64})
    assert csv_for_people(frame).decode("utf-8-sig") == f"x,n\r\n{text},-1\r\n"


def test_only_the_first_part_of_a_file_has_mark_and_header() -> None:
    frame = pl.DataFrame({"x": ["a"]})
    assert csv_for_people(frame) + csv_for_people(frame, is_first=False) == b"\xef\xbb\xbfx\r\na\r\na\r\n"
