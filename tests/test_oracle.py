"""The engine agrees with its specification (oracle.py) on every case (cases.py).

A case that differs is made smaller row by row, and told with its number. `CASE=1234 pytest tests/test_oracle.py -k
agree` shows it again.
"""

import ast
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import cases
import oracle
import polars as pl
import pytest
from cases import STATIONS, TABLES, Look, Setting
from polars.testing import assert_frame_equal
from tables import BUSINESS, OF_CHECKS, Row, call, named, rows_of

from reconcile import findings as kinds
from reconcile.evidence import CAUSES, Witnesses
from reconcile.frames import (
    CALLS,
    EXTRACTS,
    FINDINGS,
    GONE,
    INDEXED,
    INVENTORY,
    LISTING,
    QUARANTINE,
    REJECTED,
    RESTORED,
    SNAPSHOT_FILES,
    SNAPSHOTS,
    UNINDEXED,
    WAIVERS,
)
from reconcile.ledger import OWNERS, RESOLUTIONS, Now, carry_on, waive
from reconcile.matching import match
from reconcile.rules import Rules
from reconcile.trace import Stations, Traced, trace

ORDINARY, LONG = 1_000, 20_000
# So many cases are reconciled together, and the first of them once more alone, with some tables empty.
TOGETHER = 25
# The groups of cases that one test reconciles, so that the tests share them out among processes.
GROUPS = 5

CONTRACTS = {
    "calls": CALLS, "inventory": INVENTORY, "snapshot_files": SNAPSHOT_FILES, "restored": RESTORED,
    "listing": LISTING, "indexed": INDEXED, "quarantine": QUARANTINE, "extracts": EXTRACTS, "snapshots": SNAPSHOTS,
    "gone": GONE, "rejected": REJECTED, "unindexed": UNINDEXED,
}  # fmt: skip
WITNESSES = ("snapshots", "gone", "rejected", "unindexed")
DUE = pl.Schema({"business": pl.String(), "site": pl.String(), "day": pl.Date()})

# What one look says: links, ties, clock, trace, findings, ledger, each as rows that can be compared.
Said = dict[str, list[Any]]


def by_engine(looks: list[Look], given: Setting) -> list[Said]:
    """What the engine says at each look."""
    rules, ledger, said = Rules.model_validate(given.rules), FINDINGS.empty(), []
    for look, as_of in zip(looks, given.days, strict=False):
        frames = {name: rows_of(contract, *look[name]).lazy() for name, contract in CONTRACTS.items()}
        seen = {name: frames[name] for name in STATIONS if name in given.looked_at}
        traced = trace(frames["calls"], frames["inventory"], Stations(**seen), rules)
        newest = frames["inventory"].sort("mtime", "size", "sha256").unique("recording_id", keep="last")
        matches = match(frames["calls"], newest, rules)
        witnesses = Witnesses(Stations(**seen), *(frames[name] for name in WITNESSES))
        found = found_by_engine(traced, frames, pl.DataFrame(look["due"], schema=DUE), rules, witnesses, as_of)
        ledger = carry_on(ledger, found, as_of, Now(traced.trace.select(OWNERS).collect(), found, others(frames)))
        ledger = waive(ledger, rows_of(WAIVERS, *waivers(ledger.rows(named=True))), as_of)
        said.append(
            {
                "links": sorted(map(to_nine_places, matches.links.rows()), key=repr),
                "ties": sorted({*matches.ties.rows()}, key=repr),
                "clock": list(map(to_nine_places, traced.clock.rows())),
                "trace": list(map(row_to_nine_places, traced.trace.collect().rows(named=True))),
                "findings": found.rows(named=True),
                "ledger": ledger.rows(named=True),
            }
        )
    return said


def others(frames: dict[str, pl.LazyFrame]) -> pl.DataFrame:
    """The recordings and calls that there are."""
    calls, files = frames["calls"].select(OWNERS[:3]), frames["inventory"].select("recording_id")
    return pl.concat([calls, files], how="diagonal").collect()


