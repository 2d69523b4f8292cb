"""The engine: the trace and all findings of ten million calls, recordings and objects, against DuckDB and plain joins.

Run by `make bench-engine`. The ways take turns, each in processes of its own; a table, then one line of JSON with the
ratios of the medians: seconds, seconds of CPU (which tell more where other work is done, too), and the peak of memory.
What voxkeep and plain joins say must be what DuckDB says, row by row. Half as many calls are matched by their path and
by the nearest start. Of a tenth, datacompy compares all six stations pair by pair; voxkeep does its whole work.
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
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from engine_data import make

BENCH = Path(__file__).resolve().parent
FOLDER = BENCH.parent / ".bench" / "engine"
PEERS = BENCH.parent / ".tools" / "bench" / "bin" / "python"
GIB = 1 << 30


class Way(NamedTuple):
    """Interpreter, program, what follows data and target, the share of the calls, and whether of all six stations."""

    interpreter: str
    program: str
    arguments: tuple[str, ...] = ()
    share: float = 1
    stations: bool = False


class Figures(NamedTuple):
    """What a process takes: seconds, seconds of CPU, and the peak of its memory in MiB."""

    time: float
    cpu: float
    memory: float


def voxkeep(memory: int, rule: str = "path", share: float = 1, *, stations: bool = False) -> Way:
    """Our own side."""
    return Way(sys.executable, "engine_voxkeep.py", (str(memory), rule), share, stations)


WAYS = {
    "voxkeep": voxkeep(4 * GIB),
    "duckdb": Way(str(PEERS), "engine_duckdb.py"),
    "voxkeep in 1 GiB": voxkeep(GIB),
    "full joins": Way(sys.executable, "engine_naive.py"),
    "by path": voxkeep(4 * GIB, share=1 / 2),
    "by nearest": voxkeep(4 * GIB, "nearest", share=1 / 2),
    "six stations": voxkeep(4 * GIB, share=1 / 10, stations=True),
    "datacompy": Way(str(PEERS), "engine_datacompy.py", share=1 / 10, stations=True),
}
# The ratios to reach: of what, to what; of time, for which that of CPU is told, too, or of memory.
RATIOS = {
    "time_to_duckdb": ("voxkeep", "duckdb"),
    "memory_to_duckdb": ("voxkeep", "duckdb"),
    "full_joins_time_to_voxkeep": ("full joins", "voxkeep"),
    "nearest_time_to_path": ("by nearest", "by path"),
    "datacompy_time_to_voxkeep": ("datacompy", "six stations"),
}


def apart(make: Callable[..., None], *arguments: object, **named: object) -> None:
    """Make data in a process of its own: what that held would be the least that any process holds afterwards."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(make, *arguments, **named).result()


def measured(command: list[str], good: int = 0) -> Figures:
    """What the process and its children take; `good` is its exit code.

    Linux itself keeps the peak of one process (not below that of the process which begins it). It is asked for what
    several hold together only while there are several: to go through twenty GiB of pages for an answer holds the
    process up. That is voxkeep alone, of whose peaks those between two looks are missed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command)
    together = cpu = 0.0
    ended = threading.Event()

    def watch() -> None:
        nonlocal together, cpu
        while not ended.wait(0.1):
            together, cpu = max(together, held_by_several(process.pid)), max(cpu, used(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, own = os.wait4(process.pid, 0)
    spent = time.perf_counter() - began
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != good:
        sys.exit(f"{command}: exit code {process.returncode}, not {good}")
    return Figures(spent, max(cpu, own.ru_utime + own.ru_stime), max(together, own.ru_maxrss / 1024))


def held_by_several(process: int) -> float:
    """MiB held by a process and its children, if it has any; what they share counts once."""
    try:
        return held(process) if children(process) else 0.0
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def held(process: int) -> float:
    """MiB held by a process and its children; what they share counts once (Linux' proportional set size)."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        below = children(process)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(map(held, below))


def used(process: int) -> float:
    """Seconds of CPU of a process and its children, those that have ended and were waited for included."""
    try:
        ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
        below = children(process)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") + sum(map(used, below))


def children(process: int) -> list[int]:
    """The children of its main thread, which begins all of them here."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def target(way: str) -> Path:
    """The folder that this way writes to."""
    return FOLDER / f"out-{way.replace(' ', '-')}"


def data_of(way: str, options: argparse.Namespace) -> Path:
    """The folder that this way reads."""
    more = "-stations" if WAYS[way].stations else ""
    return FOLDER / f"{int(options.calls * WAYS[way].share)}-{options.days}{more}"


def run(way: str, data: Path) -> Figures:
    """What one run of this way takes, once everything before is on the disk."""
    out = target(way)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.sync()
    taken = WAYS[way]
    return measured([taken.interpreter, str(BENCH / taken.program), str(data), str(out), *taken.arguments])


def main() -> None:
    """Measure in turn, compare what was written, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    for way in options.ways:
        count, stations = int(options.calls * WAYS[way].share), WAYS[way].stations
        apart(make, data_of(way, options), count, options.days, stations=stations)
    figures: dict[str, list[Figures]] = {way: [] for way in options.ways}
    for place in range(options.rounds):
        first = place % len(options.ways)
        for way in options.ways[first:] + options.ways[:first]:
            figures[way].append(run(way, data_of(way, options)))
            print(f"round {place + 1}: {way:20}{told(figures[way][-1])}", flush=True)
    show({way: medians(rows) for way, rows in figures.items()}, options)
    for way in {"voxkeep", "voxkeep in 1 GiB", "full joins"}.intersection(options.ways):
        if "duckdb" in options.ways:
            subprocess.run([sys.executable, BENCH / "engine_same.py", target(way), target("duckdb")], check=True)


def medians(rows: list[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(*map(statistics.median, zip(*rows, strict=True)))


def told(figures: Figures) -> str:
    """The figures as a part of a line."""
    return f"{figures.time:8.1f} s{figures.cpu:8.1f} s of CPU{figures.memory:9,.0f} MiB"


def show(found: dict[str, Figures], options: argparse.Namespace) -> None:
    """The table and the line of JSON."""
    print(f"\n{options.calls:,} calls, recordings and objects; medians of {options.rounds} rounds")
    for way, figures in found.items():
        print(f"  {way:20}{int(options.calls * WAYS[way].share):12,} calls{told(figures)}")
    ratios = {}
    for name, (one, other) in RATIOS.items():
        which = "memory" if "memory" in name else "time"
        for figure in ("time", "cpu") if which == "time" else ("memory",):
            if one in found and other in found:
                ratios[name.replace(which, figure)] = getattr(found[one], figure) / getattr(found[other], figure)
    if "voxkeep in 1 GiB" in found:
        ratios["mib_in_1_gib"] = found["voxkeep in 1 GiB"].memory
    print(json.dumps({name: round(value, 2) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
