"""Each recording finds the call that it belongs to by the first rule that tells; where two fit, nobody guesses."""

from datetime import date, datetime, timedelta
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import EXTENSION, NUMBER, Row, at, call, calls, inventory, named, recording

from reconcile import plain
from reconcile.matching import LINKS, TIES, Matches, match
from reconcile.nearest import CLOCK
from reconcile.rules import MatchingRules, NumberRules, Rules
from reconcile.text import filled, tenths

OTHER = "13800000000"
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
START = at("09:00:00")


def matched(rows: list[Row], files: list[Row], rules: Rules | None = None) -> Matches:
    return match(calls(*rows).lazy(), inventory(*files).lazy(), rules or Rules())


def by(**matching: object) -> Rules:
    return Rules(matching=MatchingRules.model_validate(matching))


def names(rows: list[Row], files: list[Row]) -> dict[str, str]:
    """What people call each leg (c1, or c1-2 for its leg 2) and each recording (its path), by their ids."""
    legs = {row["call_uid"]: "-".join(part for part in (row["call_id"], row["leg"]) if part) for row in rows}
    return legs | {row["recording_id"]: row["path"] for row in files}


def links(rows: list[Row], files: list[Row], rules: Rules | None = None) -> dict[str, tuple[str, str]]:
    """The leg and the rule of each recording that has found its call."""
    name, found = names(rows, files), matched(rows, files, rules).links
    assert found["recording_id"].is_unique().all()
    return {name[row["recording_id"]]: (name[row["call_uid"]], row["match"]) for row in found.iter_rows(named=True)}


def ties(rows: list[Row], files: list[Row], rules: Rules | None = None) -> tuple[dict[str, str], set[str]]:
    """What owns a tie, with its reason, and who else is in one."""
    name, found = names(rows, files), matched(rows, files, rules).ties
    members = [(name[row["call_uid"] or row["recording_id"]], row) for row in found.iter_rows(named=True)]
    return {who: row["reason"] for who, row in members if row["owner"]}, {
        who for who, row in members if not row["owner"]
    }


# path


@pytest.mark.parametrize(
    "said",
    [
        "01/31/a.wav",
        "31/a.wav",
        "a.wav",
        "/a.wav",
        "/var/spool/01/31/a.wav",
        "D:/records/01/31/a.wav",
        "s3://bucket/01/31/a.wav",
    ],
)
def test_a_row_names_its_file_whole_by_its_tail_or_below_a_root(said: str) -> None:
    rows = [call("c1", recording_path=said), call("c2")]
    assert links(rows, [recording("01/31/a.wav"), recording("01/31/b.wav")]) == {"01/31/a.wav": ("c1", "path")}


@pytest.mark.parametrize("said", ["1/a.wav", "A.wav", "a.wa", "x/01/31/a.wav", "", "/", "01/31/"])
def test_a_path_ends_on_a_folders_edge_or_names_nothing(said: str) -> None:
    assert links([call("c1", recording_path=said)], [recording("01/31/a.wav")]) == {}


def test_the_file_that_is_named_whole_is_meant_and_not_one_that_ends_alike() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", recording_path="/mnt/31/b.wav")]
    files = [recording("a.wav"), recording("old/a.wav"), recording("b.wav"), recording("31/b.wav")]
    assert links(rows, files) == {"a.wav": ("c1", "path"), "31/b.wav": ("c2", "path")}


def test_a_tail_that_two_files_have_is_a_tie_of_its_row() -> None:
    rows = [call("c1", recording_path="a.wav")]
    files = [recording("1/a.wav"), recording("2/a.wav"), recording("b.wav")]
    assert links(rows, files) == {}
    assert ties(rows, files) == ({"c1": "its row fits 2 files: 1/a.wav, 2/a.wav"}, {"1/a.wav", "2/a.wav"})


def test_a_tail_has_one_meaning_once_another_row_names_the_other_file_whole() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", recording_path="1/a.wav")]
    files = [recording("1/a.wav"), recording("2/a.wav")]
    assert links(rows, files) == {"1/a.wav": ("c2", "path"), "2/a.wav": ("c1", "path")}


def test_a_file_that_one_row_alone_names_has_its_call_though_another_row_is_in_doubt() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", recording_path="/mnt/1/a.wav")]
    files = [recording("1/a.wav"), recording("2/a.wav")]
    assert links(rows, files) == {"1/a.wav": ("c2", "path")}
    assert ties(rows, files) == ({"c1": "its row fits 2 files: 1/a.wav, 2/a.wav"}, {"2/a.wav"})


