"""Indexing beside its peers: replacing a day of calls in Elasticsearch against the same documents sent bare.

Each round fills an empty index of the same mapping three times, in turn: by voxkeep (`ElasticIndex.replace`, from the
frame of documents, with its hashes, its look at what is there and its account of what was refused); by `_bulk` requests
whose bodies were built before the clock began, sent by as many connections; and by `helpers.parallel_bulk` of
Elasticsearch's own client, given finished dictionaries. All end with a refresh and a count. Medians, and the medians
of each round's ratios of documents a second, are printed, then one line of JSON.
"""

import argparse
import json
import statistics
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import polars as pl
from elasticsearch import Elasticsearch
from elasticsearch.helpers import parallel_bulk

from blocks.elastic import ElasticIndex
from blocks.elastic_bulk import REQUEST_BYTES
from blocks.elastic_documents import document_of, encoded
from blocks.index import DOCUMENT_SCHEMA
from deploy.servers import elasticsearch

HERE = Path(__file__).resolve().parents[1] / ".bench"
DAY = date(2021, 1, 31)
BUSINESS, SITE = "bench", "one"
INDEX = f"calls-{BUSINESS}-{DAY:%Y.%m}"
CONNECTIONS = 4


def make_documents(count: int) -> pl.DataFrame:
    """Calls of one day, as the flow makes them: three numbers, attributes, a note in Chinese, a recording."""
    random = Random(1)  # noqa: S311  # repeatable data, no secret
    return pl.DataFrame([_document(random, place) for place in range(count)], schema=DOCUMENT_SCHEMA)


def _document(random: Random, place: int) -> dict[str, Any]:
    uid, recording_id = random.randbytes(16).hex(), random.randbytes(16).hex()
    extension, number = str(2000 + place % 100), f"1{random.randrange(10**9, 10**10)}"
    return {
        "call_uid": uid, "business": BUSINESS, "site": SITE, "dataset": "calls", "day": DAY, "call_id": f"c{place:08}",
        "leg": "", "started_at": datetime(2021, 1, 31, tzinfo=UTC) + timedelta(seconds=place), "talk_seconds": 30.5,
        "extension": extension, "caller": extension, "callee": f"0{number}", "display_number": "02161234567",
        "numbers": [extension, number, "02161234567"],
        "attributes": json.dumps({"case": f"K{place}", "queue": "催收一组", "trunk": "t1", "disposition": "ANSWERED"}),
        "notes": json.dumps([{"text": "客户说明天下午还款，请再打电话确认", "by": extension}], ensure_ascii=False),
        "recordings": [
            {
                "recording_id": recording_id, "key": f"2021-01-31/{uid[:2]}/{uid}.wav3", "container": "wav",
                "path": f"01/31/{extension}_{number}.wav3", "codec": "gsm_ms", "duration_ms": 30_000, "size": 50_000,
                "sha256": random.randbytes(32).hex(),
            }
        ],
    }  # fmt: skip


def by_voxkeep(index: ElasticIndex, documents: pl.DataFrame) -> None:
    """Replace the partition."""
    done = index.replace(BUSINESS, SITE, DAY, documents)
    assert done.changed, done
    assert done.rejected.is_empty(), done


