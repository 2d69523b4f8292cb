"""A period is cut into windows that fit, with their neighbours, into memory; every day is in one of them."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconcile.windows import MEMORY_OF_A_BYTE, windows

FIRST = date(2021, 1, 31)
DAYS = [FIRST + timedelta(days=number) for number in range(6)]


def test_what_fits_is_one_window() -> None:
    assert list(windows({}, DAYS, 1)) == [DAYS]


def test_neighbours_count() -> None:
    sizes = dict.fromkeys([FIRST - timedelta(days=1), *DAYS, DAYS[-1] + timedelta(days=1)], 10)
    four = 40 * MEMORY_OF_A_BYTE
    assert list(windows(sizes, DAYS, four)) == [DAYS[:2], DAYS[2:4], DAYS[4:]]
    assert list(windows(sizes, DAYS, four - 1)) == [[day] for day in DAYS]


def test_a_day_that_is_too_large_is_a_window_of_its_own() -> None:
    assert list(windows({DAYS[2]: 10**9}, DAYS[1:4], 1000)) == [[day] for day in DAYS[1:4]]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(0, 5000))
def test_every_day_is_in_one_window_in_order(sizes: list[int], memory: int) -> None:
    days = [FIRST + timedelta(days=number) for number in range(len(sizes))]
    found = list(windows(dict(zip(days, sizes, strict=True)), days, memory))
    assert [day for window in found for day in window] == days
    assert all(found)
