"""Finding and hearing calls among a million: how long people wait, while sixteen of them use the page at the same time.

The page runs as `voxkeep listen` runs it, in a process of its own, over each kind of call index. Each user logs in, and
asks something each second: the page lets nobody search more often for long. What they ask is a mix, typed as people
type it (bench/listening_queries.py); a search is measured from sending the form to the last byte of the results. Play
start is measured from pressing play to the first byte of sound: the row in the audit trail, the recording fetched,
proved and made ready. Half of the plays follow the call's own page, which makes the recording ready; the others come
at once.

First one user alone does everything: what a request costs in processor time, whatever else the machine does. Then come
rounds of all users, and one in which each asks the next as soon as the one before is answered: what people would wait
if nothing held them back. Medians of the rounds and the calmest round are printed, then one line of JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import psutil
from listening_data import BUSINESS, fill, recorded_calls
from listening_page import Browser, apply, make_accounts, served
from listening_queries import KINDS, form_of, questions
from listening_sounds import publish

from blocks.elastic import ElasticIndex
from blocks.index import CatalogIndex
from blocks.store import ObjectStore
from deploy.servers import elasticsearch, process

HERE = Path(__file__).resolve().parents[1] / ".bench" / "listen"
# Goals for the 95th percentiles in milliseconds, by what is measured.
GOALS = {
    "elasticsearch": {"search": 150.0, "play": 200.0},
    "embedded": {"search": 800.0, "play": 200.0},
}
OPENED, AT_ONCE = "play, call opened", "play at once"
# Seconds from one question or play of a user to the next: the page's own limit.
_EVERY = 1.0
# Questions of each kind, and plays, of the one user who is alone.
_ALONE = 10
Timed = tuple[str, float]
Asked = TypeVar("Asked")


@dataclass(frozen=True)
class Recording:
    """Where the page has a call and its recording, and whether the call is opened before it is played."""

    call: str
    path: str
    is_opened: bool


@dataclass
class Measured:
    """What came of one kind of call index: processor time by kind, and kind and milliseconds by round.

    `rushed`: of the searches and plays of those whom nothing holds back.
    """

    alone: dict[str, tuple[float, float, float]]
    searches: list[list[Timed]]
    plays: list[list[Timed]]
    rushed: tuple[list[Timed], list[Timed]] = ([], [])


def main() -> None:
    """Make the calls where they are not there yet, measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--questions", type=int, default=480, help="of each round; at most 50 a user")
    parser.add_argument("--plays", type=int, default=320, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(GOALS))
    options = parser.parse_args()
    HERE.mkdir(parents=True, exist_ok=True)
    show({name: measured(name, options) for name in GOALS if options.only in (None, name)}, options)


def measured(name: str, options: argparse.Namespace) -> Measured:
    """Everything that is measured over one kind of call index."""
    home = HERE / f"home-{name}"
    with ExitStack() as stack:
        others = []
        index: CatalogIndex | ElasticIndex = CatalogIndex(url=str(home / "storage" / "index"))
        if name == "elasticsearch":
            elasticsearch.fetch()
            node = elasticsearch.node(HERE / "elasticsearch")
            stack.callback(node.stop)
            node.start()
            index = ElasticIndex(url=node.url)
            others = [process.find("elasticsearch", node.folder)]
        if not (home / "businesses" / f"{BUSINESS}.json").exists():
            apply(home, index.url if isinstance(index, ElasticIndex) else None)
        fill(index, HERE, options.calls)
        plays = [_recording(*one) for one in enumerate(_published(home, options))]
        make_accounts(home, [_name(place) for place in range(options.users * (options.rounds + 3))])
        port, page = stack.enter_context(served(home))
        return _measured(home, port, [page, *filter(None, others)], plays, options)