@pytest.mark.parametrize("said", ["1/a.wav", "a.wav"])
def test_a_recording_named_by_several_calls_is_a_tie_of_the_recording(said: str) -> None:
    rows = [call("c1", recording_path=said), call("c2", recording_path=said)]
    assert links(rows, [recording("1/a.wav")]) == {}
    assert ties(rows, [recording("1/a.wav")]) == ({"1/a.wav": "fits 2 calls equally well: c1, c2"}, {"c1", "c2"})


def test_a_recording_named_by_several_legs_of_one_call_belongs_to_the_first_of_them() -> None:
    rows = [call("c1", leg=leg, recording_path="a.wav") for leg in ("2", "1", "3")]
    assert links(rows, [recording("a.wav")]) == {"a.wav": ("c1-1", "path")}
    assert ties(rows, [recording("a.wav")]) == ({}, set())


def test_the_same_call_id_in_another_dataset_is_another_call() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c1", recording_path="a.wav", dataset="outbound")]
    assert links(rows, [recording("a.wav")]) == {}


def test_one_call_may_own_several_recordings_by_several_rules() -> None:
    rows = [call("c1", leg="1", recording_path="a.wav"), call("c1", leg="2", recording_path="b.wav")]
    files = [recording("a.wav"), recording("b.wav"), recording("c1.wav", call_id="c1"), named("09:00:00", "d.wav")]
    assert links(rows, files) == {
        "a.wav": ("c1-1", "path"),
        "b.wav": ("c1-2", "path"),
        "c1.wav": ("c1-1", "key"),
        "d.wav": ("c1-1", "key"),
    }


# key


def test_the_call_id_in_the_name_is_enough() -> None:
    rows = [call("c1"), call("c2")]
    assert links(rows, [recording("a.wav", call_id="c2")]) == {"a.wav": ("c2", "key")}


def test_a_call_id_in_the_name_tells_more_than_the_start_beside_it() -> None:
    rows = [call("c1", "09:00:00"), call("c2", "10:00:00")]
    assert links(rows, [named("09:00:00", "a.wav", call_id="c2")]) == {"a.wav": ("c2", "key")}


def test_a_call_id_that_no_row_has_leaves_the_name_to_its_other_fields() -> None:
    assert links([call("c1")], [named("09:00:00", "a.wav", call_id="c9")]) == {"a.wav": ("c1", "key")}


@pytest.mark.parametrize(
    "given",
    [
        {"extension": EXTENSION, "number": NUMBER},
        {"extension": EXTENSION, "number": None},
        {"extension": None, "number": NUMBER},
    ],
)
def test_start_and_one_field_more_make_a_key(given: Row) -> None:
    rows = [call("c1"), call("c2", extension="2050", callee=OTHER), call("c3", "09:10:00")]
    assert links(rows, [named("09:00:00", "a.wav", **given)]) == {"a.wav": ("c1", "key")}


def test_a_start_alone_makes_no_key() -> None:
    assert links([call("c1")], [recording("a.wav", "09:00:00")]) == {}


@pytest.mark.parametrize("differs", [{"extension": "2050"}, {"callee": OTHER}, {"extension": None}, {"callee": None}])
def test_all_that_the_name_gives_must_be_equal(differs: Row) -> None:
    rows = [call("c1", **differs)]
    assert links(rows, [named("09:00:00", "a.wav"), named("09:00:05", "b.wav")]) == {}


def test_a_name_to_the_second_fits_a_start_within_that_second() -> None:
    rows = [call("c1", "09:00:00.999999"), call("c2", "09:00:01")]
    assert links(rows, [named("09:00:00"), named("09:00:01")], by(order=["key"])) == {
        "2049_15372388463_09:00:00.wav": ("c1", "key"),
        "2049_15372388463_09:00:01.wav": ("c2", "key"),
    }


def test_two_calls_with_the_same_key_are_a_tie() -> None:
    rows, files = [call("c2"), call("c1"), call("c3", "10:00:00")], [named("09:00:00", "a.wav")]
    assert links(rows, files) == {}
    assert ties(rows, files) == ({"a.wav": "fits 2 calls equally well: c1, c2"}, {"c1", "c2"})


def test_legs_with_the_same_key_are_one_call() -> None:
    rows = [call("c1", leg="b"), call("c1", leg="a")]
    assert links(rows, [recording("a.wav", call_id="c1"), named("09:00:00", "b.wav")]) == {
        "a.wav": ("c1-a", "key"),
        "b.wav": ("c1-a", "key"),
    }


def test_a_business_says_which_fields_are_its_key() -> None:
    rows = [call("c1", "09:00:00"), call("c2", "10:00:00", extension="2050", callee=OTHER)]
    files = [named("09:00:00", "a.wav", extension="2050", call_id="c1"), named("10:00:00", "b.wav", extension=None)]
    assert links(rows, files, by(order=["key"], key=["number"])) == {"a.wav": ("c1", "key"), "b.wav": ("c1", "key")}
    assert links(rows, files, by(order=["key"], key=["extension"])) == {"a.wav": ("c2", "key")}
    assert links(rows, files, by(order=["key"], key=["number", "start"])) == {"a.wav": ("c1", "key")}
    assert links(rows, files, by(order=["key"], key=["call_id", "extension"])) == {}


