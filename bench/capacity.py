"""What one recording costs: bytes in the catalog, the call index and the repository, CPU of each flow.

Run by `make bench-capacity`. Two days of different size are put through all flows, each in a process of its own; the
difference of the two is what a recording costs, whatever a run costs anyway stays out. A table, then one line of
JSON; with `--write` it becomes `docs/capacity.json`, of which `make docs` makes the figures of `docs/capacity.md`.
CPU seconds are those of the process and its children, so they hardly depend on what else the machine does.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import day

from voxkeep.server import no_heartbeat, use_home

DOCS = Path(__file__).resolve().parents[1] / "docs"
FEW, MANY = 1_000, 5_000
TINY_FILES = 60_000


def measure(folder: Path) -> dict[str, float]:
    """Bytes and CPU seconds of a day, of which the source has been made."""
    use_home(folder / "home")
    from flows.backup import backup, load_place  # noqa: PLC0415
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.maintain import maintain  # noqa: PLC0415
    from flows.reconciliation import reconcile  # noqa: PLC0415
    from voxkeep.apply import apply  # noqa: PLC0415
    from voxkeep.settings import load_settings  # noqa: PLC0415

    apply(load_settings(day.write_settings(folder)), folder / "home")
    load_place("bench", "one").repository.create(day.DAY.year)
    found: dict[str, float] = {}
    with no_heartbeat():
        found["cpu_backup"] = spent(lambda: backup("bench", "one", day.DAY))
        found["cpu_ingest"] = spent(lambda: ingest("bench"))
        found["cpu_reconcile"] = spent(lambda: reconcile("bench", day=day.DAY))
        # All of the repository and all objects in one go: what a whole rotation costs.
        for business_day in (day.DAY.replace(day=place) for place in range(1, 3)):
            found["cpu_maintain"] = found.get("cpu_maintain", 0) + spent(
                lambda on=business_day: maintain("bench", day=on)
            )
    return found | sizes(folder)


def spent(work: Callable[[], object]) -> float:
    """CPU seconds of this process and its children meanwhile."""
    before = _cpu()
    work()
    return _cpu() - before


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def sizes(folder: Path) -> dict[str, float]:
    """Bytes of each frame, of the call index, and of each part of the repository."""
    storage = folder / "storage"
    counted: Counter[str] = Counter()
    for file in storage.rglob("*"):
        if not file.is_file():
            continue
        parts = file.relative_to(storage).parts
        if parts[0] == "catalog":
            counted[f"catalog_{parts[1]}"] += file.stat().st_size
        elif parts[0] == "index":
            counted["index"] += file.stat().st_size
        elif "restic" in parts:
            part = parts[parts.index("restic") + 3]
            counted[f"restic_{part}"] += file.stat().st_size
    return dict(counted)


def restic_memory() -> float:
    """Bytes of memory that restic needs for each file of a repository, above what it needs anyway."""
    from blocks.restic import find_restic  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"RESTIC_REPOSITORY": str(folder / "repository"), "RESTIC_PASSWORD": "bench"}
        restic = [find_restic(), "--quiet", "--no-cache"]
        subprocess.run([*restic, "init"], env=environment, check=True)
        bare = _peak([*restic, "list", "blobs"], environment)
        for place in range(TINY_FILES):
            file = folder / "files" / f"{place // 1000}" / f"{place}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(place.to_bytes(4, "little"))
        subprocess.run([*restic, "backup", "--compression", "off", str(folder / "files")], env=environment, check=True)
        return (_peak([*restic, "list", "blobs"], environment) - bare) / TINY_FILES


def _peak(words: list[str], environment: dict[str, str]) -> int:
    """Peak memory of a program, in bytes."""
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_maxrss * 1024


def in_process(recordings: int) -> dict[str, float]:
    """The measurement in a process and a folder of its own."""
    folder = day.HERE / "capacity"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    day.make_source(day.HERE / "source", recordings)
    words = [sys.executable, __file__, "--once", str(folder)]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    shutil.rmtree(folder, ignore_errors=True)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="Make it docs/capacity.json.")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(options.once)))
        return
    few, many = in_process(FEW), in_process(MANY)
    costs = {name: (many[name] - few.get(name, 0)) / (MANY - FEW) for name in sorted(many)}
    # The recordings themselves are no overhead.
    costs["restic_data"] -= day.RECORDING_BYTES
    costs["restic_memory"] = restic_memory()
    print(f"what a recording costs: the difference of {MANY:,} and {FEW:,} of them")
    for name, cost in costs.items():
        unit = "CPU ms" if name.startswith("cpu_") else "bytes"
        print(f"  {name:24}{cost * (1000 if unit == 'CPU ms' else 1):12.2f} {unit}")
    text = json.dumps({name: float(f"{cost:.3g}") for name, cost in costs.items()})
    if options.write:
        (DOCS / "capacity.json").write_text(json.dumps(json.loads(text), indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
