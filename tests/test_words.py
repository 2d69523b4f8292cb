"""What agents write and what people look for become comparable texts."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.words import phrases, words_apart, words_of


def words(*notes: object) -> str | None:
    """The words of a call's notes."""
    text = json.dumps(list(notes), ensure_ascii=False)
    found: str | None = words_of(pl.Series([text]))[0]
    return found


def holds(text: str, words_wanted: str) -> bool:
    """Whether a note with this text is found by these words."""
    wanted = phrases(words_wanted)
    return wanted is not None and all(phrase in (words({"text": text}) or "") for phrase in wanted)


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ({"text": "客户说：明天下午，还款"}, " 客户说明天下午还款 "),
        ({"text": "Call-BACK ２０ 点"}, " call back 20 点 "),
        ({"text": "a客b客 户"}, " a 客 b 客户 "),
        ({"text": 'line\nline\t"quoted" \\ end'}, " line line quoted end "),
        ({"text": "明天", "by": "2049"}, " 明天 | 2049 "),
        ({"text": None, "by": ""}, None),
        ({"text": "a: b", "n:": "c"}, " a b | c "),
        ({"n": 12, "list": ["x", {"deep": "y"}]}, " 12 | x | y "),
        ({"text": "…！"}, None),
        ({"text": "𠮷野家 🙂 ok"}, " 𠮷野家 ok "),
    ],
)  # fmt: skip
def test_the_words_of_a_note_are_those_of_its_values(note: dict[str, object], expected: str | None) -> None:
    assert words(note) == expected


@given(st.lists(st.text(alphabet='客户⻱々〇𠮷か한éE\u0301ⅧＡa1 \n-|"\\🙂J\u030c', max_size=12), max_size=4))
def test_the_words_apart_are_the_same_with_each_chinese_character_alone(values: list[str]) -> None:
    notes = pl.Series([json.dumps(values, ensure_ascii=False)])
    together = words_of(notes).str.replace_all(r"(\p{Han})", " $1 ")[0]
    apart = words_apart(notes)[0]
    assert apart == (together and " ".join(together.split()))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_escaped_characters_are_the_characters(ascii_only: bool) -> None:
    notes = pl.Series([json.dumps([{"text": "客户\u2028说 \U0001f642 é"}], ensure_ascii=ascii_only)])
    assert words_of(notes).to_list() == [" 客户说 é "]


def test_half_of_a_character_is_no_error() -> None:
    assert words_of(pl.Series(['[{"text": "\\ud800 k"}]'])).to_list() == [" k "]


@pytest.mark.parametrize("broken", ["{no JSON", '[{"a": "\\x"}]', '"', "", "null", None])
def test_what_is_no_json_is_no_error(broken: str | None) -> None:
    assert words_of(pl.Series([broken, '[{"a": "b"}]'], dtype=pl.String)).to_list()[1] == " b "


@pytest.mark.parametrize(
    ("text", "wanted", "is_found"),
    [
        ("客户说明天下午还款", "明天下午", True),
        ("客户说明天下午还款", "下午 明天", True),
        ("客户说明天下午还款", "明天还款", False),
        ("明天下午", "明天，下午", True),
        ("please call back", "call", True),
        ("please call back", "cal", False),
        ("please call back", "call  please", True),
        ("已call客户", "call客户", True),
        ("已call客户", "call", True),
        ("K7", "K", False),
        ("K-7", "k 7", True),
        ("anything", "", True),
        ("anything", "?", False),
        ("anything", "anything ?", True),
    ],
)
def test_words_are_found_whole_and_chinese_as_a_phrase(text: str, wanted: str, is_found: bool) -> None:
    assert holds(text, wanted) is is_found


@settings(max_examples=200)
@given(st.text(st.sampled_from('明天下午ab1 ，-\n"\\ＡÄ'), max_size=20), st.data())
def test_whatever_stands_in_a_note_is_found_by_itself_and_by_its_chinese_parts(text: str, data: st.DataObject) -> None:
    if phrases(text):
        assert holds(text, text)
    han = [part for part in "".join(c if c in "明天下午" else " " for c in text).split() if part]
    if han:
        part = data.draw(st.sampled_from(han))
        start = data.draw(st.integers(0, len(part) - 1))
        assert holds(text, part[start:])