# numbers


@pytest.mark.parametrize("written", [NUMBER, "0" + NUMBER, "86" + NUMBER, "+86" + NUMBER, "0086 153-7238-8463"])
@pytest.mark.parametrize("column", ["callee", "caller"])
@pytest.mark.parametrize("clock", ["09:00:00", "09:00:07"])
def test_numbers_are_equal_however_either_side_writes_them(written: str, column: str, clock: str) -> None:
    rule = "key" if clock == "09:00:00" else "nearest"
    blank = {"callee": None, "caller": None}
    assert links([call("c1", **blank | {column: written})], [named(clock, "a.wav")]) == {"a.wav": ("c1", rule)}
    assert links([call("c1", **blank | {column: NUMBER})], [named(clock, "a.wav", number=written)]) == {
        "a.wav": ("c1", rule)
    }


def test_a_number_that_both_sides_of_a_call_have_is_no_tie() -> None:
    rows = [call("c1", caller="0" + NUMBER)]
    assert links(rows, [named("09:00:00", "a.wav")]) == {"a.wav": ("c1", "key")}
    assert links(rows, [named("09:00:02", "a.wav")]) == {"a.wav": ("c1", "nearest")}


def test_an_access_code_is_no_part_of_the_number() -> None:
    rows, files = [call("c1", callee="9" + NUMBER)], [named("09:00:00", "a.wav")]
    assert links(rows, files) == {}
    assert links(rows, files, Rules(numbers=NumberRules(access_codes=["9"]))) == {"a.wav": ("c1", "key")}


# nearest


@pytest.mark.parametrize(
    "given",
    [
        {"extension": EXTENSION, "number": NUMBER},
        {"extension": EXTENSION, "number": None},
        {"extension": None, "number": NUMBER},
    ],
)
def test_the_nearest_start_of_the_same_line_is_taken(given: Row) -> None:
    rows = [
        call("far", "08:59:49"),
        call("near", "09:00:09"),
        call("nearer", "09:00:01", extension="2050", callee=OTHER),
        call("unknown", None),
    ]
    assert links(rows, [named("09:00:00", "a.wav", **given)]) == {"a.wav": ("near", "nearest")}


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("tolerance", [30.0, 0.5, 90.0])
def test_a_start_exactly_at_the_tolerance_is_near_and_one_microsecond_more_is_not(side: int, tolerance: float) -> None:
    rows, edge = [call("c1")], START + side * timedelta(seconds=tolerance)
    rules = by(order=["nearest"], tolerance_seconds=tolerance)
    at_edge, beyond = (named("", "a.wav", started_at=when) for when in (edge, edge + side * MICROSECOND))
    assert links(rows, [at_edge], rules) == {"a.wav": ("c1", "nearest")}
    assert links(rows, [beyond], rules) == {}


def named_at(when: datetime, path: str) -> Row:
    return recording(path, started_at=when, extension=EXTENSION, number=NUMBER)


def test_two_calls_equally_near_are_a_tie_and_a_microsecond_ends_it() -> None:
    rows = [call("before", "08:59:50"), call("after", "09:00:10")]
    assert links(rows, [named_at(START, "a.wav")]) == {}
    assert ties(rows, [named_at(START, "a.wav")]) == (
        {"a.wav": "fits 2 calls equally well: after, before"},
        {"before", "after"},
    )
    assert links(rows, [named_at(START - MICROSECOND, "a.wav")]) == {"a.wav": ("before", "nearest")}
    assert links(rows, [named_at(START + MICROSECOND, "a.wav")]) == {"a.wav": ("after", "nearest")}


def test_two_calls_that_start_together_are_a_tie() -> None:
    rows, files = [call("c1"), call("c2"), call("c3", "09:00:20")], [named("09:00:05", "a.wav")]
    assert links(rows, files) == {}
    assert ties(rows, files) == ({"a.wav": "fits 2 calls equally well: c1, c2"}, {"c1", "c2"})


def test_two_legs_equally_near_are_one_call() -> None:
    rows = [call("c1", "08:59:50", leg="2"), call("c1", "09:00:10", leg="1")]
    assert links(rows, [named("09:00:00", "a.wav")]) == {"a.wav": ("c1-1", "nearest")}


def test_two_recordings_may_be_nearest_to_one_call() -> None:
    files = [named("09:00:03", "a.wav"), named("09:00:07", "b.wav")]
    assert links([call("c1")], files) == {"a.wav": ("c1", "nearest"), "b.wav": ("c1", "nearest")}


