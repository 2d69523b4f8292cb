"""Whether two folders hold the same trace and the same findings, row by row: `engine_same.py ONE OTHER`."""

import sys
from pathlib import Path

import polars as pl


def read(folder: Path, name: str) -> pl.DataFrame:
    """All of it, in one order."""
    frame = pl.read_parquet(folder / f"{name}*.parquet")
    keys = ["finding_id"] if name == "findings" else ["site", "call_uid", "recording_id"]
    return frame.with_columns(pl.col(pl.Datetime).dt.cast_time_unit("us").dt.replace_time_zone(None)).sort(keys)


for name in ("trace", "findings"):
    one, other = (read(Path(folder), name) for folder in sys.argv[1:3])
    assert one.columns == other.columns, (one.columns, other.columns)
    assert one.height == other.height, (name, one.height, other.height)
    for column in one.columns:
        mine, theirs = one[column], other[column].cast(one.schema[column])
        differs = mine.ne_missing(theirs)
        if differs.any():
            few = (one.filter(differs).head(2), other.filter(differs).head(2))
            sys.exit(f"{name}.{column} differs in {differs.sum()} rows: {few}")
    print(f"{name}: {one.height:,} rows, all the same")
