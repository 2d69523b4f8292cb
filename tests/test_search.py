"""`voxkeep find`: what people type is found, page after page, and leaves as a list that a spreadsheet opens."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_index import document, frame, recording

from blocks.errors import SettingsError
from blocks.index import CatalogIndex
from blocks.query import CallQuery
from listen.typed import comparable
from reconcile.numbers import normalised, searched
from reconcile.rules import NumberRules
from voxkeep.search import Wanted, export_calls, find_calls, how_many, read_place, written_place
from voxkeep.settings import load_settings

NINE = NumberRules(access_codes=["9"])
GERMAN = NumberRules(country_codes=["+49", "0049"], trunk_prefixes=["0"])


def normal(number: str, rules: NumberRules) -> str:
    return str(pl.select(normalised(pl.lit(number), rules)).item())


# --- what was typed


@pytest.mark.parametrize(
    "typed",
    ["15372388463", "015372388463", "86 153 7238 8463", "+86-153-7238-8463", "00８６１５３７２３８８４６３",
     "\t(0)15372388463 "],
)  # fmt: skip
def test_a_number_is_found_however_it_is_typed(typed: str) -> None:
    assert searched(typed, [NumberRules()]) == "15372388463"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("8463", "8463"),
        ("0216123", "216123"),  # kept as 2161234567
        ("021", "021"),
        ("153****8463", "153****8463"),
        ("153xxxx8463", "153****8463"),
        ("nobody", "nobody"),
    ],
)
def test_a_part_of_a_number_is_looked_for_as_it_is_kept(typed: str, expected: str) -> None:
    assert searched(typed, [NumberRules()]) == expected


WRITTEN = st.tuples(
    st.sampled_from(["", "0", "9", "90", "86", "+86", "0086", "986", "+49", "0049", "00"]),
    st.from_regex(r"[1-9][0-9*]{2,12}", fullmatch=True),
    st.sampled_from(["", " ", "-"]),
)
RULES = st.lists(st.sampled_from([NumberRules(), NINE, GERMAN]), min_size=1, max_size=3)


@settings(max_examples=200)
@given(WRITTEN, RULES)
def test_a_number_typed_as_it_is_written_is_found_in_every_business(
    written: tuple[str, str, str], rules: list[NumberRules]
) -> None:
    """Whatever prefixes the rules of each business take off."""
    prefix, digits, between = written
    number = prefix + between.join((digits[:3], digits[3:]))
    part = searched(number, rules)
    assert [part in normal(number, each) for each in rules] == [True] * len(rules)


def test_blanks_are_not_part_of_a_text_and_an_empty_one_does_not_narrow() -> None:
    typed = CallQuery(
        number=" 0216123 4567", display_number=" ", call_id="", extension=" 2049 ", words="  ",
        attributes=((" case", "K7 "), ("agent", " "), ("", "x")), sites=("cq",), limit=7,
    )  # fmt: skip
    assert comparable(typed, [NumberRules()]) == CallQuery(
        number="2161234567", extension="2049", attributes=(("case", "K7"),), sites=("cq",), limit=7
    )


# --- over the businesses of a machine

YAML = """\
business: {name}
title: {name}
storage: {folder}/{name}
time_zone: {zone}
sites: {{cq: {{recordings: recordings, password: {{env: PASSWORD}}, database: {{env: DATABASE}}}}}}
datasets: {{calls: {{sql: calls.sql, columns: {{call_id: id, started_at: start}}}}}}
name_templates: ["{{call_id}}.wav"]
numbers: {{access_codes: {codes}}}
"""
DAY = date(2021, 1, 31)
NOON = datetime(2021, 1, 31, 4, tzinfo=UTC)


def a_business(home: Path, name: str, zone: str, codes: str, documents: pl.DataFrame) -> None:
    """Apply it to this machine, as far as finding calls needs it, and index its calls."""
    (home / "calls.sql").write_text("SELECT * FROM cdr WHERE start >= :start AND start < :end")
    file = home / f"{name}.yaml"
    file.write_text(YAML.format(name=name, folder=home, zone=zone, codes=codes))
    loaded = load_settings(file)
    (home / "businesses").mkdir(exist_ok=True)
    (home / "businesses" / f"{name}.json").write_text(loaded.model_dump_json())
    index = CatalogIndex(url=str(Path(loaded.storage) / "index"))
    index.replace(name, "cq", DAY, documents)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A machine that knows two businesses: one in Shanghai, one in Berlin that dials 9 to get out."""
    ours = [
        document(f"a{place:02}", NOON + timedelta(minutes=place), business="ours", call_id=f"=a{place}")
        for place in range(25)
    ]
    ours[7] |= {
        "recordings": [recording("r1"), recording("r2")],
        "attributes": '{"case": "K7", "name": "=HYPERLINK(1)"}',
        "notes": '[{"text": "@客户说明天还款"}]',
        "callee": "+8615372388463",
        "talk_seconds": 61.5,
    }
    theirs = [
        document(f"b{place}", NOON + timedelta(seconds=place), business="theirs", numbers=["2049", "9215372388463"])
        for place in range(3)
    ]
    a_business(tmp_path, "ours", "Asia/Shanghai", "[]", frame(*ours))
    a_business(tmp_path, "theirs", "Europe/Berlin", '["9"]', frame(*theirs))
    return tmp_path


