"""What is expected of the summary, checked by Great Expectations in a process of its own."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tables import BUSINESS, DAY, SITE

from blocks import expectations
from blocks.errors import PermanentError
from reconcile.frames import SUMMARY


def summary(**columns: Any) -> pl.DataFrame:
    """SUMMARY of one good day, with these columns otherwise."""
    row = dict.fromkeys(SUMMARY.columns) | {
        "business": BUSINESS, "site": SITE, "day": DAY, "calls": 2, "legs": 2, "rows_in": 2, "rows_ok": 2,
        "rows_quarantined": 0, "complete": 2, "partial": 0, "missing": 0, "excluded": 0, "coverage": 1.0,
        "recordings": 2, "in_snapshot": 2, "restored": 2, "published": 2, "indexed": 2, "bytes": 10, "seconds": 5.0,
        "open_critical": 0,
    } | columns  # fmt: skip
    return pl.DataFrame([row], schema=SUMMARY.schema)


def failed(tmp_path: Path, frame: pl.DataFrame, coverage_target: float = 0.9) -> set[str]:
    """The columns that are not as expected."""
    checked = expectations.check(frame, coverage_target=coverage_target, as_of=DAY, docs_folder=tmp_path / "docs")
    return set(checked.filter(~pl.col("success"))["column"])


def test_a_good_day_is_as_expected_and_its_docs_can_be_read_offline(tmp_path: Path) -> None:
    assert failed(tmp_path, summary()) == set()
    page = (tmp_path / "docs" / str(DAY) / "index.html").read_text()
    assert page
    for file in (tmp_path / "docs").rglob("*.html"):
        text = file.read_text()
        assert "src='http" not in text
        assert 'src="http' not in text
        assert "<link rel='stylesheet' href='http" not in text


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
    with pytest.raises(PermanentError, match="open_critical"):
        failed(tmp_path, summary().with_columns(pl.lit("many").alias("open_critical")))
    assert failed(tmp_path, summary()) == set()


@pytest.mark.parametrize("secret", ["PREFECT_API_KEY", "VOXKEEP_PASSWORD"])
def test_the_other_process_has_none_of_our_secrets(secret: str) -> None:
    from blocks.expectations import _ENVIRONMENT  # noqa: PLC0415

    assert secret not in _ENVIRONMENT