def by_raw_requests(url: str, bodies: list[bytes]) -> None:
    """Send the finished bodies."""
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(CONNECTIONS) as pool:

        def send(body: bytes) -> None:
            answer = client.post(f"{url}/{INDEX}/_bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
            assert not answer.json()["errors"], answer.text[:500]

        deque(pool.map(send, bodies), maxlen=0)
        client.post(f"{url}/{INDEX}/_refresh").raise_for_status()


def by_parallel_bulk(url: str, actions: list[dict[str, Any]]) -> None:
    """Let Elasticsearch's own client do it."""
    with Elasticsearch(url, request_timeout=60) as client:
        deque(parallel_bulk(client, actions, thread_count=CONNECTIONS, chunk_size=2000), maxlen=0)
        client.indices.refresh(index=INDEX)


def requests_of(lines: pl.DataFrame) -> list[bytes]:
    """Bodies of `_bulk` of the size that voxkeep sends."""
    bodies, part = [], bytearray()
    for item in lines["lines"]:
        part += item.encode()
        if len(part) >= REQUEST_BYTES:
            bodies.append(bytes(part))
            part.clear()
    return [*bodies, bytes(part)] if part else bodies


def measure(index: ElasticIndex, count: int, fill: Callable[[], None]) -> float:
    """Seconds to fill an empty index."""
    httpx.delete(f"{index.url}/{INDEX}", timeout=60)
    for step in index.prepare(BUSINESS):
        step.do()
    httpx.put(f"{index.url}/{INDEX}", timeout=60).raise_for_status()
    began = time.perf_counter()
    fill()
    seconds = time.perf_counter() - began
    found = httpx.get(f"{index.url}/{INDEX}/_count", timeout=60).json()["count"]
    assert found == count, found
    return seconds


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    elasticsearch.fetch()
    node = elasticsearch.node(HERE / "elasticsearch")
    node.start()
    try:
        show(run(node.url, options.documents, options.rounds), options.documents)
    finally:
        node.stop()


def run(url: str, count: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each peer in each round; a first round is not counted: Java is still compiling itself."""
    index = ElasticIndex(url=url, connections=CONNECTIONS)
    documents = make_documents(count)
    lines = encoded(documents)
    bodies = requests_of(lines)
    actions = [
        {"_index": INDEX, "_id": uid, "_source": json.loads(document)}
        for uid, document in lines.select("call_uid", document_of(pl.col("lines"))).iter_rows()
    ]
    peers: dict[str, Callable[[], None]] = {
        "voxkeep": lambda: by_voxkeep(index, documents),
        "raw _bulk": lambda: by_raw_requests(url, bodies),
        "parallel_bulk": lambda: by_parallel_bulk(url, actions),
    }
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 1):
        # Each begins a round in its turn: whoever comes first finds a colder machine.
        names = list(peers)[number % len(peers) :] + list(peers)[: number % len(peers)]
        for name in names:
            took = measure(index, count, peers[name])
            if number:
                seconds[name].append(took)
        told = ", ".join(f"{name} {taken[-1]:.2f} s" for name, taken in seconds.items() if taken)
        print(f"round {number}: {told or 'warming up'}", flush=True)
    seconds["voxkeep, unchanged"] = [_again(index, documents) for _ in range(rounds)]
    return seconds


def _again(index: ElasticIndex, documents: pl.DataFrame) -> float:
    """Seconds to replace the partition by what it holds already."""
    index.replace(BUSINESS, SITE, DAY, documents)
    began = time.perf_counter()
    assert not index.replace(BUSINESS, SITE, DAY, documents).changed
    return time.perf_counter() - began


def show(seconds: dict[str, list[float]], count: int) -> None:
    """The table and the line of JSON."""
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    ours = medians["voxkeep"]
    print(f"\n{count:,} documents, {CONNECTIONS} connections, medians of {len(seconds['voxkeep'])} rounds")
    for name, median in medians.items():
        print(f"  {name:24}{median:8.2f} s{count / median:12,.0f} documents/s")
    figures = {
        "documents": count,
        "voxkeep_seconds": ours,
        "unchanged_seconds": medians["voxkeep, unchanged"],
        "ratio_to_raw": _ratio(seconds, "raw _bulk"),
        "ratio_to_parallel_bulk": _ratio(seconds, "parallel_bulk"),
    }
    print(f"  {'speed / raw (>= 0.9)':24}{figures['ratio_to_raw']:8.2f}")
    print(f"  {'speed / parallel_bulk':24}{figures['ratio_to_parallel_bulk']:8.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _ratio(seconds: dict[str, list[float]], peer: str) -> float:
    """How fast voxkeep is beside the peer of the same round: what else the machine does concerns both."""
    rounds = zip(seconds[peer], seconds["voxkeep"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in rounds)


if __name__ == "__main__":
    main()
