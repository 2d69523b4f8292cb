"""The ledger carries findings over days."""

from datetime import date, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import DAY, finding, findings

from reconcile.ledger import carry_on

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


@settings(max_examples=50, deadline=None)
@given(names, names)
def test_the_same_look_twice_is_as_good_as_once_and_loses_nothing(before: set[str], now: set[str]) -> None:
    known = findings(*(seen(name, DAY) for name in sorted(before)))
    look = findings(*(seen(name, LATER) for name in sorted(now)))
    once = carry_on(known, look, LATER)
    assert carry_on(once, look, LATER).equals(once)
    assert set(once["finding_id"]) == before | now
    assert set(once.filter(pl.col("status") == "open")["finding_id"]) == now
