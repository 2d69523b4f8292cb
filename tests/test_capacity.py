"""What a scale needs on paper is what the formulae say, and the page says nothing else."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from capacity_page import SCALES, Costs, Scale, amount, load_costs, needs

ROOT = Path(__file__).resolve().parents[1]
ROUND = Costs(
    catalog=300, index=100, repository=1_000, memory=400, backup=0.001, ingest=0.001, reconcile=0.0001, maintain=0.0003
)


def test_needs_are_those_that_one_works_out_by_hand() -> None:
    found = needs(Scale("ten sites", a_day=86_400, sites=10, years=2, size=100_000), ROUND)
    kept = 86_400 * 730
    assert found.recordings == kept
    assert found.repositories == kept * 101_000
    assert found.published == kept * 100_000
    assert (found.catalog, found.index) == (kept * 300, kept * 100)
    assert found.restic_memory == 8_640 * 365 * 400
    assert found.network == 800_000
    assert found.checked_a_day == kept * 201_000 / 30
    # Twice as large as those that were measured: twice the time, where bytes are read.
    assert found.source_cores == pytest.approx(0.0002)
    assert found.central_cores == pytest.approx(0.0023 + 0.0006 * 730 / 30)
    assert found.rebuild_core_days == pytest.approx(0.0023 * 730)


def test_every_flow_and_frame_that_grows_was_measured() -> None:
    costs, measured = load_costs()
    assert all(cost > 0 for cost in vars(costs).values())
    assert {"catalog_calls", "catalog_inventory", "catalog_restored", "catalog_snapshot_files", "catalog_trace"} <= set(
        measured
    )


@pytest.mark.parametrize("place", range(len(SCALES)), ids=[scale.name for scale in SCALES])
def test_the_worked_example_says_what_the_formulae_say(place: int) -> None:
    page = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8").split("## A worked example")[1]
    cells = {
        row[0]: row[1 + place]
        for row in (re.split(r" *\| *", line)[1:-1] for line in page.splitlines() if line.startswith("| "))
    }
    found = needs(SCALES[place], load_costs()[0])
    assert cells["recordings kept"] == f"{found.recordings:,.0f}"
    assert cells["repositories"] == amount(found.repositories)
    assert cells["catalog"] == amount(found.catalog)
    assert cells["read by the checks a day"] == amount(found.checked_a_day)
