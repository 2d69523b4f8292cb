"""The same line written in two ways becomes the same text; two lines never do."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.numbers import normalised
from reconcile.rules import NumberRules


def normal(number: str | None, rules: NumberRules | None = None) -> str | None:
    frame = pl.DataFrame({"number": [number]}, schema={"number": pl.String})
    value: str | None = frame.select(normalised(pl.col("number"), rules or NumberRules())).item()
    return value


@pytest.mark.parametrize(
    "written",
    [
        "15372388463", "015372388463", "8615372388463", "+8615372388463", "008615372388463", "+86 153-7238 8463",
        "(0)153.7238.8463",
    ],
)  # fmt: skip
def test_all_spellings_of_a_mobile_number_become_one(written: str) -> None:
    assert normal(written) == "15372388463"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("01012345678", "1012345678"),
        ("10086", "10086"),
        ("95588", "95588"),
        ("86123456", "86123456"),
        ("0123456", "0123456"),
        ("01234567", "1234567"),
        ("2049", "2049"),
        ("+4915112345678", "4915112345678"),
    ],
)
def test_short_numbers_and_foreign_ones_keep_their_digits(written: str, expected: str) -> None:
    assert normal(written) == expected


@pytest.mark.parametrize("empty", [None, "", " ", "-", "anonymous", "unknown", "Restricted", "****", "xxxx"])
def test_what_has_no_digit_is_no_number(empty: str | None) -> None:
    assert normal(empty) is None


@pytest.mark.parametrize("masked", ["153****8463", "153xxxx8463", "153XXXX8463", "0153****8463", "+86 153****8463"])
def test_masks_are_one_mask_whatever_their_sign(masked: str) -> None:
    assert normal(masked) == "153****8463"


def test_an_access_code_is_taken_off_before_the_country_and_the_trunk_prefix() -> None:
    rules = NumberRules(access_codes=["9", "97"])
    assert normal("9015372388463", rules) == "15372388463"
    assert normal("978615372388463", rules) == "15372388463"
    assert normal("95588", rules) == "95588"


def test_an_access_code_with_signs_means_those_signs() -> None:
    rules = NumberRules(access_codes=["*9#"])
    assert normal("*9#15372388463", rules) == "15372388463"
    assert normal("915372388463", rules) == "915372388463"


def test_no_prefixes_at_all_leave_the_digits() -> None:
    rules = NumberRules(country_codes=[], trunk_prefixes=[])
    assert normal("+86 015372388463", rules) == "86015372388463"


def test_each_prefix_is_taken_off_once() -> None:
    assert normal("0015372388463") == "015372388463"
    assert normal("868613800000000") == "8613800000000"


@settings(max_examples=200)
@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), st.sampled_from(["", "0", "86", "+86", "0086", "+86 "]))
def test_a_mobile_number_is_itself_after_any_prefix(number: str, prefix: str) -> None:
    assert normal(prefix + number) == number