def uids(home: Path, wanted: Wanted) -> list[str]:
    return [call["call_uid"] for call in find_calls(home, wanted, everything=True).calls]


def test_a_number_is_found_in_every_business_by_its_own_rules(home: Path) -> None:
    found = uids(home, Wanted(CallQuery(number="+86 153-7238-8463", limit=10)))
    assert (len(found), found[-5:]) == (28, ["a01", "b2", "b1", "a00", "b0"])
    assert uids(home, Wanted(CallQuery(number="0086 153 7238 8463"), business="theirs")) == ["b2", "b1", "b0"]


def test_times_are_those_of_each_business(home: Path) -> None:
    since = datetime(2021, 1, 31, 12, 20)  # noqa: DTZ001  # a wall clock, as it is typed
    assert uids(home, Wanted(CallQuery(), since=since)) == ["a24", "a23", "a22", "a21", "a20"]
    assert uids(home, Wanted(CallQuery(), since=since.replace(hour=5, minute=0), until=since, business="theirs")) == [
        "b2", "b1", "b0"
    ]  # fmt: skip


def test_a_page_says_how_many_there_are_and_where_the_next_begins(home: Path) -> None:
    query = CallQuery(number="2049", limit=10)
    first = find_calls(home, Wanted(query, business="ours"))
    assert how_many(first) == "10 of 25"
    assert first.after is not None
    second = find_calls(
        home, Wanted(CallQuery(number="2049", limit=20, after=read_place(first.after)), business="ours")
    )
    assert [call["call_uid"] for call in second.calls] == [f"a{place:02}" for place in range(14, -1, -1)]
    assert (how_many(second), second.after) == ("15 of 25", None)
    many = find_calls(home, Wanted(CallQuery(number="2049", count_to=20), business="ours"))
    assert how_many(many) == "25 of more than 20"


def test_a_place_survives_being_written() -> None:
    for place in ((NOON + timedelta(microseconds=1), "a,b"), (None, "a"), (NOON, "")):
        assert read_place(str(written_place(place))) == place
    assert written_place(None) is None
    with pytest.raises(SettingsError, match="--after"):
        read_place("yesterday,a")


@pytest.mark.parametrize(
    "query",
    [
        CallQuery(attributes=(("case", "K7"),)), CallQuery(words="明天 还款"), CallQuery(min_seconds=61),
        CallQuery(has_recording=True), CallQuery(recording_state="ok"),
    ],
)  # fmt: skip
def test_each_condition_alone_is_enough_to_look_for(home: Path, query: CallQuery) -> None:
    assert uids(home, Wanted(query)) == ["a07"]


@pytest.mark.parametrize("query", [CallQuery(), CallQuery(number=" "), CallQuery(sites=("cq",), words="", limit=9)])
def test_nothing_to_look_for_is_a_mistake(home: Path, query: CallQuery) -> None:
    with pytest.raises(SettingsError, match="every call"):
        find_calls(home, Wanted(query))


# --- the list that leaves


def test_the_list_of_results_holds_every_call_and_no_formula(home: Path) -> None:
    file = home / "calls.csv"
    assert export_calls(home, Wanted(CallQuery(extension="2049", limit=4)), file, everything=True) == 28
    text = file.read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(text.decode("utf-8-sig").splitlines(keepends=True)))
    assert [row["call_uid"] for row in rows] == uids(home, Wanted(CallQuery(extension="2049")))
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    (row,) = (row for row in rows if row["call_uid"] == "a07")
    assert row | {"started_at": "2021-01-31 12:07:00", "call_id": "'=a7", "callee": "'+8615372388463"} == row
    assert row | {"recordings": "2", "files": "01/31/r1.wav3\n01/31/r2.wav3", "talk_seconds": "61.5"} == row
    assert (row["attributes"], row["notes"]) == ("case: K7\nname: =HYPERLINK(1)", "text: @客户说明天还款")
    (berlin,) = (row for row in rows if row["call_uid"] == "b0")
    assert berlin["started_at"] == "2021-01-31 05:00:00"


def test_a_page_or_nothing_is_a_list_too(home: Path) -> None:
    file = home / "calls.csv"
    assert export_calls(home, Wanted(CallQuery(extension="2049", limit=4)), file) == 4
    assert export_calls(home, Wanted(CallQuery(extension="404")), file, everything=True) == 0
    (header,) = csv.reader(file.read_text(encoding="utf-8-sig").splitlines())
    assert header[:4] == ["business", "site", "day", "started_at"]
    assert json.dumps(header)
