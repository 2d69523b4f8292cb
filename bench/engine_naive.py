"""The same files joined by Polars as one would at first: full joins on the keys as text. `engine_naive.py DATA OUT`.

It tells only where each call, recording and object is: no ties, copies, coverage or findings.
"""

import sys
from pathlib import Path

import polars as pl

from reconcile.recordings import object_key

data, out = map(Path, sys.argv[1:3])
calls, files, objects = (
    pl.scan_parquet(data / name / "*" / "*.parquet", hive_partitioning=False)
    for name in ("calls", "inventory", "listing")
)
joined = (
    calls.rename({"recording_path": "path"})
    .join(
        files.with_columns(object_key().alias("key")), on=["site", "path"], how="full", coalesce=True, suffix="_of_file"
    )
    .join(objects, on="key", how="full", coalesce=True, suffix="_of_object")
)
joined.collect().write_parquet(out / "joined.parquet")
