"""Ids are the same for ever, whoever computes them, wherever."""

import hashlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.errors import ContractError
from reconcile.ids import stable_id, stable_ids

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def test_a_recording_id_is_the_hash_of_business_site_and_path() -> None:
    path = "01/31/2049_15372388463_20210131114129.wav3"
    expected = hashlib.sha256(b"meituan\0cq\0" + path.encode()).hexdigest()[:32]
    assert stable_id("meituan", "cq", path) == expected


def test_ids_written_down_today_hold_for_ever() -> None:
    assert stable_id("meituan", "cq", "01/31/录音.wav") == "bdcd19e92e3e76e172b8018167ed33f5"
    assert stable_id("meituan", "cq", "calls", "c1", "") == "9937d77e22fd15d8eadb739192d64981"
    assert stable_id("a", digits=16) == "ca978112ca1bbdca"


def test_an_empty_leg_is_part_of_the_id() -> None:
    assert stable_id("b", "s", "calls", "c1", "") != stable_id("b", "s", "calls", "c1")


def test_no_rows_give_no_ids() -> None:
    assert stable_ids(("b", "s"), [pl.Series([], dtype=pl.String)]).to_list() == []
    assert stable_ids(("b", "s"), [pl.Series([], dtype=pl.String)]).dtype == pl.String


def test_a_row_that_lacks_a_value_has_no_id() -> None:
    with pytest.raises(ContractError, match=r"path.*rows without a value"):
        stable_ids(("b", "s"), [pl.Series("path", ["a", None])])


@settings(max_examples=100)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_many_ids_at_once_are_those_one_by_one_and_differ_where_the_parts_do(rows: list[tuple[str, str]]) -> None:
    columns = [pl.Series([row[place] for row in rows], dtype=pl.String) for place in (0, 1)]
    assert stable_ids(("b", "s"), columns).to_list() == [stable_id("b", "s", *row) for row in rows]
    assert stable_ids((), columns, digits=16).to_list() == [stable_id(*row, digits=16) for row in rows]
    assert len({stable_id("b", "s", *row) for row in rows}) == len(set(rows))