def test_the_score_falls_with_the_distance() -> None:
    files = [named("09:00:03", "a.wav"), named("09:00:30", "b.wav")]
    scores = matched([call("c1")], files).links.join(inventory(*files), on="recording_id").sort("path")["score"]
    assert scores.to_list() == pytest.approx([0.75, 0.3])


# order of the rules


def test_path_is_asked_before_key() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", "10:00:00")]
    files = [named("10:00:00", "a.wav", call_id="c2")]
    assert links(rows, files) == {"a.wav": ("c1", "path")}
    assert links(rows, files, by(order=["key", "path"])) == {"a.wav": ("c2", "key")}


def test_key_is_asked_before_nearest() -> None:
    rows = [call("c1", "09:00:00"), call("c2", "09:20:00")]
    files = [named("09:00:00", "a.wav", call_id="c2")]
    assert links(rows, files) == {"a.wav": ("c2", "key")}
    assert links(rows, files, by(order=["nearest", "key"])) == {"a.wav": ("c1", "nearest")}


def test_only_the_rules_that_are_named_are_asked() -> None:
    rows = [call("c1", recording_path="a.wav")]
    files = [named("09:00:01", "a.wav", call_id="c1")]
    assert links(rows, files, by(order=["nearest"])) == {"a.wav": ("c1", "nearest")}
    assert links(rows, [recording("a.wav", call_id="c1")], by(order=["nearest"])) == {}


@pytest.mark.parametrize("first", [{"recording_path": "own.wav"}, {}])
def test_a_call_that_has_its_recording_is_not_the_nearest_of_another(first: Row) -> None:
    rows = [call("taken", "09:00:00", **first), call("free", "09:00:20")]
    own = recording("own.wav", call_id="taken")
    assert links(rows, [own, named("09:00:02", "a.wav")])["a.wav"] == ("free", "nearest")
    assert links(rows[:1], [own, named("09:00:02", "a.wav")]).keys() == {"own.wav"}


def test_a_leg_of_a_call_that_has_its_recording_is_not_the_nearest_of_another() -> None:
    rows = [call("c1", leg="1", recording_path="own.wav"), call("c1", leg="2")]
    assert links(rows, [recording("own.wav"), named("09:00:02", "a.wav")]) == {"own.wav": ("c1-1", "path")}


def test_a_call_with_a_recording_by_path_may_have_another_by_key() -> None:
    rows = [call("c1", recording_path="a.wav")]
    files = [recording("a.wav"), recording("b.wav", call_id="c1")]
    assert links(rows, files) == {"a.wav": ("c1", "path"), "b.wav": ("c1", "key")}


def test_a_recording_that_one_rule_has_tied_is_not_asked_by_the_next() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", recording_path="a.wav"), call("c3", "10:00:00")]
    assert links(rows, [recording("a.wav", call_id="c3")]) == {}
    tied_by_key = [call("c1", callee=None), call("c2", callee=None), call("c3", "09:00:01", callee=None)]
    assert links(tied_by_key, [named("09:00:00", "a.wav", number=None)]) == {}


def test_a_row_that_fits_two_files_is_not_asked_by_the_next_rule() -> None:
    rows = [call("c1", recording_path="a.wav")]
    files = [recording("1/a.wav"), recording("2/a.wav"), recording("b.wav", call_id="c1"), named("09:00:02", "c.wav")]
    assert links(rows, files) == {}


# nothing is equal to nothing


def test_null_never_equals_null() -> None:
    blank = {"extension": None, "callee": None, "caller": None}
    rows = [call("c1", None, **blank), call("c2", "09:00:00", **blank)]
    files = [
        recording("nothing.wav"),
        recording("start.wav", "09:00:00"),
        recording("line.wav", extension=EXTENSION, number=NUMBER),
        named("09:00:00", "all.wav"),
    ]
    assert links(rows, files) == {}
    for key in (["extension"], ["number"], ["start"], ["call_id"], ["extension", "number"]):
        with_start = {"start.wav": ("c2", "key"), "all.wav": ("c2", "key")} if key == ["start"] else {}
        assert links(rows, files, by(key=key)) == with_start


@pytest.mark.parametrize("empty", ["", "-", "anonymous", None])
def test_numbers_without_a_digit_are_never_the_same_number(empty: str | None) -> None:
    rows = [call("c1", callee=empty, caller=empty)]
    files = [named("09:00:00", "a.wav", extension=None, number=empty)]
    assert links(rows, files) == {}
    assert links(rows, files, by(key=["number"])) == {}


@pytest.mark.parametrize(
    "file", [recording("a.wav", site="bj"), recording("b.wav", call_id="c1", site="bj"), named("09:00:00", site="bj")]
)
def test_a_recording_of_another_site_belongs_to_no_call_here(file: Row) -> None:
    assert links([call("c1", recording_path="a.wav")], [file]) == {}


