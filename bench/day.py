"""One day of 20,000 recordings: voxkeep's three flows against bare restic backup and restore of the same tree.

Run by `make bench`. Each round makes both from nothing, in turn; a table, then one line of JSON with the medians and
their ratio. Prefect's start-up is left out of voxkeep's time, and restic's `init` of both.
"""

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from voxkeep.server import no_heartbeat, use_home

HERE = Path(__file__).resolve().parents[1] / ".bench"
DAY = date(2021, 1, 31)
RECORDING_BYTES = 50_000


def make_source(folder: Path, recordings: int) -> None:
    """A tree of recordings (µ-law WAV, random sound) and the database of their calls; made once."""
    done = folder / f"made-{recordings}"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    random = Random(1)  # noqa: S311  # repeatable data, no secret
    rows = []
    sound = RECORDING_BYTES - 44
    header = b"RIFF" + (36 + sound).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += b"\x07\0\x01\0" + (8000).to_bytes(4, "little") * 2 + b"\x01\0\x08\0data" + sound.to_bytes(4, "little")
    for place in range(recordings):
        start = datetime(2021, 1, 31, 8) + timedelta(seconds=place * 2)  # noqa: DTZ001  # the source's local time
        extension, number = str(2000 + place % 100), f"1{random.randrange(10**9, 10**10)}"
        path = folder / "recordings" / f"01/31/{start:%H}" / f"{extension}_{number}_{start:%Y%m%d%H%M%S}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header + random.randbytes(sound))
        # As the recorder leaves it: of this minute, it would be taken as still growing.
        os.utime(path, (ended := (start + timedelta(seconds=sound // 8000)).timestamp(), ended))
        rows.append((f"c{place:06}", start.isoformat(" "), sound // 8000, extension, number))
    with sqlite3.connect(folder / "calls.db") as database:
        database.execute("CREATE TABLE cdr (id TEXT, start TEXT, talk INTEGER, extension TEXT, number TEXT)")
        database.executemany("INSERT INTO cdr VALUES (?, ?, ?, ?, ?)", rows)
    done.touch()


def write_settings(folder: Path) -> Path:
    """The settings of a business over this source."""
    source = HERE / "source"
    (folder / "password").write_text("bench")
    (folder / "calls.sql").write_text("SELECT * FROM cdr WHERE start >= :start AND start < :end")
    (folder / "url").write_text(f"sqlite:///{source / 'calls.db'}")
    file = folder / "bench.yaml"
    file.write_text(f"""
business: bench
title: bench
storage: storage
lookback_days: 0
sites:
  one: {{recordings: {source / "recordings"}, password: {{file: password}}, database: {{file: url}}}}
datasets:
  calls:
    sql: calls.sql
    columns: {{call_id: id, started_at: start, talk_seconds: talk, extension: extension, callee: number}}
name_templates: ["{{month}}/{{day}}/{{any}}/{{extension}}_{{number}}_{{start:%Y%m%d%H%M%S}}.wav"]
""")
    return file


def run_voxkeep(folder: Path, recordings: int) -> dict[str, float]:
    """Seconds of each flow and the peak memory of this process in MB; Prefect is started before the clock."""
    use_home(folder / "home")
    from flows.backup import backup, load_place  # noqa: PLC0415
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.reconciliation import reconcile  # noqa: PLC0415
    from voxkeep.apply import apply  # noqa: PLC0415
    from voxkeep.settings import load_settings  # noqa: PLC0415

    apply(load_settings(write_settings(folder)), folder / "home")
    load_place("bench", "one").repository.create(DAY.year)
    os.sync()
    times: dict[str, float] = {}
    result: dict[str, dict[str, Any]] = {}
    for name, run in (
        ("backup", lambda: backup("bench", "one", DAY)),
        ("ingest", lambda: ingest("bench")),
        ("reconcile", lambda: reconcile("bench", day=DAY)),
    ):
        began = time.perf_counter()
        with no_heartbeat():
            result[name] = run()
        times[name] = time.perf_counter() - began
    assert result["backup"]["recordings"] == result["ingest"]["published"] == recordings, result
    assert result["reconcile"]["open_major"] == result["reconcile"]["open_critical"] == 0, result
    times["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return times


def run_bare(folder: Path) -> float:
    """Seconds of a bare restic backup and restore of the same tree."""
    from blocks.restic import find_restic  # noqa: PLC0415

    environment = os.environ | {"RESTIC_REPOSITORY": str(folder / "repository"), "RESTIC_PASSWORD": "bench"}
    restic = [find_restic(), "--quiet", "--no-cache"]
    subprocess.run([*restic, "init"], env=environment, check=True)
    os.sync()
    began = time.perf_counter()
    subprocess.run([*restic, "backup", "--compression", "off", str(HERE / "source")], env=environment, check=True)
    target = ["--target", str(folder / "restored")]
    subprocess.run([*restic, "restore", "latest", *target], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def in_process(arguments: list[str]) -> str:
    """Last line that this file prints when it is run anew: each measurement has a process of its own."""
    run = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.splitlines()[-1]


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(run_voxkeep(options.once, options.recordings)))
        return
    make_source(HERE / "source", options.recordings)
    ours, bare = [], []
    for place in range(options.rounds):
        for kind in ("voxkeep", "bare"):
            folder = HERE / kind
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if kind == "voxkeep":
                ours.append(json.loads(in_process(["--once", str(folder), "--recordings", str(options.recordings)])))
            else:
                bare.append(run_bare(folder))
            shutil.rmtree(folder, ignore_errors=True)
        print(
            f"round {place + 1}: voxkeep {sum_flows(ours[-1]):.1f} s, bare restic {bare[-1]:.1f} s",
            flush=True,
        )
    show(ours, bare, options.recordings)


def sum_flows(times: dict[str, float]) -> float:
    """Seconds of the three flows together."""
    return times["backup"] + times["ingest"] + times["reconcile"]


def show(ours: list[dict[str, float]], bare: list[float], recordings: int) -> None:
    """The table and the line of JSON."""
    medians = {name: statistics.median(times[name] for times in ours) for name in ours[0]}
    total, peer = statistics.median(map(sum_flows, ours)), statistics.median(bare)
    print(f"\n{recordings:,} recordings of {RECORDING_BYTES:,} bytes, medians of {len(bare)} rounds")
    for name in ("backup", "ingest", "reconcile"):
        print(f"  {name:24}{medians[name]:8.2f} s")
    print(f"  {'voxkeep, together':24}{total:8.2f} s\n  {'bare restic':24}{peer:8.2f} s")
    print(f"  {'ratio (at most 2.0)':24}{total / peer:8.2f}")
    print(f"  {'peak memory (below 600)':24}{medians['memory_mb']:8.0f} MB")
    figures = {"voxkeep_seconds": total, "bare_seconds": peer, "ratio": total / peer}
    figures["memory_mb"] = medians["memory_mb"]
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
