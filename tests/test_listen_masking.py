"""Telephone numbers are masked however they are written, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listen.masking import masked_number, masked_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("15372388463", "153******63"),
        ("8615372388463", "86153******63"),
        ("+86 153 7238 8463", "+86 153 **** **63"),
        ("0086-15372388463", "0086-153******63"),
        ("023-88650001", "023-******01"),
        ("2049", "2049"),
        ("", ""),
        ("１５３７２３８８４６３", "153******63"),
    ],
)
def test_a_field_of_numbers_shows_the_first_three_and_the_last_two_digits(text: str, shown: str) -> None:
    assert masked_number(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("回电15372388463，谢谢", "回电153******63，谢谢"),
        ("回电 153-7238-8463", "回电 153-****-**63"),
        ("回电 (023) 8865 0001 转 2", "回电 (023) **** **01 转 2"),
        ("tel15372388463", "tel153******63"),
        ("01/31/2049_15372388463_20210131114129.wav3", "01/31/2049_153******63_20210131114129.wav3"),
        ("１５３７２３８８４６３", "153******63"),
    ],
)
def test_a_number_in_a_text_is_masked(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    "text",
    ["2021-01-31 11:41:29", "2021-01-31T11:41:29.123", "20210131114129", "20210131", "MT2101-911821", "7417.32",
     "023210131192425122", "分期:3期,每期¥1,200.50", "—"],
)  # fmt: skip
def test_what_is_no_number_stays(text: str) -> None:
    assert masked_text(text) == text


@given(st.from_regex(r"1[3-9]\d{9}", fullmatch=True), st.text(max_size=5), st.text(max_size=5))
def test_no_mobile_number_survives_in_any_text(number: str, before: str, after: str) -> None:
    text = f"{before}|{number}|{after}"
    assert number not in masked_text(text)