# the clock


def agreed(count: int, apart: timedelta, day: date | None = None, site: str = "cq") -> tuple[list[Row], list[Row]]:
    """Calls with the recordings that their rows name, each begun this much later by the recorder's clock."""
    where = {"site": site} | ({"day": day} if day else {})
    begun = START if day is None else at("09:00:00", day)
    rows = [
        call(f"{site} {day} {n}", recording_path=f"{day}/{n}.wav", started_at=begun + n * 600 * SECOND, **where)
        for n in range(count)
    ]
    files = [recording(f"{day}/{n}.wav", started_at=begun + n * 600 * SECOND + apart, **where) for n in range(count)]
    return rows, files


@pytest.mark.parametrize("apart", [timedelta(seconds=100), timedelta(seconds=-100)])
def test_five_certain_matches_set_a_sites_clock(apart: timedelta) -> None:
    lone_call, lone_file = call("c1", "15:00:00"), named_at(at("15:00:00") + apart, "a.wav")
    rows, files = agreed(5, apart)
    found = matched([*rows, lone_call], [*files, lone_file])
    assert found.clock.rows() == [("cq", START.date(), apart.total_seconds(), 5)]
    assert links([*rows, lone_call], [*files, lone_file])["a.wav"] == ("c1", "nearest")
    rows, files = agreed(4, apart)
    assert "a.wav" not in links([*rows, lone_call], [*files, lone_file])
    assert matched([*rows, lone_call], [*files, lone_file]).clock.is_empty()


def test_the_tolerance_counts_from_the_corrected_start() -> None:
    rows, files = agreed(5, 100 * SECOND)
    rows = [*rows, call("c1", "15:00:00")]
    edge = at("15:00:00") + 130 * SECOND
    assert links(rows, [*files, named_at(edge, "a.wav")])["a.wav"] == ("c1", "nearest")
    assert "a.wav" not in links(rows, [*files, named_at(edge + MICROSECOND, "a.wav")])
    rules = by(order=["path", "nearest"])
    assert "a.wav" not in links(rows, [*files, named_at(at("15:00:00"), "a.wav")], rules)


def test_calls_equally_near_after_the_clocks_correction_are_a_tie() -> None:
    rows, files = agreed(5, 100 * SECOND)
    rows = [*rows, call("before", "14:59:50"), call("after", "15:00:10")]
    assert "a.wav" not in links(rows, [*files, named_at(at("15:01:40"), "a.wav")])
    assert ties(rows, [*files, named_at(at("15:01:40"), "a.wav")])[1] == {"before", "after"}


def test_the_clock_is_the_median_so_that_one_odd_match_does_not_matter() -> None:
    rows, files = agreed(5, 20 * SECOND)
    files[0] |= {"started_at": files[0]["started_at"] + timedelta(hours=3)}
    assert matched(rows, files).clock["offset_seconds"].to_list() == [20.0]


def test_a_clock_is_that_of_its_site_and_day() -> None:
    next_day = START.date() + timedelta(days=1)
    here, there = agreed(5, 100 * SECOND), agreed(5, -7 * SECOND, site="bj")
    later = agreed(5, 3 * SECOND, next_day)
    rows, files = here[0] + there[0] + later[0], here[1] + there[1] + later[1]
    assert matched(rows, files).clock.rows() == [
        ("bj", START.date(), -7.0, 5),
        ("cq", START.date(), 100.0, 5),
        ("cq", next_day, 3.0, 5),
    ]
    lone = [
        call("c1", "15:00:00"), call("c2", "15:00:00", site="bj"),
        call("c3", started_at=at("15:00:00", next_day), day=next_day),
    ]  # fmt: skip
    late = at("15:00:00") + 100 * SECOND
    lone_files = [
        named_at(late, "a.wav"),
        recording("b.wav", started_at=late, extension=EXTENSION, site="bj"),
        recording("c.wav", started_at=late + timedelta(days=1), extension=EXTENSION, day=next_day),
    ]
    found = links(rows + lone, files + lone_files)
    assert {path: found[path] for path in ("a.wav", "b.wav", "c.wav") if path in found} == {"a.wav": ("c1", "nearest")}


def test_a_clock_is_told_in_whole_microseconds() -> None:
    rows, files = agreed(6, 0 * SECOND)
    for file in files[3:]:
        file["started_at"] += 3 * MICROSECOND
    assert matched(rows, files).clock["offset_seconds"].to_list() == pytest.approx([2e-6], abs=1e-12)


