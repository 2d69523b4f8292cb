"""What is expected of the summary, checked by Great Expectations in a process of its own."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tables import BUSINESS, DAY, SITE, finding

from blocks import expectations
from blocks.errors import PermanentError
from reconcile.expected import Expected, Known, Own, Range, measure
from reconcile.expected import expectations as wanted
from reconcile.frames import EXTRACTS, FILE_TYPES, FINDINGS, MEASURED, SUMMARY

EVERYTHING = Expected(
    bytes_a_recording=Range(at_least=1, at_most=100),
    file_types=["wav/pcm_s16le", "mp3"],
    rows={"calls": Range(at_least=1)},
    own=[
        Own(
            expect="expect_column_sum_to_be_between",
            arguments={"column": "notes", "min_value": 1},
            description="催记每天都有",
        )
    ],
)


def summary(**columns: Any) -> pl.DataFrame:
    """SUMMARY of one good day, with these columns otherwise."""
    row = dict.fromkeys(SUMMARY.columns) | {
        "business": BUSINESS, "site": SITE, "day": DAY, "calls": 2, "legs": 2, "rows_in": 2, "rows_ok": 2,
        "rows_quarantined": 0, "complete": 2, "partial": 0, "missing": 0, "excluded": 0, "coverage": 1.0,
        "recordings": 2, "in_snapshot": 2, "restored": 2, "published": 2, "indexed": 2, "bytes": 10, "seconds": 5.0,
        "open_critical": 0, "notes": 3,
    } | columns  # fmt: skip
    return pl.DataFrame([row], schema=SUMMARY.schema)


def file_type(container: str, codec: str, recordings: int) -> pl.DataFrame:
    row = {"business": BUSINESS, "site": SITE, "day": DAY, "container": container, "codec": codec, "state": "ok"}
    return pl.DataFrame([row | {"recordings": recordings, "bytes": 1, "seconds": 1.0}], schema=FILE_TYPES.schema)


def extract(dataset: str, rows: int) -> pl.DataFrame:
    row = dict.fromkeys(EXTRACTS.columns) | {"business": BUSINESS, "site": SITE, "day": DAY, "dataset": dataset}
    return pl.DataFrame([row | {"rows_in": rows}], schema=EXTRACTS.schema)


def known(frame: pl.DataFrame, **others: pl.DataFrame) -> Known:
    """This summary, of a good day's files and rows, where nothing else is given."""
    good = {
        "before": SUMMARY.empty(), "file_types": file_type("wav", "pcm_s16le", 2), "findings": FINDINGS.empty(),
        "extracts": extract("calls", 2),
    }  # fmt: skip
    return Known(summary=frame, **(good | others))


def checked(tmp_path: Path, given: Known, expected: Expected, coverage_target: float = 0.9) -> pl.DataFrame:
    suite = wanted(expected, coverage_target)
    return expectations.check(measure(given, expected), suite, as_of=DAY, docs_folder=tmp_path / "docs")


def failed(tmp_path: Path, frame: pl.DataFrame, coverage_target: float = 0.9) -> set[str]:
    """The columns that are not as expected."""
    found = checked(tmp_path, known(frame), Expected(), coverage_target)
    return set(found.filter(~pl.col("success"))["column"])


def test_a_good_day_is_as_expected_and_its_docs_can_be_read_offline(tmp_path: Path) -> None:
    found = checked(tmp_path, known(summary()), EVERYTHING)
    assert found["success"].all()
    page = (tmp_path / "docs" / str(DAY) / "index.html").read_text()
    assert page
    for file in (tmp_path / "docs").rglob("*.html"):
        text = file.read_text()
        assert "src='http" not in text
        assert 'src="http' not in text
        assert "<link rel='stylesheet' href='http" not in text


def bad_days() -> dict[str, Known]:
    """Days that together fail every expectation."""
    negative = dict.fromkeys(("recordings", "bytes", "seconds", "calls", "legs"), -1)
    weeks = [summary(day=DAY - timedelta(weeks=number), recordings=10) for number in (1, 2, 3)]
    orphan = pl.DataFrame([finding("o", kind="recording_orphan")], schema=FINDINGS.schema)
    lost = {
        "coverage": 0.5, "rows_in": 4, "rows_quarantined": 1, "calls": 5, "in_snapshot": 1, "published": 1,
        "open_critical": 3, "missing": 1,
    }  # fmt: skip
    return {
        "lost": known(summary(**lost)),
        "negative": known(summary(**negative)),
        "unusual": known(
            summary(bytes=900, notes=0), before=pl.concat(weeks), findings=orphan, extracts=extract("calls", 0),
            file_types=file_type("wav", "gsm", 2),
        ),
        "nothing": known(SUMMARY.empty()),
        "no day": known(summary(day=None)),
        "twice": known(pl.concat([summary(), summary()])),
    }  # fmt: skip


def test_every_expectation_is_evaluated_and_each_can_fail(tmp_path: Path) -> None:
    suite = {one["description"] for one in wanted(EVERYTHING, 0.9)}
    not_met: dict[str, set[str]] = {}
    for name, given in bad_days().items():
        found = checked(tmp_path, given, EVERYTHING)
        assert set(found["description"]) == suite
        not_met[name] = set(found.filter(~pl.col("success"))["description"])
    assert set.union(*not_met.values()) == suite
    assert not_met["no day"] >= {"Each summary is of a day"}
    assert not_met["twice"] == {"Each site has one summary a day"}
    assert not_met["unusual"] == {
        "Few recordings are of no call", "There are as many recordings as on this weekday before", "催记每天都有",
        "Recordings are as large as usual", "The extract of calls has as many rows as usual",
        "Every recording is of a kind that is expected: wav/pcm_s16le, mp3",
    }  # fmt: skip


