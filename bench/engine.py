"""The engine: the trace and all findings of ten million calls, recordings and objects, against DuckDB and plain joins.

Run by `make bench-engine`. The ways take turns, each in processes of its own; a table, then one line of JSON with the
ratios of the medians: seconds, and the peak of memory. What voxkeep and plain joins say must be what DuckDB says, row
by row. Half as many calls are matched by their path and by the nearest start. Of a tenth, datacompy compares calls and
recordings by site and path and says which values differ; voxkeep does its whole work.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from engine_data import make

BENCH = Path(__file__).resolve().parent
FOLDER = BENCH.parent / ".bench" / "engine"
PEERS = BENCH.parent / ".tools" / "bench" / "bin" / "python"
GIB = 1 << 30


class Way(NamedTuple):
    """Interpreter, program, what follows data and target, and the share of the calls."""

    interpreter: str
    program: str
    arguments: tuple[str, ...] = ()
    share: float = 1


def voxkeep(memory: int, rule: str = "path", share: float = 1) -> Way:
    """Our own side."""
    return Way(sys.executable, "engine_voxkeep.py", (str(memory), rule), share)


WAYS = {
    "voxkeep": voxkeep(4 * GIB),
    "duckdb": Way(str(PEERS), "engine_duckdb.py"),
    "voxkeep in 1 GiB": voxkeep(GIB),
    "full joins": Way(sys.executable, "engine_naive.py"),
    "by path": voxkeep(4 * GIB, share=1 / 2),
    "by nearest": voxkeep(4 * GIB, "nearest", share=1 / 2),
    "voxkeep on a tenth": voxkeep(4 * GIB, share=1 / 10),
    "datacompy": Way(str(PEERS), "engine_datacompy.py", share=1 / 10),
}
# The ratios to reach: which of seconds and memory (0, 1), of what, to what.
RATIOS = {
    "time_to_duckdb": (0, "voxkeep", "duckdb"),
    "memory_to_duckdb": (1, "voxkeep", "duckdb"),
    "full_joins_time_to_voxkeep": (0, "full joins", "voxkeep"),
    "nearest_time_to_path": (0, "by nearest", "by path"),
    "datacompy_time_to_voxkeep": (0, "datacompy", "voxkeep on a tenth"),
}


def measured(command: list[str], good: int = 0) -> tuple[float, float]:
    """Seconds, and the peak of what the process and its children hold together, in MiB; `good` is its exit code."""
    began = time.perf_counter()
    process = subprocess.Popen(command)
    peak = 0.0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.1):
            peak = max(peak, held(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    spent = time.perf_counter() - began
    ended.set()
    watcher.join()
    if code != good:
        sys.exit(f"{command}: exit code {code}")
    return spent, peak


def held(process: int) -> float:
    """MiB held by a process and its children; what they share counts once (Linux' proportional set size)."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(held(int(child)) for child in children)


def target(way: str) -> Path:
    """The folder that this way writes to."""
    return FOLDER / f"out-{way.replace(' ', '-')}"


def data_of(way: str, options: argparse.Namespace) -> Path:
    """The folder that this way reads."""
    return FOLDER / f"{int(options.calls * WAYS[way].share)}-{options.days}"


def run(way: str, data: Path) -> tuple[float, float]:
    """What one run of this way takes, once everything before is on the disk."""
    out = target(way)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.sync()
    interpreter, program, arguments, _ = WAYS[way]
    return measured([interpreter, str(BENCH / program), str(data), str(out), *arguments])


def main() -> None:
    """Measure in turn, compare what was written, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    for way in options.ways:
        make(data_of(way, options), int(options.calls * WAYS[way].share), options.days)
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in options.ways}
    for place in range(options.rounds):
        first = place % len(options.ways)
        for way in options.ways[first:] + options.ways[:first]:
            figures[way].append(run(way, data_of(way, options)))
            seconds, memory = figures[way][-1]
            print(f"round {place + 1}: {way:20}{seconds:8.1f} s{memory:9,.0f} MiB", flush=True)
    show({way: tuple(map(statistics.median, zip(*rows, strict=True))) for way, rows in figures.items()}, options)
    for way in {"voxkeep", "voxkeep in 1 GiB", "full joins"}.intersection(options.ways):
        if "duckdb" in options.ways:
            subprocess.run([sys.executable, BENCH / "engine_same.py", target(way), target("duckdb")], check=True)


def show(medians: dict[str, tuple[float, ...]], options: argparse.Namespace) -> None:
    """The table and the line of JSON."""
    print(f"\n{options.calls:,} calls, recordings and objects; medians of {options.rounds} rounds")
    for way, (seconds, memory) in medians.items():
        print(f"  {way:20}{int(options.calls * WAYS[way].share):12,} calls{seconds:8.1f} s{memory:9,.0f} MiB")
    ratios = {
        name: medians[one][which] / medians[other][which]
        for name, (which, one, other) in RATIOS.items()
        if one in medians and other in medians
    }
    if "voxkeep in 1 GiB" in medians:
        ratios["mib_in_1_gib"] = medians["voxkeep in 1 GiB"][1]
    print(json.dumps({name: round(value, 2) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