def found_by_engine(
    traced: Traced,
    frames: dict[str, pl.LazyFrame],
    due: pl.DataFrame,
    rules: Rules,
    witnesses: Witnesses,
    as_of: date,
) -> pl.DataFrame:
    parts = [
        kinds.in_trace(traced.trace, rules.matching, witnesses),
        kinds.repeated_calls(frames["calls"]),
        kinds.quarantined_rows(frames["quarantine"]),
        kinds.mismatched_extracts(frames["extracts"]),
        kinds.skewed_clocks(traced.clock, BUSINESS, rules.matching),
        kinds.overdue_backups(due, frames["snapshots"]),
    ]
    return kinds.collect_findings(parts, as_of)


def by_oracle(looks: list[Look], given: Setting) -> list[Said]:
    """What the specification says at each look."""
    rules, ledger, said = cases.oracle_rules(given.rules), [], []
    for look, as_of in zip(looks, given.days, strict=False):
        stations = {name: look[name] if name in given.looked_at else None for name in STATIONS}
        rows, matches = oracle.trace(look["calls"], look["inventory"], stations, rules)
        found = oracle.findings(look | stations | {"business": BUSINESS}, rows, matches.clock, rules, as_of)
        ledger = oracle.carry_on(ledger, found, as_of, rows)
        ledger = oracle.waive(ledger, waivers(ledger), as_of)
        said.append(
            {
                "links": sorted((to_nine_places(link.values()) for link in matches.links.values()), key=repr),
                "ties": sorted({tuple(tie.values()) for tie in matches.ties}, key=repr),
                "clock": sorted(to_nine_places((*which, *clock)) for which, clock in matches.clock.items()),
                "trace": list(map(row_to_nine_places, rows)),
                "findings": found,
                "ledger": ledger,
            }
        )
    return said


def to_nine_places(values: Iterable[Any]) -> tuple[Any, ...]:
    """The values, numbers without their last bits: how a quotient is rounded is not specified."""
    return tuple(round(value, 9) if isinstance(value, float) else value for value in values)


def row_to_nine_places(row: Row) -> Row:
    return dict(zip(row, to_nine_places(row.values()), strict=True))


