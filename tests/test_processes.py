"""Windows of a long period in processes of their own: the same as one after the other, and no death is silent."""

import shutil
import signal
from datetime import UTC, datetime, timedelta

import pytest
from prefect.logging import disable_run_logger
from shop import DAY, Shop

from blocks.business import Business
from blocks.errors import TransientError
from blocks.saved import load
from flows.centre import load_centre
from flows.processes import in_process
from flows.reconciliation import side_by_side
from reconcile.errors import RuleError
from reconcile.instants import check_zone


def test_the_result_of_a_process_comes_back() -> None:
    assert in_process("a sum", sum, [1, 2]) == 3


def test_an_error_of_ours_is_told_as_it_is() -> None:
    with pytest.raises(RuleError, match="Cannot read times: Mars/Olympus: there is no such time zone"):
        in_process("a zone", check_zone, "Mars/Olympus")


def test_a_process_that_was_killed_is_told_with_its_window() -> None:
    with pytest.raises(TransientError, match=r"haihe/hexi, 2021-01-30 to 2021-01-31: it was ended .* exit code -9"):
        in_process("haihe/hexi, 2021-01-30 to 2021-01-31", signal.raise_signal, signal.SIGKILL)


def test_windows_side_by_side_say_what_one_process_says(shop: Shop) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    for day in days:
        for number, clock in enumerate(("09:00:00", "23:59:58")):
            shop.call(f"{day}-{number}", clock, day=day)
            shop.recording(clock, day=day)
        shop.call(f"{day}-lost", "12:00:00", day=day)
    shop.run(days[-1])
    expected = shop.end_state()
    assert shop.open_findings() == {"recording_missing": 2}
    for file in (shop.storage / "catalog").glob("*/"):
        if file.name in ("trace", "findings", "summary", "file_types", "durations"):
            shutil.rmtree(file)
    centre = load_centre(load(Business, shop.business), "one")
    with disable_run_logger():
        side_by_side.fn(centre, [[day] for day in days], days[-1], datetime.now(UTC), 2)
    assert shop.end_state() == expected