def test_a_clock_that_is_hardly_behind_is_told_as_zero() -> None:
    rows, files = agreed(5, timedelta(milliseconds=-40))
    found = matched([*rows, call("c1", "15:00:00")], [*files, named("15:00:07", "a.wav")])
    (link,) = found.links.filter(match="nearest").to_dicts()
    assert link["reason"].endswith("start differs by 7.0 s after 0.0 s clock offset")
    offsets = pl.DataFrame({"offset": [-0.04, -0.0, 0.04, -0.06, 23.04, None]})
    assert offsets.select(filled("{} s", tenths("offset"))).to_series().to_list() == [
        "0.0 s", "0.0 s", "0.0 s", "-0.1 s", "23.0 s", None,
    ]  # fmt: skip


def test_guesses_of_the_nearest_do_not_set_the_clock() -> None:
    rows = [call(f"c{n}", f"{10 + n}:00:00") for n in range(6)]
    files = [named(f"{10 + n}:00:20") for n in range(6)]
    assert {rule for _, rule in links(rows, files).values()} == {"nearest"}
    assert matched(rows, files).clock.is_empty()


# nothing to match


@pytest.mark.parametrize("order", [["path"], ["key"], ["nearest"], ["path", "key", "nearest"]])
def test_empty_frames_have_the_right_columns(order: list[Literal["path", "key", "nearest"]]) -> None:
    for rows, files in (([], []), ([call("c1", recording_path="a.wav")], []), ([], [named("09:00:00")])):
        found = matched(rows, files, by(order=order))
        assert (found.links.schema, found.ties.schema, found.clock.schema) == (LINKS, TIES, CLOCK)
        assert found.links.is_empty()
        assert found.ties.is_empty()
        assert found.clock.is_empty()


def test_full_frames_have_the_same_columns_as_empty_ones() -> None:
    rows, files = agreed(5, SECOND)
    found = matched([*rows, call("c1", recording_path="x.wav")], [*files, recording("1/x.wav"), recording("2/x.wav")])
    assert (found.links.height, found.ties.height, found.clock.height) == (5, 3, 1)
    assert (found.links.schema, found.ties.schema, found.clock.schema) == (LINKS, TIES, CLOCK)


# laws

PLAIN = {NUMBER: NUMBER, "0" + NUMBER: NUMBER, "+86" + NUMBER: NUMBER, OTHER: OTHER, "-": None, None: None}
CLOCKS = st.sampled_from(
    [
        "09:00:00", "09:00:00.500000", "09:00:05", "09:00:10", "09:00:15", "09:00:20", "09:00:30", "09:00:30.000001",
        None,
    ]
)  # fmt: skip
EXTENSIONS = st.sampled_from([EXTENSION, EXTENSION, EXTENSION, "2050", None])
NUMBERS = st.sampled_from([NUMBER, NUMBER, NUMBER, *PLAIN])
PATHS = ["a.wav", "1/a.wav", "2/a.wav", "b.wav", "1/b.wav", "c.wav", "d.wav", "e.wav"]
SOME_CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from(["c1", "c2", "c3", "c4", "c5"]),
        CLOCKS,
        st.sampled_from(["", "", "2"]),
        extension=EXTENSIONS,
        callee=NUMBERS,
        caller=NUMBERS,
        recording_path=st.sampled_from([None, None, None, "1/b.wav", "/mnt/c.wav", *PATHS[:4]]),
    ),
    max_size=8,
    unique_by=lambda row: row["call_uid"],
)
SOME_FILES = st.lists(
    st.builds(
        recording,
        st.sampled_from(PATHS),
        CLOCKS,
        extension=EXTENSIONS,
        number=NUMBERS,
        call_id=st.sampled_from([None, None, None, None, "c1", "c9"]),
    ),
    max_size=8,
    unique_by=lambda row: row["recording_id"],
)
modestly = settings(max_examples=30)


def same_line(row: Row, file: Row) -> bool:
    """Of extension and number the name gives at least one, and the row has all that it gives."""
    number = PLAIN[file["number"]]
    if file["extension"] is None and number is None:
        return False
    return file["extension"] in {None, row["extension"]} and number in {
        None,
        PLAIN[row["callee"]],
        PLAIN[row["caller"]],
    }


def names_file(row: Row, file: Row) -> bool:
    said, path = "/" + (row["recording_path"] or "").removeprefix("/"), "/" + file["path"]
    return path.endswith(said) or ((row["recording_path"] or "").startswith("/") and said.endswith(path))


def same_key(row: Row, file: Row) -> bool:
    starts = [each["started_at"] and each["started_at"].replace(microsecond=0) for each in (row, file)]
    return row["call_id"] == file["call_id"] or (None not in starts and len({*starts}) == 1 and same_line(row, file))


def near(row: Row, file: Row) -> bool:
    return same_line(row, file) and abs(row["started_at"] - file["started_at"]) <= 30 * SECOND


