"""Publishing 5,000 recordings of 50 KB to MinIO, and listing them, against s5cmd.

Run by `make bench`. Each round publishes the same files to a new bucket of one node of MinIO: with voxkeep (every file
hashed, its hash proved by the server, nothing overwritten), with `s5cmd cp` of the folder, and with `s5cmd run` of one
command for each object, to the same keys. A table, then one line of JSON with the medians and their ratios; the ratio
is to the faster s5cmd, above 1 where voxkeep is faster. `--nodes 4` publishes to a cluster instead.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from signal import SIGKILL

from pydantic import SecretStr

from blocks.store import ObjectStore, Publication
from deploy.servers import minio

HERE = Path(__file__).resolve().parents[1]
OBJECTS = HERE / ".bench" / "objects"
RECORDING_BYTES = 50_000
USER, PASSWORD = "benchmarks", "of-no-worth"


def make_files(count: int) -> list[Publication]:
    """The recordings, random and always the same, and the keys they are published under."""
    shutil.rmtree(OBJECTS, ignore_errors=True)
    OBJECTS.mkdir(parents=True)
    random, items = Random(1), []  # noqa: S311  # repeatable data, no secret
    for place in range(count):
        content = random.randbytes(RECORDING_BYTES)
        file = OBJECTS / f"{place:05}.wav"
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        key = f"2021-01-31/{sha256[:2]}/{sha256[:32]}.{sha256[:12]}.wav"
        items.append(Publication(key, file, len(content), sha256, {"name": f"01/31/{file.name}"}))
    return items


class Bench:
    """A MinIO, what is published to it, and the ways to do so."""

    def __init__(self, server: minio.Minio, items: list[Publication]) -> None:
        self.server = server
        self.items = items
        self.commands = HERE / ".bench" / "s5cmd.run"
        self.buckets = 0

    def bucket(self) -> ObjectStore:
        """A new bucket."""
        self.buckets += 1
        store = ObjectStore(
            url=f"s3://bench-{self.buckets}",
            endpoint=self.server.endpoint,
            access_key=SecretStr(USER),
            secret_key=SecretStr(PASSWORD),
        )
        store.create()
        return store

    def voxkeep(self, store: ObjectStore) -> None:
        """Publish as a flow does."""
        done = store.publish(self.items)
        assert done.published == len(self.items), done

    def s5cmd_cp(self, store: ObjectStore) -> None:
        """Copy the folder."""
        self.s5cmd("cp", f"{OBJECTS}/*", f"{store.url}/")

    def s5cmd_run(self, store: ObjectStore) -> None:
        """Copy each file to its key."""
        self.commands.write_text("".join(f"cp {item.source} {store.url}/{item.key}\n" for item in self.items))
        self.s5cmd("run", str(self.commands))

    def voxkeep_list(self, store: ObjectStore) -> None:
        """List as a flow does."""
        assert store.listing().height == len(self.items)

    def s5cmd_list(self, store: ObjectStore) -> None:
        """List with key, size and ETag, as voxkeep does."""
        self.s5cmd("ls", "--etag", f"{store.url}/*")

    def s5cmd(self, *arguments: str) -> None:
        """Run s5cmd; its keys come from the environment."""
        environment = os.environ | {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD}
        command = [str(HERE / ".tools" / "s5cmd"), "--endpoint-url", self.server.endpoint, *arguments]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def seconds(do: Callable[[ObjectStore], None], store: ObjectStore) -> float:
    """How long it takes, once everything before is on the disk."""
    os.sync()
    began = time.perf_counter()
    do(store)
    return time.perf_counter() - began


def measure(bench: Bench, rounds: int) -> dict[str, float]:
    """Medians of each way, in seconds; the ways take turns, and each round begins with another."""
    publish = [bench.voxkeep, bench.s5cmd_cp, bench.s5cmd_run]
    listing = [bench.voxkeep_list, bench.s5cmd_list]
    times: dict[str, list[float]] = {way.__name__: [] for way in (*publish, *listing)}
    for place in range(rounds):
        for way in publish[place % 3 :] + publish[: place % 3]:
            store = bench.bucket()
            times[way.__name__].append(seconds(way, store))
        for way in (listing[place % 2 :] + listing[: place % 2]) * 3:
            times[way.__name__].append(seconds(way, store))
        print(
            f"round {place + 1}: " + ", ".join(f"{way} {spent[-1]:.2f} s" for way, spent in times.items()), flush=True
        )
    return {way: statistics.median(spent) for way, spent in times.items()}


def show(medians: dict[str, float], count: int, rounds: int, nodes: int) -> None:
    """The table and the line of JSON."""
    print(f"\n{count:,} objects of {RECORDING_BYTES:,} bytes, MinIO of {nodes} node(s), medians of {rounds} rounds")
    for way, spent in medians.items():
        print(f"  {way:28}{spent:8.2f} s{count / spent:10,.0f}/s")
    published = min(medians["s5cmd_cp"], medians["s5cmd_run"]) / medians["voxkeep"]
    listed = medians["s5cmd_list"] / medians["voxkeep_list"]
    print(f"  {'publish (at least 0.9)':28}{published:8.2f}\n  {'list':28}{listed:8.2f}")
    figures = {f"{way}_seconds": spent for way, spent in medians.items()}
    figures |= {"publish_ratio": published, "list_ratio": listed}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=1)
    options = parser.parse_args()
    minio.build()
    subprocess.run(["/bin/sh", HERE / "tools" / "s5cmd.sh", HERE / ".tools"], check=True)
    folder = HERE / ".bench" / "minio"
    shutil.rmtree(folder, ignore_errors=True)
    items = make_files(options.objects)
    server = minio.cluster(folder, USER, PASSWORD, nodes=options.nodes)
    try:
        server.start()
        show(measure(Bench(server, items), options.rounds), options.objects, options.rounds, options.nodes)
    finally:
        server.stop(SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
