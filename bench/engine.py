"""The engine: the trace and all findings of ten million calls, recordings and objects, against DuckDB and plain joins.

Run by `make bench-engine`. The ways take turns, each in processes of its own; a table, then one line of JSON with the
ratios of the medians to those of voxkeep's peers: seconds, and the peak of memory. What voxkeep says must be what
DuckDB says, row by row.
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

from engine_data import make

BENCH = Path(__file__).resolve().parent
FOLDER = BENCH.parent / ".bench" / "engine"
PEERS = BENCH.parent / ".tools" / "bench" / "bin" / "python"
GIB = 1 << 30
# Interpreter, program, and what follows data and target.
WAYS: dict[str, tuple[str, str, list[str]]] = {
    "voxkeep": (sys.executable, "engine_voxkeep.py", [str(8 * GIB)]),
    "duckdb": (str(PEERS), "engine_duckdb.py", []),
    "voxkeep in 1 GiB": (sys.executable, "engine_voxkeep.py", [str(GIB)]),
    "full joins": (sys.executable, "engine_naive.py", []),
}


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak of what the process and its children hold together, in MiB."""
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
    if code:
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


def run(way: str, data: Path) -> tuple[float, float]:
    """What one run of this way takes, once everything before is on the disk."""
    out = target(way)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.sync()
    interpreter, program, more = WAYS[way]
    return measured([interpreter, str(BENCH / program), str(data), str(out), *more])


def main() -> None:
    """Measure in turn, compare what was written, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = FOLDER / f"{options.calls}-{options.days}"
    make(data, options.calls, options.days)
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    ways = list(WAYS)
    for place in range(options.rounds):
        for way in ways[place % len(ways) :] + ways[: place % len(ways)]:
            figures[way].append(run(way, data))
            seconds, memory = figures[way][-1]
            print(f"round {place + 1}: {way:18}{seconds:8.1f} s{memory:9,.0f} MiB", flush=True)
    show({way: tuple(map(statistics.median, zip(*rows, strict=True))) for way, rows in figures.items()}, options)
    for way in ("voxkeep", "voxkeep in 1 GiB"):
        subprocess.run([sys.executable, BENCH / "engine_same.py", target(way), target("duckdb")], check=True)


def show(medians: dict[str, tuple[float, ...]], options: argparse.Namespace) -> None:
    """The table and the line of JSON."""
    print(f"\n{options.calls:,} calls, recordings and objects; medians of {options.rounds} rounds")
    for way, (seconds, memory) in medians.items():
        print(f"  {way:18}{seconds:8.1f} s{memory:9,.0f} MiB")
    (seconds, memory), (their_seconds, their_memory) = medians["voxkeep"], medians["duckdb"]
    ratios = {
        "time_to_duckdb": seconds / their_seconds,
        "memory_to_duckdb": memory / their_memory,
        "full_joins_time_to_voxkeep": medians["full joins"][0] / seconds,
        "mib_in_1_gib": medians["voxkeep in 1 GiB"][1],
    }
    print(json.dumps({name: round(value, 2) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