def as_sets(found: Matches) -> tuple[set[tuple[object, ...]], ...]:
    return tuple({*frame.rows()} for frame in (found.links, found.ties, found.clock))


@modestly
@given(SOME_CALLS, SOME_FILES)
def test_a_recording_has_one_call_at_most_and_its_rule_permits_it(rows: list[Row], files: list[Row]) -> None:
    found = matched(rows, files)
    assert found.links["recording_id"].is_unique().all()
    row_of = {row["call_uid"]: row for row in rows}
    file_of = {row["recording_id"]: row for row in files}
    permits = {"path": names_file, "key": same_key, "nearest": near}
    for link in found.links.iter_rows(named=True):
        if not (found.clock.height and link["match"] == "nearest"):
            assert permits[link["match"]](row_of[link["call_uid"]], file_of[link["recording_id"]]), link
        assert 0 < link["score"] <= 1
        assert link["reason"]
    linked, tied = {*found.links["recording_id"]}, {*found.ties["recording_id"].drop_nulls()}
    assert not linked & tied
    owners = found.ties.filter("owner")["call_uid"].drop_nulls()
    assert not {*owners} & {*found.links["call_uid"]}


@modestly
@given(st.data(), SOME_CALLS, SOME_FILES)
def test_the_order_of_rows_does_not_matter(data: st.DataObject, rows: list[Row], files: list[Row]) -> None:
    shuffled = matched(data.draw(st.permutations(rows)), data.draw(st.permutations(files)))
    found = matched(rows, files)
    assert as_sets(shuffled) == as_sets(found)
    assert shuffled.links.equals(found.links)


@modestly
@given(SOME_CALLS, SOME_FILES, st.sampled_from(["path", "key", "nearest"]))
def test_an_unrelated_call_and_recording_change_no_link(rows: list[Row], files: list[Row], rule: str) -> None:
    line = {"extension": "7777", "call_id": "x" if rule == "key" else None}
    more_rows = [
        *rows,
        call("x", extension="7777", callee="4008123123", recording_path="x.wav" if rule == "path" else None),
    ]
    more_files = [*files, recording("x.wav", "09:00:05" if rule == "nearest" else None, number="4008123123", **line)]
    alone, together = matched(rows, files), matched(more_rows, more_files)
    unrelated = {more_rows[-1]["call_uid"], more_files[-1]["recording_id"]}
    new = together.links.filter(pl.col("call_uid").is_in(unrelated) | pl.col("recording_id").is_in(unrelated))
    assert new.select("call_uid", "recording_id", "match").rows() == [
        (more_rows[-1]["call_uid"], more_files[-1]["recording_id"], rule)
    ]
    assert {*together.links.rows()} - {*new.rows()} == {*alone.links.rows()}
    assert as_sets(together)[1:] == as_sets(alone)[1:]


def nearest_by_hand(rows: list[Row], files: list[Row], before: Matches) -> tuple[dict[str, str], set[str]]:
    """The leg of each recording that the rule before has left, and the recordings that fit several calls."""
    taken = {*before.links["call_uid"]}
    taken_calls = {row["call_id"] for row in rows if row["call_uid"] in taken}
    offset = timedelta(seconds=before.clock["offset_seconds"].sum())
    found: dict[str, str] = {}
    tied: set[str] = set()
    for file in files:
        if file["recording_id"] in before.links["recording_id"] or file["started_at"] is None:
            continue
        apart = {
            row["call_uid"]: abs(file["started_at"] - offset - row["started_at"])
            for row in rows
            if row["call_id"] not in taken_calls and row["started_at"] is not None and same_line(row, file)
        }
        least = min(apart.values(), default=31 * SECOND)
        if least > 30 * SECOND:
            continue
        best = [row for row in rows if apart.get(row["call_uid"]) == least]
        if len({row["call_id"] for row in best}) > 1:
            tied.add(file["recording_id"])
        else:
            found[file["recording_id"]] = min(best, key=lambda row: row["leg"])["call_uid"]
    return found, tied


@modestly
@given(SOME_CALLS, SOME_FILES)
def test_nearest_links_what_is_nearest_within_the_tolerance_and_never_one_of_two_equally_near(
    rows: list[Row], files: list[Row]
) -> None:
    by_id = {"key": ["call_id"]}
    before = matched(rows, files, by(order=["key"], **by_id))
    found = matched(rows, files, by(order=["key", "nearest"], **by_id))
    nearest = found.links.filter(pl.col("match") == "nearest").select("recording_id", "call_uid")
    expected, tied = nearest_by_hand(rows, files, before)
    assert dict(nearest.iter_rows()) == expected
    assert {*found.ties.filter("owner")["recording_id"]} == tied
    assert before.ties.is_empty()