def test_each_loss_fails_the_expectation_of_its_own_column(tmp_path: Path) -> None:
    day = summary(
        coverage=0.5, rows_in=4, rows_quarantined=1, calls=5, in_snapshot=1, published=1, open_critical=3, missing=1
    )
    assert failed(tmp_path, day) == {
        "coverage", "rows_unaccounted", "rows_quarantined", "calls_unaccounted", "not_in_snapshot", "not_restored",
        "not_published", "open_critical",
    }  # fmt: skip


def test_the_target_of_coverage_is_the_business_own(tmp_path: Path) -> None:
    assert failed(tmp_path, summary(coverage=0.95), coverage_target=0.95) == set()
    assert failed(tmp_path, summary(coverage=0.95), coverage_target=0.96) == {"coverage"}


@pytest.mark.parametrize(
    ("weeks", "growth"), [({}, None), ({1: 4}, None), ({1: 4, 2: 4}, 0.5), ({1: 1, 2: 8, 3: 4, 4: 2}, 2 / 3)]
)
def test_growth_is_against_the_median_of_the_same_weekday(weeks: dict[int, int], growth: float | None) -> None:
    of_other_days = [summary(day=DAY - timedelta(days=days), recordings=99) for days in (1, 6, 35)]
    before = [summary(day=DAY - timedelta(weeks=number), recordings=n) for number, n in weeks.items()]
    measured = measure(known(summary(), before=pl.concat([*of_other_days, *before])), Expected())
    assert measured["growth"].to_list() == ([None] if growth is None else [pytest.approx(growth)])


def test_figures_are_of_their_own_site_and_day() -> None:
    other = pl.DataFrame([finding("o", kind="recording_orphan", site="other")], schema=FINDINGS.schema)
    healed = pl.DataFrame([finding("h", kind="recording_orphan", status="resolved")], schema=FINDINGS.schema)
    given = known(summary(), findings=pl.concat([other, healed]), file_types=file_type("mp3", "mp3", 2))
    (row,) = measure(given, EVERYTHING).iter_rows(named=True)
    assert (row["orphans"], row["orphan_share"], row["other_types"], row["rows_calls"]) == (0, 0, 0, 2)
    assert row["bytes_a_recording"] == 5


def test_measured_is_what_its_contract_says() -> None:
    measured = measure(known(summary()), Expected())
    assert measured.columns == list(MEASURED.columns)
    assert measured.schema == MEASURED.schema


def test_an_expectation_of_ones_own_that_cannot_be_is_told_by_its_words(tmp_path: Path) -> None:
    own = Own(expect="expect_column_sum_to_be_between", arguments={"pillar": "notes"}, description="my own")
    with pytest.raises(PermanentError, match=r"my own.*correct `expectations` in the settings"):
        checked(tmp_path, known(summary()), Expected(own=[own]))


def test_its_names_are_those_of_great_expectations() -> None:
    assert {"expect_column_sum_to_be_between", "expect_table_row_count_to_be_between"} <= expectations.names()


def test_the_same_day_again_leaves_one_set_of_docs_and_old_ones_go(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for old in (date(2020, 12, 1), date(2021, 1, 5)):
        (docs / str(old)).mkdir(parents=True)
    failed(tmp_path, summary())
    failed(tmp_path, summary())
    assert sorted(folder.name for folder in docs.iterdir()) == ["2021-01-05", str(DAY), "index.html"]
    assert str(DAY) in (docs / "index.html").read_text()


def test_two_rows_of_one_partition_are_not_as_expected(tmp_path: Path) -> None:
    assert failed(tmp_path, pl.concat([summary(), summary()])) == {"business, site, day"}


def test_the_process_is_kept_and_a_new_one_takes_the_place_of_one_that_ended(tmp_path: Path) -> None:
    first = expectations.start()
    failed(tmp_path, summary())
    assert expectations.start() is first
    first.kill()
    first.wait()
    assert failed(tmp_path, summary()) == set()
    expectations.end()
    assert expectations.start().pid != first.pid


def test_one_that_dies_at_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "DEADLINE_SECONDS", 0)
    with pytest.raises(PermanentError, match="did not end within 0 s"):
        failed(tmp_path, summary())
    monkeypatch.undo()
    dead = expectations.start()
    dead.kill()
    dead.wait()
    with monkeypatch.context() as patch:
        patch.setattr(expectations, "start", lambda: dead)
        with pytest.raises(PermanentError, match="its process has ended"):
            failed(tmp_path, summary())
    assert failed(tmp_path, summary()) == set()


def test_what_cannot_be_evaluated_is_told_and_the_next_is(tmp_path: Path) -> None:
    many = measure(known(summary()), Expected()).with_columns(pl.lit("many").alias("open_critical"))
    with pytest.raises(PermanentError, match="open_critical"):
        expectations.check(many, wanted(Expected(), 0.9), as_of=DAY, docs_folder=tmp_path / "docs")
    assert failed(tmp_path, summary()) == set()


@pytest.mark.parametrize("secret", ["PREFECT_API_KEY", "VOXKEEP_PASSWORD"])
def test_the_other_process_has_none_of_our_secrets(secret: str) -> None:
    from blocks.expectations import _ENVIRONMENT  # noqa: PLC0415

    assert secret not in _ENVIRONMENT


LATE = """
import sys
from blocks.expectations import _import_late
_import_late("altair", "scipy.stats")
import altair as alt
from scipy import stats
print("altair.vegalite" in sys.modules, "scipy.stats._stats_py" in sys.modules)
print(alt.Chart.__name__, round(stats.norm.cdf(0.0), 1))
"""


def test_what_is_slow_to_import_is_imported_when_it_is_first_used() -> None:
    run = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["False False", "Chart 0.5"]
