"""The engine: the trace and all findings of ten million calls, recordings and objects, against DuckDB.

Run by `make bench-engine`. The ways take turns, each in processes of its own; a table, then one line of JSON with the
medians of seconds and of peak memory, and their ratios. What voxkeep says must be what DuckDB says, row by row.
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

HERE = Path(__file__).resolve().parents[1]
FOLDER = HERE / ".bench" / "engine"
WAYS = ("voxkeep", "duckdb")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak of what the process and its children hold together, in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command)
    peak = 0.0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
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
    """MB held by a process and its children; what they share counts once (Linux' proportional set size)."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(held(int(child)) for child in children)


def main() -> None:
    """Measure in turn, compare what was written, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = FOLDER / f"{options.calls}-{options.days}"
    from engine_data import make  # noqa: PLC0415

    make(data, options.calls, options.days)
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for place in range(options.rounds):
        for way in WAYS[place % 2 :] + WAYS[: place % 2]:
            out = FOLDER / f"out-{way}"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            os.sync()
            figures[way].append(measured(command(way, data, out)))
        print(
            f"round {place + 1}: "
            + ", ".join(f"{way} {f[-1][0]:.1f} s {f[-1][1]:,.0f} MB" for way, f in figures.items()),
            flush=True,
        )
    medians = {way: [statistics.median(column) for column in zip(*rows, strict=True)] for way, rows in figures.items()}
    print(f"\n{options.calls:,} calls, recordings, objects; medians of {options.rounds}")
    for way, (seconds, memory) in medians.items():
        print(f"  {way:12}{seconds:8.1f} s{memory:8,.0f} MB")
    ratios = [ours / theirs for ours, theirs in zip(medians["voxkeep"], medians["duckdb"], strict=True)]
    print(json.dumps({"time_ratio": round(ratios[0], 2), "memory_ratio": round(ratios[1], 2)}))
    subprocess.run(
        [sys.executable, HERE / "bench" / "engine_same.py", FOLDER / "out-voxkeep", FOLDER / "out-duckdb"], check=True
    )


def command(way: str, data: Path, out: Path) -> list[str]:
    """How to run this way over the data."""
    programs = {
        "voxkeep": [sys.executable, str(HERE / "bench" / "engine_voxkeep.py")],
        "duckdb": [str(HERE / ".tools" / "bench" / "bin" / "python"), str(HERE / "bench" / "engine_duckdb.py")],
    }
    return [*programs[way], str(data), str(out)]


if __name__ == "__main__":
    main()
