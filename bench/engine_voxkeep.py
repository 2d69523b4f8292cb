"""voxkeep's side of bench/engine.py: `engine_voxkeep.py DATA OUT MEMORY RULE`.

As the flow does, site by site, in windows of days that fit into memory: a process a core and GiB, with its share of it.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl
from psutil import Process

from flows.days import with_neighbours
from reconcile.findings import collect_findings, in_trace, repeated_calls, skewed_clocks
from reconcile.rules import MatchingRules, Rules
from reconcile.trace import Stations, trace
from reconcile.windows import windows

AS_OF = date(2026, 11, 1)
STATIONS = ("snapshot_files", "restored", "listing", "indexed")


def reconcile(data: Path, out: Path, memory: int, rules: Rules, site: str) -> None:
    """The trace and the findings of one site."""
    days = sorted(date.fromisoformat(folder.name.removeprefix("day=")) for folder in data.glob("calls/*"))
    sizes = {
        day: sum((data / name / f"day={day}" / f"{site}.parquet").stat().st_size for name in ("calls", "inventory"))
        for day in days
    }
    for window in windows(sizes, days, memory - Process().memory_info().rss):
        around = [day for day in with_neighbours(window) if day in sizes]

        def scan(name: str, read: list[date] = around) -> pl.LazyFrame:
            files = [data / name / f"day={day}" / f"{site}.parquet" for day in read]
            return pl.scan_parquet(files, hive_partitioning=False)

        stations = {name: scan(name) for name in STATIONS if (data / name).is_dir()}
        traced = trace(scan("calls"), scan("inventory"), Stations(**stations), rules, window)
        rows = traced.trace.collect()
        rows.write_parquet(out / f"trace-{site}-{window[0]}.parquet", compression_level=1)
        parts = [
            in_trace(rows.lazy(), rules.matching),
            repeated_calls(scan("calls", window)),
            skewed_clocks(traced.clock.filter(pl.col("day").is_in(window)), "haihe", rules.matching),
        ]
        collect_findings(parts, AS_OF).write_parquet(out / f"findings-{site}-{window[0]}.parquet")


def main() -> None:
    """Every site, as many at a time as there are cores."""
    data, out = map(Path, sys.argv[1:3])
    # Each process holds Python and Polars, too: less than a GiB for each is not worth a second one.
    processes = max(1, min(os.cpu_count() or 1, int(sys.argv[3]) >> 30))
    memory = int(sys.argv[3]) // processes
    rules = Rules(matching=MatchingRules.model_validate({"order": [sys.argv[4]]}))
    sites = sorted({file.stem for file in data.glob("calls/*/*.parquet")})
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        list(pool.map(partial(reconcile, data, out, memory, rules), sites))


if __name__ == "__main__":
    main()