def waivers(ledger: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What people decide about these findings (WAIVERS): some are waived, for a while; of some that is withdrawn."""
    decided = []
    for row in ledger:
        times = "0512".find(row["finding_id"][-1]) + 1
        decided += [_decision(row, time) for time in range(times)]
    return decided


def _decision(finding: dict[str, Any], time: int) -> dict[str, Any]:
    first, days = finding["first_seen"], int(finding["finding_id"][-2], 16) % 4
    return {name: finding[name] for name in ("business", "site", "day", "finding_id")} | {
        "author": "a", "reason": "r", "waived_at": datetime.combine(first, clock_time(time), UTC),
        "until": first + timedelta(days=days - time),
    }  # fmt: skip


def together(parts: list[list[Said]]) -> list[Said]:
    """What is said of several cases side by side."""
    joined = [
        {name: [row for said in looks for row in said[name]] for name in looks[0]} for looks in zip(*parts, strict=True)
    ]
    return [in_order(said) for said in joined]


def in_order(said: Said) -> Said:
    return said | {
        "links": sorted(said["links"], key=repr), "ties": sorted(said["ties"], key=repr),
        "clock": sorted(said["clock"]), "trace": oracle.in_order(said["trace"]),
        "findings": sorted(said["findings"], key=by_id), "ledger": sorted(said["ledger"], key=by_id),
    }  # fmt: skip


def by_id(row: Row) -> str:
    return str(row["finding_id"])


def differences(expected: list[Said], found: list[Said]) -> list[str]:
    """Where the engine's rows are not those of the specification, in words."""
    told = []
    for number, (should, is_) in enumerate(zip(expected, found, strict=True)):
        for name in should:
            told += [f"look {number}, {name}: {line}" for line in row_differences(should[name], is_[name])]
    return told


def row_differences(expected: list[Any], found: list[Any]) -> list[str]:
    if expected == found:
        return []
    lacks = [row for row in expected if row not in found]
    more = [row for row in found if row not in expected]
    if len(lacks) == len(more) and all(isinstance(row, dict) for row in lacks):
        pairs = zip(lacks, more, strict=True)
        return [str({k: f"{a[k]!r}, but engine {b.get(k)!r}" for k in a if a[k] != b.get(k)}) for a, b in pairs]
    return [f"engine lacks {row}" for row in lacks] + [f"engine has {row}" for row in more] or ["another order"]


def shrunk(looks: list[Look], still_differs: Callable[[list[Look]], bool]) -> list[Look]:
    """The looks without any row, or look, that can be left out while they still differ."""
    for site in sorted({row["site"] for look in looks for name in ("calls", "inventory") for row in look[name]}):
        alone = [
            {name: [row for row in look[name] if row.get("site", site) == site] for name in TABLES} for look in looks
        ]
        if still_differs(alone):
            looks = alone
            break
    while len(looks) > 1 and still_differs(looks[:-1]):
        looks = looks[:-1]
    smaller = True
    while smaller:
        before = sum(len(rows) for look in looks for rows in look.values())
        for number in range(len(looks)):
            for name in TABLES:
                looks = without_rows(looks, number, name, still_differs)
        smaller = sum(len(rows) for look in looks for rows in look.values()) < before
    return looks


def without_rows(looks: list[Look], number: int, name: str, still_differs: Callable[[list[Look]], bool]) -> list[Look]:
    """The looks without the rows of this table that are not needed: first by many, then by halves, then one by one."""
    size = len(looks[number][name])
    while size:
        start = 0
        while start < len(looks[number][name]):
            rows = looks[number][name]
            fewer = [*looks]
            fewer[number] = looks[number] | {name: rows[:start] + rows[start + size :]}
            if still_differs(fewer):
                looks = fewer
            else:
                start += size
        size //= 2
    return looks


def described(looks: list[Look]) -> str:
    """The rows of the looks, without what holds nothing."""
    lines = []
    for number, look in enumerate(looks):
        for name in TABLES:
            for row in look[name]:
                said = {
                    k: str(v) if k.endswith(("_at", "day", "mtime")) else v for k, v in row.items() if v is not None
                }
                lines.append(f"look {number}, {name}: {said}")
    return "\n".join(lines)


def fail(which: str, looks: list[Look], given: Setting, differ: Callable[[list[Look]], list[str]]) -> None:
    """Tell what differs, on the smallest looks that do."""
    wants_smallest = os.environ.get("SHRINK") != "no"
    smallest = shrunk(looks, lambda fewer: bool(differ(fewer))) if wants_smallest else looks
    told = "\n".join(differ(smallest)[:10])
    pytest.fail(
        f"engine and oracle differ on {which}; rules {given.rules}, looked at {sorted(given.looked_at)}, "
        f"days {[str(day) for day in given.days]}\n{told}\nthe smallest that differs:\n{described(smallest)}",
        pytrace=False,
    )


def check_group(group: int) -> None:
    """Reconcile the cases of this group together, and the first of them alone with some tables empty."""
    given, seeds = cases.setting(group), range(group * TOGETHER, (group + 1) * TOGETHER)

    def differ(looks: list[Look]) -> list[str]:
        return differences(by_oracle(looks, given), by_engine(looks, given))

    looks = [cases.case(seed, given) for seed in seeds]
    side_by_side = cases.together(looks)
    if differences(together([by_oracle(each, given) for each in looks]), by_engine(side_by_side, given)):
        for seed, each in zip(seeds, looks, strict=True):
            if differ(each):
                fail(f"case {seed}", each, given, differ)
        fail(f"cases {seeds.start} to {seeds.stop - 1}, but on none of them alone", side_by_side, given, differ)
    emptied = cases.case(seeds.start, given, emptied=True)
    if differ(emptied):
        fail(f"case {seeds.start}, emptied", emptied, given, differ)


def parts(first: int, last: int) -> list[Sequence[int]]:
    """The groups of these cases, some for each test; of the case that the environment asks for, its group alone."""
    if "CASE" in os.environ:
        return [[int(os.environ["CASE"]) // TOGETHER]]
    step = TOGETHER * GROUPS
    return [range(start // TOGETHER, (start + step) // TOGETHER) for start in range(first, last, step)]


@pytest.mark.parametrize("groups", parts(0, ORDINARY), ids=str)
def test_engine_and_specification_agree(groups: Sequence[int]) -> None:
    for group in groups:
        check_group(group)


@pytest.mark.long
@pytest.mark.parametrize("groups", parts(ORDINARY, LONG), ids=str)
def test_engine_and_specification_agree_on_many_more(groups: Sequence[int]) -> None:
    for group in groups:
        check_group(group)


@pytest.mark.parametrize("group", range(2))
def test_the_trace_of_a_day_is_that_part_of_the_whole(group: int) -> None:
    given = cases.setting(group)
    look = cases.together([cases.case(seed, given) for seed in range(group * TOGETHER, (group + 1) * TOGETHER)])[-1]
    frames = {name: rows_of(contract, *look[name]).lazy() for name, contract in CONTRACTS.items()}
    stations = Stations(**{name: frames[name] for name in STATIONS if name in given.looked_at})
    rules = Rules.model_validate(given.rules)
    whole = trace(frames["calls"], frames["inventory"], stations, rules)
    rows = whole.trace.collect()
    for day in rows["day"].drop_nulls().unique():
        part = trace(frames["calls"], frames["inventory"], stations, rules, [day])
        assert_frame_equal(part.trace.collect(), rows.filter(pl.col("day") == day))
        assert_frame_equal(part.clock, whole.clock)


# the cases


def test_the_cases_hold_every_fault_there_is() -> None:
    told: Counter[tuple[str, Any]] = Counter()
    for group in range(10):
        given = cases.setting(group)
        for seed in range(group * TOGETHER, (group + 1) * TOGETHER):
            for said in by_oracle(cases.case(seed, given), given):
                told.update(("kind", row["kind"]) for row in said["findings"])
                told.update(("cause", row["cause"]) for row in said["findings"])
                told.update(("held_at", row["held_at"]) for row in said["findings"])
                told.update(("status", row["status"]) for row in said["ledger"])
                told.update(("resolution", row["resolution"]) for row in said["ledger"])
                told.update(("tie", reason.split()[0]) for _, _, owner, reason in said["ties"] if owner)
                told.update(
                    (name, row[name]) for row in said["trace"] for name in ("coverage", "lost_at", "match", "state")
                )
                told.update(("masked", row["match"]) for row in said["trace"] if "masked" in (row["reason"] or ""))
                told.update(("clock", offset > 0) for *_, offset, _ in said["clock"] if offset)
                told.update(("several files", True) for count in files_a_call(said["trace"]).values() if count > 1)
                told.update(("several legs", True) for row in said["trace"] if (row["legs"] or 1) > 1)
    assert {kind for column, kind in told if column == "kind"} == {*oracle.SEVERITY}
    assert {value for column, value in told if column == "cause"} == {
        None, *(cause.name for cause in CAUSES if cause.name not in OF_CHECKS),
    }  # fmt: skip
    assert {value for column, value in told if column == "resolution"} == {None, *(each.name for each in RESOLUTIONS)}
    assert {value for column, value in told if column == "held_at"} == {
        None, "called", "on_site", "in_snapshot", "restored", "published",
    }  # fmt: skip
    assert {value for column, value in told if column == "coverage"} == {
        None, "complete", "partial", "missing", "excluded",
    }  # fmt: skip
    assert {value for column, value in told if column == "lost_at"} == {
        None, "on_site", "in_snapshot", "restored", "published", "indexed",
    }  # fmt: skip
    assert {value for column, value in told if column == "match"} == {None, "path", "key", "nearest"}
    assert {value for column, value in told if column == "masked"} == {"key", "nearest"}
    assert {value for column, value in told if column == "status"} == {"open", "resolved", "waived"}
    assert {value for column, value in told if column == "tie"} == {"fits", "its"}
    assert {value for column, value in told if column == "clock"} == {True, False}
    assert len({value for column, value in told if column == "state"}) == 7
    assert min(told.values()) >= 5, told


def files_a_call(rows: list[Row]) -> Counter[tuple[str, ...]]:
    return Counter(oracle.call_of(row) for row in rows if row["called"] and row["recording_id"] is not None)


def test_the_same_number_gives_the_same_case() -> None:
    given = cases.setting(3)
    assert cases.case(61, given) == cases.case(61, given)
    assert cases.case(61, given) != cases.case(62, given)


# the specification


def test_the_specification_is_plain_python_and_knows_nothing_of_the_engine() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"collections.abc", "datetime", "hashlib", "re", "statistics", "typing"}


def test_the_specification_has_the_kinds_of_the_docs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "findings.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)) == oracle.SEVERITY


# the shrinker


def rows_left(looks: list[Look]) -> list[tuple[int, str, Row]]:
    return [(number, name, row) for number, look in enumerate(looks) for name in TABLES for row in look[name]]


def big_case() -> tuple[list[Look], Setting]:
    """Cases side by side, with two looks or more and many rows."""
    group = next(number for number in range(50) if len(cases.setting(number).days) > 1)
    given = cases.setting(group)
    return cases.together([cases.case(seed, given) for seed in range(5)]), given


def test_a_shrunk_case_holds_only_the_rows_that_matter() -> None:
    looks, _ = big_case()
    wanted = [(0, "calls", looks[0]["calls"][3]), (1, "inventory", looks[1]["inventory"][-1])]
    assert len(rows_left(looks)) > 100
    left = rows_left(shrunk(looks, lambda fewer: all(row in rows_left(fewer) for row in wanted)))
    assert left == wanted


def test_a_shrunk_case_leaves_out_looks_that_do_not_matter() -> None:
    looks, _ = big_case()
    file = looks[0]["inventory"][0]
    assert rows_left(shrunk(looks, lambda fewer: file in fewer[0]["inventory"])) == [(0, "inventory", file)]
    assert len(shrunk(looks, lambda fewer: file in fewer[0]["inventory"])) == 1


def test_an_engine_that_errs_is_shrunk_to_a_call_and_a_recording() -> None:
    """An engine that takes starts as near that are twenty minutes apart needs two rows to show it."""
    looks, given = big_case()
    line = {"extension": "7777", "site": looks[0]["calls"][0]["site"]}
    looks[0]["calls"].append(call("far", "03:00:00", **line))
    looks[0]["inventory"].append(named("03:20:00", **line))
    matching = given.rules["matching"] | {"order": ["nearest"]}
    right, careless = (
        Setting(given.rules | {"matching": matching | {"tolerance_seconds": seconds}}, given.looked_at, given.days)
        for seconds in (30, 3600)
    )

    def errs(fewer: list[Look]) -> bool:
        links = [
            {row[:2] for row in told[0]["links"]} for told in (by_oracle(fewer, right), by_engine(fewer, careless))
        ]
        return links[0] != links[1]

    assert errs(looks)
    assert [name for _, name, _ in rows_left(shrunk(looks, errs))] == ["calls", "inventory"]


def test_a_failure_tells_its_case_what_differs_and_the_smallest_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHRINK", raising=False)  # mutants.py does without
    looks, given = big_case()
    wrong = Setting(given.rules | {"matching": {"order": ["nearest"]}}, given.looked_at, given.days)
    with pytest.raises(pytest.fail.Exception) as told:
        fail("case 7", looks, given, lambda fewer: differences(by_oracle(fewer, given), by_engine(fewer, wrong)))
    assert "differ on case 7" in str(told.value)
    assert "but engine" in str(told.value) or "engine lacks" in str(told.value)
    assert len(re.findall("^look", str(told.value).split("smallest that differs:")[1], re.MULTILINE)) <= 3
