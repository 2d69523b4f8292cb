"""The daily reconcile of 1,000 recordings on top of a history of 10, 100 and 1,000 days of as many each.

Run by `make bench`. The history is laid down once, by the catalog's own verbs and by reconcile itself; each run is a
process of its own over a fresh copy of its last days. A table, then one line of JSON: the longest history against the
shortest. Prefect's start-up is left out of the seconds; memory is the peak of the process. Objects lie there for the
last 20 days only: a store's listing is asked for by day.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from engine_data import BUSINESS, FIRST_DAY, SITES, partition

from voxkeep.server import no_heartbeat, start_server, use_home

HERE = Path(__file__).resolve().parent.parent / ".bench" / "growth"
SITE, A_DAY = SITES[0], 1_000
HISTORIES = (10, 100, 1_000)
WITH_OBJECTS = 20
SETTINGS = f"""
business: {BUSINESS}
title: {BUSINESS}
storage: storage
lookback_days: 2
sites:
  {SITE}: {{recordings: recordings, password: {{file: password}}, dropped: {{calls: calls}}}}
datasets:
  calls: {{}}
"""


def set_up(folder: Path) -> None:
    """Apply the settings of a business that keeps everything below the folder."""
    use_home(folder / "home")
    from voxkeep.apply import apply  # noqa: PLC0415
    from voxkeep.settings import load_settings  # noqa: PLC0415

    start_server()
    if not (folder / "business.yaml").exists():
        (folder / "calls").mkdir(parents=True, exist_ok=True)
        (folder / "password").write_text("bench")
        (folder / "business.yaml").write_text(SETTINGS)
    apply(load_settings(folder / "business.yaml"), folder / "home")


def take_in(folder: Path, days: list[date]) -> None:
    """What ingest leaves of these days, 1,000 recordings each."""
    from blocks.business import Business  # noqa: PLC0415
    from blocks.saved import load  # noqa: PLC0415
    from flows.centre import load_centre  # noqa: PLC0415

    centre = load_centre(load(Business, BUSINESS), SITE)
    for place, day in enumerate(days):
        take_in_day(centre, folder, day, with_objects=place >= len(days) - WITH_OBJECTS)


def take_in_day(centre, folder: Path, day: date, *, with_objects: bool) -> None:  # noqa: ANN001  # imported late
    """What ingest leaves of one day."""
    from reconcile import frames  # noqa: PLC0415
    from reconcile.documents import documents  # noqa: PLC0415
    from reconcile.matching import match  # noqa: PLC0415

    snapshot_id = f"{day.toordinal():064x}"
    calls, inventory, listing = partition(SITE, day, A_DAY, seed=day.toordinal())
    held = inventory.with_columns(pl.lit(snapshot_id).alias("snapshot_id"), pl.lit(value=True).alias("published"))
    snapshot = {
        "business": BUSINESS, "site": SITE, "day": day, "snapshot_id": snapshot_id, "repository_year": day.year,
        "taken_at": datetime(day.year, day.month, day.day, 22, tzinfo=UTC), "first_day": day - timedelta(days=2),
        "files": A_DAY, "bytes": int(inventory["size"].sum()), "inventory_whole": True,
    }  # fmt: skip
    for frame, rows in (
        (frames.CALLS, calls), (frames.INVENTORY, inventory), (frames.SNAPSHOT_FILES, held), (frames.RESTORED, held),
        (frames.SNAPSHOTS, pl.DataFrame([snapshot], schema=frames.SNAPSHOTS.schema)),
    ):  # fmt: skip
        centre.write(frame, day, rows)
    legs = calls.unique("call_uid", keep="first", maintain_order=True)
    matches = match(legs.lazy(), inventory.lazy(), centre.rules)
    centre.index.replace(
        BUSINESS, SITE, day, documents(legs, frames.NOTES.empty(), inventory, matches, centre.rules.numbers)
    )
    objects = folder / "storage" / "bucket" / f"{BUSINESS}-audio"
    for key, size in listing.select("key", "size").iter_rows() if with_objects else ():
        (objects / key).parent.mkdir(parents=True, exist_ok=True)
        with (objects / key).open("wb") as file:
            file.truncate(size)


def lay(folder: Path, count: int) -> None:
    """The history of so many days up to the day before FIRST_DAY; made once."""
    set_up(folder)
    from flows.reconciliation import reconcile  # noqa: PLC0415

    days = [FIRST_DAY - timedelta(days=back) for back in range(count, 0, -1)]
    take_in(folder, days)
    for first in range(0, count, 100):
        with no_heartbeat():
            reconcile(BUSINESS, since=days[first], day=days[min(first + 99, count - 1)])
    (folder / "made").touch()


def copy_history(source: Path, target: Path, days: int) -> None:
    """Make the target's storage the source's, as it would be with its last days only."""
    shutil.rmtree(target / "storage", ignore_errors=True)
    wanted = {f"day={FIRST_DAY - timedelta(days=back)}" for back in range(1, days + 1)}

    def ignored(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith("day=") and name not in wanted]

    shutil.copytree(source / "storage", target / "storage", ignore=ignored)


def once(folder: Path) -> dict[str, float]:
    """Seconds, seconds of CPU, and peak MiB of the daily reconcile in this process."""
    set_up(folder)
    from flows.reconciliation import reconcile  # noqa: PLC0415

    take_in(folder, [FIRST_DAY])
    began, used = time.perf_counter(), time.process_time()
    with no_heartbeat():
        reconcile(BUSINESS, day=FIRST_DAY)
    spent, cpu = time.perf_counter() - began, time.process_time() - used
    return {"seconds": spent, "cpu": cpu, "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_process(arguments: list[str]) -> str:
    """Last line that this file prints when it is run anew."""
    run = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.splitlines()[-1] if run.stdout else ""


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lay", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.lay:
        lay(options.lay, max(HISTORIES))
        return
    if options.once:
        print(json.dumps(once(options.once)))
        return
    source, target = HERE / f"history-{max(HISTORIES)}", HERE / "run"
    if not (source / "made").exists():
        shutil.rmtree(source, ignore_errors=True)
        in_process(["--lay", str(source)])
    figures: dict[int, list[dict[str, float]]] = {days: [] for days in HISTORIES}
    for place in range(options.rounds):
        for days, found in figures.items():
            copy_history(source, target, days)
            found.append(json.loads(in_process(["--once", str(target)])))
            print(
                f"round {place + 1}: {days:5} days {found[-1]['seconds']:8.2f} s{found[-1]['cpu']:8.2f} s of CPU",
                flush=True,
            )
    show(figures, options.rounds)


def show(found: dict[int, list[dict[str, float]]], rounds: int) -> None:
    """The table and the line of JSON."""
    print(f"\nthe daily reconcile of {A_DAY:,} recordings; medians of {rounds} rounds\n  history, recordings")
    medians = {
        days: {name: statistics.median(one[name] for one in runs) for name in runs[0]} for days, runs in found.items()
    }
    for days, median in medians.items():
        figures = f"{median['seconds']:8.2f} s{median['cpu']:8.2f} s of CPU{median['memory_mib']:8,.0f} MiB"
        print(f"  {days * A_DAY:18,}{figures}")
    shortest, longest = medians[min(found)], medians[max(found)]
    ratios = {f"{name.partition('_')[0]}_ratio": round(longest[name] / shortest[name], 3) for name in shortest}
    time_, cpu, memory = (ratios[f"{name}_ratio"] for name in ("seconds", "cpu", "memory"))
    print(f"  longest to shortest: time {time_} (at most 1.3), CPU {cpu}, memory {memory} (at most 1.2)")
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
