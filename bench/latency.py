"""From a call's end until it can be found and heard, over the servers of `make cluster`, with new calls all the time.

Run by `make bench-latency`, as a module. It starts a cluster of its own and the two watchers (site and centre), puts
calls into the source (a row in PostgreSQL, a recording closed on the disk) and asks for the newest calls again and
again as the page does, fetching each recording that it shows. A call's end is when its row and its recording are there.
At the end the daily runs show whether anything is missing or doubled. A table, then one line of JSON.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from sqlalchemy import Engine, create_engine, text

from deploy.cluster import Cluster, cluster

HERE = Path(__file__).resolve().parents[1] / ".bench" / "latency"
BUSINESS, ZONE = "latency", ZoneInfo("Asia/Shanghai")
TALKED, RECORDING_BYTES = 8, 64_000
LOOK_SECONDS, PATIENCE_SECONDS, START_SECONDS, PAGE = 0.5, 180.0, 900.0, 1000
GOAL_SECONDS = 60
SOUND = RECORDING_BYTES - 44
HEADER = b"RIFF" + (36 + SOUND).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
HEADER += b"\x07\0\x01\0" + (8000).to_bytes(4, "little") * 2 + b"\x01\0\x08\0data" + SOUND.to_bytes(4, "little")


class Source:
    """The telephone system: its database and its disk."""

    def __init__(self, folder: Path, url: str) -> None:
        self.root = folder / "recordings"
        self.root.mkdir(parents=True)
        self.engine: Engine = create_engine(url)
        self.ended: dict[str, float] = {}
        self._random = Random(1)  # noqa: S311  # repeatable data, no secret
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS latency"))
            kinds = "id TEXT, start TIMESTAMP, talk INTEGER, extension TEXT, number TEXT, file TEXT"
            connection.execute(text(f"CREATE TABLE latency ({kinds})"))
            connection.execute(text("CREATE INDEX ON latency (start)"))

    def calls(self, number: int, *, before: float = 0) -> None:
        """So many calls end now, or ended so many seconds ago."""
        ids = [f"c{len(self.ended) + place:07}" for place in range(number)]
        start = datetime.now(ZONE) - timedelta(seconds=TALKED + before)
        rows = [self._recorded(one, start, before) for one in ids]
        with self.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO latency VALUES (:id, :start, :talk, :extension, :number, :file)"), rows
            )
        self.ended |= dict.fromkeys(ids, time.time() - before)

    def _recorded(self, call: str, start: datetime, before: float) -> dict[str, Any]:
        extension, number = str(2000 + self._random.randrange(100)), f"1{self._random.randrange(10**9, 10**10)}"
        path = f"{start:%m/%d/%H}/{extension}_{number}_{start:%Y%m%d%H%M%S}_{call}.wav"
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(HEADER + self._random.randbytes(SOUND))
        if before:
            at = time.time() - before
            os.utime(file, (at, at))
        local = start.replace(tzinfo=None, microsecond=0)
        return {"id": call, "start": local, "talk": TALKED, "extension": extension, "number": number, "file": path}


def write_settings(folder: Path, one: Cluster, every: float) -> Path:
    """The settings of a business over these servers."""
    (folder / "password").write_text("bench")
    (folder / "calls.sql").write_text(
        "SELECT * FROM latency WHERE start >= CAST(:start AS timestamp) AND start < CAST(:end AS timestamp) ORDER BY id"
    )
    (folder / "url").write_text(one.postgresql.url("collection"))
    columns = {
        "call_id": "id", "started_at": "start", "talk_seconds": "talk", "extension": "extension", "callee": "number",
        "recording_path": "file",
    }  # fmt: skip
    content = {
        "business": BUSINESS, "title": BUSINESS, "storage": "storage", "time_zone": str(ZONE),
        "s3": {
            "endpoint": os.environ["VOXKEEP_S3_ENDPOINT"], "event_target": os.environ["VOXKEEP_S3_EVENT_TARGET"],
            "access_key": {"env": "VOXKEEP_S3_ACCESS_KEY"}, "secret_key": {"env": "VOXKEEP_S3_SECRET_KEY"},
        },
        "elasticsearch": {"url": os.environ["VOXKEEP_ELASTICSEARCH_URL"]},
        "schedules": {"backup": "15 1 1 1 *", "ingest": "15 1 1 1 *", "reconcile": "15 1 1 1 *"},
        "realtime": {"every_seconds": every},
        "sites": {"one": {"recordings": "recordings", "password": {"file": "password"}, "database": {"file": "url"}}},
        "datasets": {"calls": {"sql": "calls.sql", "columns": columns}},
        "name_templates": ["{month}/{day}/{any}/{extension}_{number}_{start:%Y%m%d%H%M%S}_{call_id}.wav"],
    }  # fmt: skip
    file = folder / "latency.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


class Listener:
    """Somebody at the page: looks for the newest calls, and fetches each recording that is new."""

    def __init__(self, file: Path) -> None:
        from voxkeep.services import places  # noqa: PLC0415  # Prefect reads its settings when it is imported
        from voxkeep.settings import load_settings  # noqa: PLC0415

        self.heard: dict[str, float] = {}
        self._places = places(load_settings(file))
        self._target = HERE / "heard.wav"

    def wait_for(self, calls: set[str]) -> None:
        """Wait until these calls are in the index, without hearing them: the watchers are at work then."""
        give_up = time.monotonic() + START_SECONDS
        day = datetime.now(ZONE).date()
        while self._places.index.links(BUSINESS, "one", [day]).drop_nulls().height < len(calls):
            assert time.monotonic() < give_up, "what was there before is not indexed: look at site.log and centre.log"
            time.sleep(LOOK_SECONDS)
        self.heard |= dict.fromkeys(calls, 0.0)

    def look(self) -> None:
        """Hear what can be heard now and could not before."""
        from blocks.query import CallQuery  # noqa: PLC0415

        query = CallQuery(businesses=(BUSINESS,), recording_state="ok", limit=PAGE)
        while True:
            found = self._places.index.search(query)
            new = [call for call in found.calls.iter_rows(named=True) if call["call_id"] not in self.heard]
            for call in new:
                self._places.store.download(call["recordings"][0]["key"], self._target)
                assert self._target.stat().st_size == RECORDING_BYTES
                self.heard[call["call_id"]] = time.time()
            if not new or found.after is None:
                return
            query = CallQuery(businesses=(BUSINESS,), recording_state="ok", limit=PAGE, after=found.after)


@contextmanager
def watchers() -> Iterator[None]:
    """The watcher of the site and that of the centre, as the units start them."""
    program = Path(sys.executable).with_name("voxkeep")
    words = {"site": [BUSINESS, "--site", "one"], "centre": [BUSINESS]}
    started = []
    for name, arguments in words.items():
        with (HERE / f"{name}.log").open("w") as log:
            command = [program, "watch", *arguments, "--home", str(HERE / f"home-{name}")]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=120)


def ring(source: Source, options: argparse.Namespace, over: Event) -> None:
    """Calls end at an even pace, until the time is over."""
    began = time.monotonic()
    for number in range(round(options.rate * options.seconds)):
        over.wait(max(0.0, began + number / options.rate - time.monotonic()))
        if over.is_set():
            return
        source.calls(1)


def measure(source: Source, listener: Listener, options: argparse.Namespace) -> list[float]:
    """Seconds from the end of each call until it was heard; those that never were have none."""
    with watchers():
        before = set(source.ended)
        listener.wait_for(before)
        over = Event()
        thread = Thread(target=ring, args=(source, options, over))
        thread.start()
        with suppress(KeyboardInterrupt):
            while thread.is_alive():
                listener.look()
                time.sleep(LOOK_SECONDS)
            listen(listener, source, PATIENCE_SECONDS)
        over.set()
        thread.join()
    return [listener.heard[call] - end for call, end in source.ended.items() if call in listener.heard.keys() - before]


def listen(listener: Listener, source: Source, patience: float) -> None:
    """Look until every call was heard, or for so long."""
    give_up = time.monotonic() + patience
    while source.ended.keys() - listener.heard.keys() and time.monotonic() < give_up:
        listener.look()
        time.sleep(LOOK_SECONDS)


def afterwards(calls: int) -> dict[str, Any]:
    """What the daily runs say of the same day: everything there, nothing twice."""
    from blocks.saved import load_index  # noqa: PLC0415
    from flows.backup import backup  # noqa: PLC0415
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.reconciliation import reconcile  # noqa: PLC0415

    backup(BUSINESS, "one")
    ingest(BUSINESS)
    done = reconcile(BUSINESS)
    links = load_index(BUSINESS).links(BUSINESS, "one", [datetime.now(ZONE).date()])
    found = {"open_critical": done["open_critical"], "open_major": done["open_major"], "links": links.height}
    print(f"daily runs afterwards: {found}, of {calls} calls")
    return found


def run(one: Cluster, options: argparse.Namespace) -> None:
    """Everything, once the servers answer."""
    os.environ |= one.environment()
    from voxkeep.apply import apply  # noqa: PLC0415
    from voxkeep.server import no_heartbeat, use_home  # noqa: PLC0415
    from voxkeep.settings import load_settings  # noqa: PLC0415

    use_home(HERE / "home")
    source = Source(HERE, one.postgresql.url("collection"))
    file = write_settings(HERE, one, options.every)
    apply(load_settings(file), HERE / "home")
    for _ in range(options.before // 100):
        source.calls(100, before=3600)
    taken = measure(source, Listener(file), options)
    missing = len(source.ended) - options.before // 100 * 100 - len(taken)
    measured = figures(taken, missing, options)
    show(measured, options)
    with no_heartbeat():
        after = afterwards(len(source.ended))
    print(json.dumps(measured | after))
    if not (measured.get("p95_seconds", math.inf) <= GOAL_SECONDS and missing == 0):
        raise SystemExit(f"not reached: p95 of {GOAL_SECONDS} s at most, and every call heard")


def figures(taken: list[float], missing: int, options: argparse.Namespace) -> dict[str, float]:
    """What was measured; a call that was never heard took for ever."""
    if len(taken) < 2:
        return {"calls": len(taken), "never_heard": missing}
    everything = sorted([*taken, *[math.inf] * missing])
    at = {share: everything[min(len(everything) - 1, len(everything) * share // 100)] for share in (50, 95)}
    return {
        "calls": len(taken), "never_heard": missing, "rate": options.rate, "seconds": options.seconds,
        "before": options.before, "every_seconds": options.every, "load": round(os.getloadavg()[1], 1),
        "p50_seconds": round(at[50], 1), "p95_seconds": round(at[95], 1), "most_seconds": round(max(taken), 1),
    }  # fmt: skip


def show(measured: dict[str, float], options: argparse.Namespace) -> None:
    """The table."""
    print(f"\n{options.rate:g} calls a second for {options.seconds:g} s, on a day that had {options.before} before")
    for name, value in measured.items():
        print(f"{name:16}{value:>10}")
    print(f"goal: p95 of {GOAL_SECONDS} s at most", flush=True)


def main() -> None:
    """Start the servers, measure, and end them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5, help="calls a second")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--before", type=int, default=3000, help="calls that the day has already")
    parser.add_argument("--every", type=float, default=5, help="`every_seconds` of the settings")
    options = parser.parse_args()
    shutil.rmtree(HERE, ignore_errors=True)
    one = cluster(HERE / "cluster", pools=("central",))
    try:
        one.start()
        run(one, options)
    finally:
        one.stop()


if __name__ == "__main__":
    main()
