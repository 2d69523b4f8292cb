"""`voxkeep compare` of a million calls, as CSV, and a million recordings, as a Parquet manifest: the whole command.

Run by `make bench-engine`. The row names its recording's path; or the file's name gives the call's id; or it gives
extension, number and start, by a clock that is 3 s ahead. 0.5 % have a fault, as in `engine_data.py`. Each run is a
process of its own, its tables printed; a table of medians: seconds, those of CPU, MiB; then one line of JSON: seconds.
"""

import argparse
import json
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
from engine import Figures, apart, measured, medians, told
from engine_data import FIRST_DAY, SITES, partition

FOLDER = Path(__file__).resolve().parent.parent / ".bench" / "compare"
PROGRAM = Path(sys.executable).with_name("voxkeep")
NAME = "{year}/{month}/{day}/out-{number}-{extension}-{start:%Y%m%d-%H%M%S}"
# What the names of the recordings say.
WAYS = {"named": f"{NAME}-{{call_id}}.wav", "call id": f"{NAME}-{{call_id}}.wav", "nearest": f"{NAME}-{{any}}.wav"}
MAP = "call_id=id,started_at=start,talk_seconds=billsec,extension=ext,caller=src,callee=dst,display_number=shown"


def make(folder: Path, count: int, days: int) -> None:
    """Write `recordings.parquet`, and of each way `calls-<way>.csv` and `rules-<way>.yaml`; made once."""
    if (folder / "made").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    dates = [FIRST_DAY + timedelta(days=place) for place in range(days)]
    parts = [partition(SITES[0], day, count // days, seed=place) for place, day in enumerate(dates)]
    calls, recordings = pl.concat([part[0] for part in parts]), pl.concat([part[1] for part in parts])
    known = ["path", "size", "mtime", "sha256", "md5", "container", "codec", "duration_ms", "state"]
    recordings.select(known).write_parquet(folder / "recordings.parquet")
    for way, template in WAYS.items():
        (folder / f"rules-{way}.yaml").write_text(f'name_templates: ["{template}"]\n')
        table(calls, way).write_csv(folder / f"calls-{way}.csv")
    (folder / "made").touch()


def table(calls: pl.DataFrame, way: str) -> pl.DataFrame:
    """The calls as a telephone system writes them."""
    ahead = pl.duration(seconds=3 if way == "nearest" else 0)
    start = (pl.col("started_at") - ahead).dt.convert_time_zone("Asia/Shanghai")
    return calls.select(
        pl.col("call_id").alias("id"), start.dt.to_string("%Y-%m-%d %H:%M:%S").alias("start"),
        pl.col("talk_seconds").round().cast(pl.Int64).alias("billsec"), pl.col("extension").alias("ext"),
        pl.col("caller").alias("src"), pl.col("callee").alias("dst"), pl.col("display_number").alias("shown"),
        pl.lit("ANSWERED").alias("disposition"), *(["recording_path"] if way == "named" else []),
    )  # fmt: skip


def run(folder: Path, way: str) -> Figures:
    """What one whole command takes."""
    out = folder / f"out-{way}"
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    command = [
        PROGRAM, "compare", "--calls", folder / f"calls-{way}.csv", "--recordings", folder / "recordings.parquet",
        "--rules", folder / f"rules-{way}.yaml", "--map", MAP, "--out", out,
    ]  # fmt: skip
    return measured([str(part) for part in command], good=1)


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = FOLDER / f"{options.calls}-{options.days}"
    apart(make, folder, options.calls, options.days)
    figures: dict[str, list[Figures]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, found in figures.items():
            found.append(run(folder, way))
    print(f"\n{options.calls:,} calls and recordings; medians of {options.rounds} rounds")
    typical = {way: medians(found) for way, found in figures.items()}
    for way, found in typical.items():
        print(f"  {way:12}{told(found)} (below 10 s)")
    print(json.dumps({f"{way}_seconds".replace(" ", "_"): round(found.time, 2) for way, found in typical.items()}))


if __name__ == "__main__":
    main()
