"""Searching among a million calls: how long people wait, while sixteen of them ask at the same time.

Each user asks the next question as soon as the one before is answered. What they ask is a mix, typed as people type it
(bench/listening_queries.py); the answer is a page of fifty whole documents with the total. Medians and 95th percentiles
are printed for each back end and each kind of question, then one line of JSON.

A target is a name and what answers one question: another one, for example the page over HTTP, is a line in `targets`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from listening_data import BUSINESS, fill
from listening_queries import KINDS, questions

from blocks.elastic import ElasticIndex
from blocks.index import CatalogIndex
from blocks.query import CallQuery
from deploy.servers import elasticsearch
from listen.typed import comparable
from reconcile.rules import NumberRules

HERE = Path(__file__).resolve().parents[1] / ".bench" / "listen"
AnyIndex = CatalogIndex | ElasticIndex


@dataclass(frozen=True)
class Target:
    """What is measured: who answers a question, and the goal for its 95th percentile in milliseconds."""

    name: str
    answer: Callable[[CallQuery], object]
    goal_ms: float


def targets(indices: dict[str, AnyIndex]) -> list[Target]:
    """Everything that is measured."""
    goals = {"elasticsearch": 150.0, "embedded": 800.0}
    return [Target(f"search, {name}", _searched(index), goals[name]) for name, index in indices.items()]


def _searched(index: AnyIndex) -> Callable[[CallQuery], object]:
    def search(typed: CallQuery) -> object:
        query = comparable(typed, [NumberRules()])
        return index.search(CallQuery(**(vars(query) | {"businesses": (BUSINESS,)})))

    return search


def under_load(
    answer: Callable[[CallQuery], object], asked: Sequence[tuple[str, CallQuery]], users: int
) -> list[tuple[str, float]]:
    """Kind and milliseconds of each question, when so many users ask all the time."""

    def ask(question: tuple[str, CallQuery]) -> tuple[str, float]:
        began = time.perf_counter()
        answer(question[1])
        return question[0], (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(users) as pool:
        return list(pool.map(ask, asked))


def percentile(values: Sequence[float], share: int) -> float:
    """The value below which this share (in hundredths) of the values lies."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def main() -> None:
    """Make the calls where they are not there yet, measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--questions", type=int, default=800)
    parser.add_argument("--only", choices=["elasticsearch", "embedded"])
    options = parser.parse_args()
    HERE.mkdir(parents=True, exist_ok=True)
    indices: dict[str, AnyIndex] = {}
    node = None
    if options.only != "embedded":
        elasticsearch.fetch()
        node = elasticsearch.node(HERE / "elasticsearch")
        node.start()
        indices["elasticsearch"] = ElasticIndex(url=node.url)
    if options.only != "elasticsearch":
        indices["embedded"] = CatalogIndex(url=str(HERE / "index"))
    try:
        for index in indices.values():
            fill(index, HERE, options.calls)
        measured = {target: measure(target, options) for target in targets(indices)}
    finally:
        if node:
            node.stop()
    show(measured, options)


def measure(target: Target, options: argparse.Namespace) -> list[tuple[str, float]]:
    """Kind and milliseconds of each question; a first round warms up and does not count."""
    began = time.perf_counter()
    target.answer(CallQuery())
    print(f"{target.name}: first answer after {time.perf_counter() - began:.2f} s", flush=True)
    under_load(target.answer, questions(options.users * 10, seed=1), options.users)
    return under_load(target.answer, questions(options.questions, seed=2), options.users)


def show(measured: dict[Target, list[tuple[str, float]]], options: argparse.Namespace) -> None:
    """The table and the line of JSON."""
    print(f"\n{options.calls:,} calls, {options.users} users at the same time, {options.questions} questions; ms")
    print(f"{'':26}" + "".join(f"{target.name:>30}" for target in measured))
    print(f"{'':26}" + "".join(f"{'p50':>20}{'p95':>10}" for _ in measured))
    for kind in ("all", *KINDS):
        row = f"{kind:26}"
        for times in measured.values():
            taken = [ms for asked, ms in times if kind in ("all", asked)]
            row += f"{percentile(taken, 50):20.0f}{percentile(taken, 95):10.0f}"
        print(row)
    figures: dict[str, float] = {"calls": options.calls, "users": options.users}
    for target, times in measured.items():
        taken = [ms for _, ms in times]
        p95 = percentile(taken, 95)
        print(f"{target.name}: p95 {p95:.0f} ms (goal: <= {target.goal_ms:.0f} ms)")
        name = target.name.replace(", ", "_")
        figures |= {f"{name}_p50_ms": round(percentile(taken, 50), 1), f"{name}_p95_ms": round(p95, 1)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
