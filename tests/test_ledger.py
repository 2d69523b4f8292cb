"""The ledger carries findings over days."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import BUSINESS, DAY, SITE, Row, finding, findings, rows_of

from reconcile.errors import ContractError
from reconcile.frames import FINDINGS, TRACE, WAIVERS
from reconcile.ledger import OWNERS, RESOLUTIONS, Now, carry_on, waive

LATER = DAY + timedelta(days=3)


def states(ledger: pl.DataFrame) -> dict[str, tuple[date, date, str]]:
    return {row[0]: row[1:] for row in ledger.select("finding_id", "first_seen", "last_seen", "status").iter_rows()}


def seen(name: str, day: date) -> dict[str, object]:
    return finding(name, first_seen=day, last_seen=day)


def test_a_new_finding_is_open_since_the_day_it_was_seen() -> None:
    assert states(carry_on(findings(), findings(seen("a", DAY)), DAY)) == {"a": (DAY, DAY, "open")}


def test_a_finding_seen_again_keeps_its_first_day() -> None:
    ledger = carry_on(findings(seen("a", DAY)), findings(seen("a", LATER)), LATER)
    assert states(ledger) == {"a": (DAY, LATER, "open")}


def test_a_finding_that_is_gone_is_resolved_and_one_that_comes_back_is_open_again() -> None:
    gone = carry_on(findings(seen("a", DAY)), findings(), LATER)
    assert states(gone) == {"a": (DAY, DAY, "resolved")}
    assert states(carry_on(gone, findings(seen("a", LATER)), LATER)) == {"a": (DAY, LATER, "open")}


def test_a_waiver_stays_while_its_finding_does() -> None:
    waived = findings(finding("a", status="waived"))
    assert states(carry_on(waived, findings(seen("a", LATER)), LATER)) == {"a": (DAY, LATER, "waived")}
    assert states(carry_on(waived, findings(), LATER)) == {"a": (DAY, DAY, "resolved")}


def test_a_look_at_an_earlier_day_never_moves_the_last_one_back() -> None:
    ledger = carry_on(findings(), findings(seen("a", LATER)), LATER)
    assert states(carry_on(ledger, findings(seen("a", DAY)), DAY)) == {"a": (DAY, LATER, "open")}


names = st.sets(st.sampled_from("abcdef"))


@settings(max_examples=50)
@given(names, names)
def test_the_same_look_twice_is_as_good_as_once_and_loses_nothing(before: set[str], now: set[str]) -> None:
    known = findings(*(seen(name, DAY) for name in sorted(before)))
    look = findings(*(seen(name, LATER) for name in sorted(now)))
    once = carry_on(known, look, LATER)
    assert carry_on(once, look, LATER).equals(once)
    assert set(once["finding_id"]) == before | now
    assert set(once.filter(pl.col("status") == "open")["finding_id"]) == now


def test_the_ledger_tells_a_finding_as_it_is_now() -> None:
    known = findings(finding("a", actual="2 rows", lost_at="restored"))
    (row,) = carry_on(known, findings(finding("a", actual="3 rows", last_seen=LATER)), LATER).iter_rows(named=True)
    assert (row["actual"], row["lost_at"]) == ("3 rows", None)


def test_a_finding_that_is_gone_is_told_as_it_was() -> None:
    known = findings(finding("a", actual="2 rows", call_id="c1"))
    assert carry_on(known, findings(), LATER).equals(
        findings(finding("a", actual="2 rows", call_id="c1", status="resolved", status_since=LATER))
    )


def test_what_is_resolved_stays_so_as_it_was_last_seen() -> None:
    gone = carry_on(findings(seen("a", DAY)), findings(), LATER)
    assert carry_on(gone, findings(), LATER + timedelta(days=1)).equals(gone)


def test_a_look_at_an_earlier_day_makes_a_finding_as_old_as_that() -> None:
    known = findings(finding("a", first_seen=LATER, last_seen=LATER))
    assert states(carry_on(known, findings(seen("a", DAY)), DAY)) == {"a": (DAY, LATER, "open")}


def waiver(finding_id: str, until: date, hour: int = 9, reason: str = "the tape burnt") -> Row:
    keys = {"business": BUSINESS, "site": SITE, "day": DAY, "finding_id": finding_id}
    said = {"author": "wang", "reason": reason, "waived_at": datetime(2021, 1, 31, hour, tzinfo=UTC), "until": until}
    return keys | said


def statuses(ledger: pl.DataFrame) -> dict[str, tuple[str, date]]:
    return {row[0]: row[1:] for row in ledger.select("finding_id", "status", "status_since").iter_rows()}


def test_a_waiver_is_of_one_finding_alone_and_ends_behind_its_last_day() -> None:
    known, waivers = findings(finding("a"), finding("b")), rows_of(WAIVERS, waiver("a", until=LATER))
    quiet = waive(known, waivers, LATER)
    assert statuses(quiet) == {"a": ("waived", LATER), "b": ("open", DAY)}
    after = LATER + timedelta(days=1)
    assert statuses(waive(quiet, waivers, after)) == {"a": ("open", after), "b": ("open", DAY)}


def test_of_several_waivers_the_newest_counts() -> None:
    first, last = waiver("a", until=LATER, hour=9), waiver("a", until=DAY - timedelta(days=1), hour=10)
    assert statuses(waive(findings(finding("a")), rows_of(WAIVERS, last, first), DAY)) == {"a": ("open", DAY)}


def test_what_is_resolved_is_resolved_whatever_was_waived() -> None:
    known = findings(finding("a", status="resolved"))
    assert waive(known, rows_of(WAIVERS, waiver("a", until=LATER)), LATER).equals(known)


def test_a_status_is_as_old_as_the_look_that_gave_it() -> None:
    ledger = findings(finding("a"))
    for days, look, status in ((1, True, "open"), (2, False, "resolved"), (3, False, "resolved"), (4, True, "open")):
        as_of = DAY + timedelta(days=days)
        ledger = carry_on(ledger, findings(*[seen("a", as_of)] * look), as_of)
        since = {1: DAY, 3: DAY + timedelta(days=2)}.get(days, as_of)
        assert statuses(ledger) == {"a": (status, since)}


def test_a_ledger_without_the_frames_columns_is_refused() -> None:
    with pytest.raises(ContractError, match="last_seen"):
        carry_on(findings(seen("a", DAY)).drop("last_seen"), findings(), LATER)


looks = st.lists(st.tuples(st.integers(0, 9), names), min_size=1, max_size=5)


@settings(max_examples=50)
@given(looks, st.sets(st.sampled_from("abc")))
def test_over_many_looks_ids_stay_and_days_only_widen(days: list[tuple[int, set[str]]], waived: set[str]) -> None:
    ledger = findings(*(finding(name, status="waived") for name in sorted(waived)))
    for offset, names_seen in days:
        as_of = DAY + timedelta(days=offset)
        before, look = states(ledger), findings(*(seen(name, as_of) for name in sorted(names_seen)))
        ledger = carry_on(ledger, look, as_of)
        after = states(ledger)
        assert carry_on(ledger, look, as_of).equals(ledger)
        assert list(after) == sorted(before.keys() | names_seen)
        for name, (first, last, status) in after.items():
            assert first <= last
            was = before.get(name, (as_of, as_of, "open"))
            if name in names_seen:
                assert (first, last) == (min(was[0], as_of), max(was[1], as_of))
                assert status == ("waived" if was[2] == "waived" else "open")
            else:
                assert (first, last, status) == (*was[:2], "resolved")


# what resolves a finding

FILE = {"recording_id": "a" * 32, "subject": "a.wav"}
CALL = {"call_id": "c1"}
RESOLVED: list[tuple[str, Row, list[Row], list[Row]]] = [
    ("recording_arrived", CALL, [CALL | FILE | {"called": True}], []),
    ("call_arrived", FILE | {"kind": "recording_orphan"}, [CALL | FILE | {"called": True}], []),
    ("told_otherwise", FILE | {"kind": "recording_empty"}, [FILE], [FILE | {"kind": "recording_lost"}]),
    ("told_otherwise", CALL, [CALL], [CALL | {"kind": "not_indexed"}]),
    ("backup_arrived", {"kind": "backup_overdue"}, [], []),
    ("corrected", {"kind": "row_quarantined"}, [], []),
    ("corrected", CALL | {"kind": "call_duplicate"}, [CALL], [CALL | {"kind": "recording_missing"}]),
    ("not_expected", CALL, [CALL], []),
    ("healed", FILE | {"kind": "recording_lost"}, [FILE], []),
    ("healed", CALL | {"kind": "not_indexed"}, [CALL], []),
    ("withdrawn", FILE | {"kind": "recording_lost"}, [FILE | {"recording_id": "b" * 32}], []),
    ("withdrawn", CALL, [CALL | {"site": "gz"}], [CALL | {"kind": "call_duplicate"}]),
]


def now(rows: list[Row], others: list[Row]) -> Now:
    """A look that shows these rows of the trace, and these findings."""
    plain = {"business": BUSINESS, "site": SITE, "call_id": None, "recording_id": None, "called": True}
    schema = {name: TRACE.schema[name] for name in OWNERS}
    found = [finding(f"other {place}", **columns) for place, columns in enumerate(others)]
    trace = pl.DataFrame([plain | row for row in rows], schema=schema)
    return Now(trace, findings(*found), trace.clear())


@pytest.mark.parametrize(("resolution", "columns", "rows", "others"), RESOLVED)
def test_a_finding_that_is_found_no_more_says_what_resolved_it(
    resolution: str, columns: Row, rows: list[Row], others: list[Row]
) -> None:
    known = findings(finding("a", **columns))
    (row,) = carry_on(known, findings(), LATER, now(rows, others)).rows(named=True)
    assert (row["status"], row["status_since"], row["resolution"]) == ("resolved", LATER, resolution)


@pytest.mark.parametrize("columns", [FILE | {"kind": "recording_orphan"}, CALL])
def test_what_is_there_but_not_on_these_days_is_not_withdrawn(columns: Row) -> None:
    look = now([], [])
    others = pl.DataFrame([{"business": BUSINESS, "site": SITE} | columns])
    look = Now(look.trace, look.found, pl.concat([look.trace, others], how="diagonal").select(OWNERS[:4]))
    (row,) = carry_on(findings(finding("a", **columns)), findings(), LATER, look).rows(named=True)
    assert (row["status"], row["resolution"]) == ("resolved", None)


def test_every_resolution_has_an_example() -> None:
    assert {resolution for resolution, *_ in RESOLVED} == {each.name for each in RESOLUTIONS}


def test_what_resolved_a_finding_stays_told_until_it_is_found_again() -> None:
    arrived, withdrawn = now([CALL | FILE], []), now([], [])
    gone = carry_on(findings(finding("a", **CALL)), findings(), LATER, arrived)
    assert carry_on(gone, findings(), LATER + timedelta(days=1), withdrawn).equals(gone)
    again = carry_on(gone, findings(finding("a", **CALL)), LATER + timedelta(days=2), withdrawn)
    assert again.select("status", "resolution").row(0) == ("open", None)


def test_a_look_that_shows_nothing_tells_no_resolution() -> None:
    (row,) = carry_on(findings(finding("a", **CALL)), findings(), LATER).rows(named=True)
    assert (row["status"], row["resolution"]) == ("resolved", None)


def test_a_ledger_written_before_findings_had_evidence_is_carried_on() -> None:
    new = ("held_at", "held_time", "size", "sha256", "cause", "resolution")
    old = findings(finding("a", **CALL), finding("b")).drop(new)
    read = old.with_columns(pl.lit(None, FINDINGS.schema[name]).alias(name) for name in new)
    ledger = carry_on(read, findings(finding("b", cause="backup_missing")), LATER, now([CALL | FILE], []))
    assert ledger.select("finding_id", "status", "cause", "resolution").rows() == [
        ("a", "resolved", None, "recording_arrived"),
        ("b", "open", "backup_missing", None),
    ]