def _published(home: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    """Documents of calls whose recording the object store holds, one for each play."""
    count = options.plays * (options.rounds + 1) + 4 * _ALONE + options.users
    calls = recorded_calls(options.calls, count).to_dicts()
    store = ObjectStore(url=str((home / "storage" / "bucket" / f"{BUSINESS}-audio").resolve()))
    publish(store, [call["recordings"][0] for call in calls], HERE / "sounds")
    return calls


def _recording(place: int, call: dict[str, object]) -> Recording:
    path = f"/call/{BUSINESS}/{call['day']}/{call['call_uid']}"
    return Recording(path, f"{path}/{call['recordings'][0]['recording_id']}", place % 2 == 0)  # type: ignore[index]


def _measured(
    home: Path, port: int, processes: list[psutil.Process], plays: list[Recording], options: argparse.Namespace
) -> Measured:
    waiting = iter(plays)
    browsers = _browsers(port, options.users)
    some = next(browsers)
    began = time.perf_counter()
    some[0].search({"number": "404"})
    print(f"{home.name}: first search after {time.perf_counter() - began:.1f} s", flush=True)
    _at_the_same_time(search, some, questions(options.users * 5, seed=1))
    _at_the_same_time(play, some, [next(waiting) for _ in range(options.users)])
    found = Measured(_alone(next(browsers), processes, waiting), [], [])
    for number in range(options.rounds):
        users = next(browsers)
        found.searches.append(_at_the_same_time(search, users, questions(options.questions, seed=number + 2), _EVERY))
        found.plays.append(_at_the_same_time(play, users, [next(waiting) for _ in range(options.plays)], _EVERY))
        told = [f"{percentile(times, 95):.0f} ms" for times in (found.searches[-1], found.plays[-1])]
        print(f"{home.name}, round {number + 1}: p95 of searches {told[0]}, of play start {told[1]}", flush=True)
    users = next(browsers)
    searches = _at_the_same_time(search, users, questions(options.questions, seed=options.rounds + 2))
    found.rushed = (searches, _at_the_same_time(play, users, [next(waiting) for _ in range(options.plays)]))
    return found


def _name(place: int) -> str:
    return f"user-{place:03}"


def _browsers(port: int, users: int) -> Iterator[list[Browser]]:
    """Browsers that have logged in, of other people each time: nobody may search more than once a second for long."""
    number = 0
    while True:
        made = [Browser(port, _name(place), place) for place in range(number, number + users)]
        for browser in made:
            browser.login()
        yield made
        number += users


def _at_the_same_time(
    do: Callable[[Browser, Asked], Timed], users: Sequence[Browser], asked: Sequence[Asked], every: float = 0.0
) -> list[Timed]:
    """What each user has done, one thing after the other, all users at the same time; each thing `every` seconds."""
    began = time.perf_counter()

    def in_turn(place: int) -> list[Timed]:
        done = []
        for number, one in enumerate(asked[place :: len(users)]):
            due = began + every * (number + place / len(users))  # people do not press the button all at once
            time.sleep(max(0.0, due - time.perf_counter()))
            done.append(do(users[place], one))
        return done

    with ThreadPoolExecutor(len(users)) as pool:
        return [one for part in pool.map(in_turn, range(len(users))) for one in part]


def search(user: Browser, question: tuple[str, object]) -> Timed:
    """Ask; of a later page, its first page is on the way to it and does not count."""
    kind, query = question
    fields = form_of(query)  # type: ignore[arg-type]
    if kind == "a later page":
        html = user.search(fields)
        began = time.perf_counter()
        user.next_page(html)
    else:
        began = time.perf_counter()
        user.search(fields)
    return kind, (time.perf_counter() - began) * 1000


def play(user: Browser, recording: Recording) -> Timed:
    """Play, with the call's page opened before, or at once."""
    if recording.is_opened:
        user.open(recording.call)
        user.show_waveform(recording.path)
    return OPENED if recording.is_opened else AT_ONCE, user.play(recording.path)


def _alone(
    users: list[Browser], processes: list[psutil.Process], plays: Iterator[Recording]
) -> dict[str, tuple[float, float, float]]:
    """Milliseconds (median), and those of processor time a request, of the page and of the server of its index.

    One thing at a time, by each of the users in turn: nobody may search more than once a second for long.
    """
    user = cycle(users)
    by_kind: dict[str, list[Callable[[], Timed]]] = {kind: [] for kind in (*KINDS, OPENED, AT_ONCE)}
    for kind, query in questions(100 * _ALONE, seed=9):
        if len(by_kind[kind]) < _ALONE:
            by_kind[kind].append(partial(search, next(user), (kind, query)))
    for _ in range(2 * _ALONE):
        recording = next(plays)
        by_kind[OPENED if recording.is_opened else AT_ONCE].append(partial(play, next(user), recording))
    found = {}
    for kind, todo in by_kind.items():
        before = _processor_ms(processes)
        times = [one()[1] for one in todo]
        spent = [after - was for after, was in zip(_processor_ms(processes), before, strict=True)]
        found[kind] = (statistics.median(times), spent[0] / len(todo), sum(spent[1:]) / len(todo))
    return found


def _processor_ms(processes: list[psutil.Process]) -> list[float]:
    """Processor time so far of each process with its children."""
    return [
        sum(1000 * (one.cpu_times().user + one.cpu_times().system) for one in (top, *top.children(recursive=True)))
        for top in processes
    ]


def percentile(times: Sequence[Timed], share: int, kind: str = "all") -> float:
    """The milliseconds below which this share (in hundredths) of these times lies."""
    taken = [ms for one, ms in times if kind in ("all", one)]
    return statistics.quantiles(taken, n=100, method="inclusive")[share - 1] if len(taken) > 1 else float("nan")


def show(found: dict[str, Measured], options: argparse.Namespace) -> None:
    """The tables and the line of JSON."""
    figures: dict[str, float] = {"calls": options.calls, "users": options.users, "rounds": options.rounds}
    for name, measured_here in found.items():
        print(f"\n{name}: {options.calls:,} calls; ms")
        heads = {"one user: p50": 16, "CPU page": 10, "CPU index": 10, f"{options.users} users: p50": 18, "p95": 8}
        print(" " * 24 + "".join(f"{head:>{width}}" for head, width in heads.items()))
        for kind, (alone, page, index) in measured_here.alone.items():
            rounds = measured_here.plays if kind in (OPENED, AT_ONCE) else measured_here.searches
            p50, p95 = (statistics.median(percentile(one, share, kind) for one in rounds) for share in (50, 95))
            print(f"{kind:24}{alone:16.0f}{page:10.1f}{index:10.1f}{p50:18.0f}{p95:8.0f}")
        figures |= _totals(name, measured_here)
    print(json.dumps(figures))


def _totals(name: str, found: Measured) -> dict[str, float]:
    """Percentiles of all searches and of all plays."""
    figures = {}
    for what, rounds in (("search", found.searches), ("play", found.plays)):
        p50s, p95s = ([percentile(one, share) for one in rounds] for share in (50, 95))
        goal = GOALS[name][what]
        print(
            f"{name}, {what}: p50 {statistics.median(p50s):.0f} ms, p95 {statistics.median(p95s):.0f} ms, "
            f"calmest round {min(p95s):.0f} ms (goal: <= {goal:.0f} ms)"
        )
        figures |= {
            f"{what}_{name}_p50_ms": round(statistics.median(p50s), 1),
            f"{what}_{name}_p95_ms": round(statistics.median(p95s), 1),
            f"{what}_{name}_p95_calmest_ms": round(min(p95s), 1),
        }
    for what, times in zip(("search", "play"), found.rushed, strict=True):
        rushed = {share: percentile(times, share) for share in (50, 95)}
        print(f"{name}, {what}, nothing holding them back: p50 {rushed[50]:.0f} ms, p95 {rushed[95]:.0f} ms")
        figures |= {f"rushed_{what}_{name}_p{share}_ms": round(ms, 1) for share, ms in rushed.items()}
    return figures


if __name__ == "__main__":
    main()
