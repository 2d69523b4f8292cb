"""datacompy's side of bench/engine.py: `engine_datacompy.py DATA OUT`.

Which calls and recordings differ between the stations, and where: a comparison for each pair of stations, of all that
the two frames have, with datacompy's report and all rows that differ or stand on one side alone. It knows no ties,
copies, coverage or findings, and its reports are no trace.
"""

import sys
from pathlib import Path

import polars as pl
from datacompy import PolarsCompare

data, out = map(Path, sys.argv[1:3])


def read(name: str) -> pl.DataFrame:
    """All days and sites of a frame."""
    return pl.read_parquet(data / name / "*" / "*.parquet", hive_partitioning=False)


def compare(name: str, one: pl.DataFrame, other: pl.DataFrame, keys: list[str]) -> None:
    """Write what datacompy says of two frames."""
    compared = PolarsCompare(one, other, join_columns=keys)
    (out / f"{name}.txt").write_text(compared.report())
    for part in ("all_mismatch", "df1_unq_rows", "df2_unq_rows"):
        rows = getattr(compared, part)
        (rows() if callable(rows) else rows).write_parquet(out / f"{name}-{part}.parquet")


on_site = read("inventory")
compare("on_site", read("calls").rename({"recording_path": "path"}).drop_nulls("path"), on_site, ["site", "path"])
compare("in_snapshot", on_site, read("snapshot_files"), ["recording_id"])
compare("restored", on_site, read("restored"), ["recording_id"])
objects = read("listing").with_columns(pl.col("key").str.extract("/([0-9a-f]{32})[.]").alias("recording_id"))
compare("published", on_site.rename({"md5": "etag"}), objects, ["recording_id"])
compare("indexed", objects, read("indexed").drop_nulls("recording_id"), ["recording_id"])