def test_a_clock_offset_of_a_fraction_of_a_second_is_taken_off_whole() -> None:
    ahead = timedelta(milliseconds=1001)
    rows, files = agreed(5, ahead)
    rules = by(order=["path", "nearest"])
    between = [call("b", "14:59:50"), call("c", "15:00:10")]
    assert "a.wav" not in links(rows + between, [*files, named_at(at("15:00:00") + ahead, "a.wav")], rules)
    edge = links([*rows, call("c1", "15:00:00")], [*files, named_at(at("15:00:30") + ahead, "a.wav")], rules)
    assert edge["a.wav"] == ("c1", "nearest")


def test_calls_in_the_tie_of_another_recording_are_not_passed_over_for_one_farther_away() -> None:
    rows = [call("A"), call("B"), call("C", "09:00:20")]
    assert links(rows, [named("09:00:00", "r1.wav"), named("09:00:05", "r2.wav")]) == {}


def test_what_only_a_hash_holds_equal_is_no_plain_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def length(*columns: str | pl.Expr) -> pl.Expr:
        last = pl.col(columns[-1]) if isinstance(columns[-1], str) else columns[-1]
        return last.cast(pl.String).str.len_bytes()

    rows = calls(call("a", recording_path="aa.wav"), call("bb", recording_path="b.wav"))
    files = inventory(recording("aa.wav", sha256="1"), recording("c.wav", sha256="22"))
    monkeypatch.setattr(plain, "_hash", length)
    split = plain.split_plain(rows, files, MatchingRules(order=["path"]))
    assert split.legs["call_id"].to_list() == ["a"]
    assert split.files["path"].to_list() == ["aa.wav"]
    assert split.other_legs["call_id"].to_list() == ["bb"]
    assert split.other_files["path"].to_list() == ["c.wav"]


# masked numbers

HIDDEN = "153****8463"


@pytest.mark.parametrize(
    ("said", "of_name"),
    [
        (HIDDEN, NUMBER),
        (NUMBER, HIDDEN),
        ("0153xxxx8463", NUMBER),
        (HIDDEN, "+86 153*2388463"),
        ("153723*****", NUMBER),
    ],
)
@pytest.mark.parametrize(("clock", "rule", "score"), [("09:00:00", "key", 0.85), ("09:00:15", "nearest", 0.45)])
def test_a_masked_number_can_be_any_line_that_has_the_digits_it_shows(
    said: str, of_name: str, clock: str, rule: str, score: float
) -> None:
    rows, files = [call("c1", callee=said), call("c2", callee=OTHER)], [named(clock, path="a.wav", number=of_name)]
    assert links(rows, files) == {"a.wav": ("c1", rule)}
    (link,) = matched(rows, files).links.rows(named=True)
    assert link["score"] == pytest.approx(score)
    assert "as far as the number is not masked" in link["reason"]


@pytest.mark.parametrize(
    ("said", "of_name"),
    [
        ("153****8464", NUMBER),  # another digit
        ("153****846", NUMBER),  # another length
        ("153******63", NUMBER),  # five digits, too few
        (HIDDEN, "****7238***"),  # together they hide all but three
        (NUMBER, OTHER),  # nothing is masked
    ],
)
def test_a_masked_number_is_no_line_that_it_does_not_show_enough_of(said: str, of_name: str) -> None:
    assert links([call("c1", callee=said)], [named("09:00:00", path="a.wav", number=of_name)]) == {}


@pytest.mark.parametrize("clock", ["09:00:00", "09:00:15"])
def test_a_masked_number_that_can_be_two_calls_is_a_tie(clock: str) -> None:
    rows = [call("c1", callee=NUMBER), call("c2", callee="15399998463")]
    files = [named(clock, path="a.wav", number=HIDDEN)]
    assert links(rows, files) == {}
    assert ties(rows, files) == ({"a.wav": "fits 2 calls equally well: c1, c2"}, {"c1", "c2"})


@pytest.mark.parametrize(
    ("masked", "whole", "rule"), [("09:00:00", "09:00:00", "key"), ("09:00:01", "09:00:15", "nearest")]
)
def test_a_whole_number_is_asked_before_a_masked_one(masked: str, whole: str, rule: str) -> None:
    rows = [call("c1", masked, callee=HIDDEN), call("c2", whole, callee=NUMBER)]
    assert links(rows, [named("09:00:00", path="a.wav")]) == {"a.wav": ("c2", rule)}


def test_of_calls_behind_several_masks_the_nearest_is_meant() -> None:
    rows = [call("c1", "09:00:20", callee=HIDDEN), call("c2", "09:00:05", callee="15372388***")]
    assert links(rows, [named("09:00:00", path="a.wav")]) == {"a.wav": ("c2", "nearest")}
