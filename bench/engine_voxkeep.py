"""voxkeep's side of bench/engine.py: `engine_voxkeep.py DATA OUT`, a process a core, each with a site at a time."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl

from reconcile.findings import collect_findings, in_trace, repeated_calls, skewed_clocks
from reconcile.rules import MatchingRules, Rules
from reconcile.trace import Stations, trace

RULES = Rules(matching=MatchingRules(order=["path"]))
AS_OF = date(2026, 11, 1)


def reconcile(data: Path, out: Path, site: str) -> None:
    """The trace and the findings of one site."""
    calls, inventory = (
        pl.scan_parquet(data / name / "*" / f"{site}.parquet", hive_partitioning=False)
        for name in ("calls", "inventory")
    )
    listing = pl.scan_parquet(data / "listing" / "*" / f"{site}.parquet", hive_partitioning=False)
    traced = trace(calls, inventory, Stations(listing=listing), RULES)
    rows = traced.trace.collect()
    rows.write_parquet(out / f"trace-{site}.parquet")
    parts = [
        in_trace(rows.lazy(), RULES.matching),
        repeated_calls(calls),
        skewed_clocks(traced.clock, "haihe", RULES.matching),
    ]
    collect_findings(parts, AS_OF).write_parquet(out / f"findings-{site}.parquet")


def main() -> None:
    """Every site, as many at a time as there are cores."""
    data, out = map(Path, sys.argv[1:3])
    sites = sorted({file.stem for file in data.glob("calls/*/*.parquet")})
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, max_tasks_per_child=1) as pool:
        list(pool.map(partial(reconcile, data, out), sites))


if __name__ == "__main__":
    main()
