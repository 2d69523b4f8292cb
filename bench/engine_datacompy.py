"""datacompy's side of bench/engine.py: `engine_datacompy.py DATA OUT`.

It compares calls and recordings by site and path: which are on one side alone, and which values of the columns that
both have differ. It reads only those. It knows no objects, ties, copies or coverage, and its report is no trace.
"""

import sys
from pathlib import Path

import polars as pl
from datacompy import PolarsCompare

data, out = map(Path, sys.argv[1:3])
BOTH = ["site", "path", "business", "day", "call_id", "extension", "started_at"]
calls, files = (
    pl.scan_parquet(data / name / "*" / "*.parquet", hive_partitioning=False) for name in ("calls", "inventory")
)
calls = calls.rename({"recording_path": "path"}).drop_nulls("path")
compared = PolarsCompare(calls.select(BOTH).collect(), files.select(BOTH).collect(), join_columns=["site", "path"])
(out / "report.txt").write_text(compared.report())
