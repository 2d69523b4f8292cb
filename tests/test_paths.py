"""File names as text, without loss."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import PermanentError
from blocks.paths import escape_path, join_below, unescape_path

NAMES = st.binary(min_size=1).filter(lambda name: b"\0" not in name)


@given(NAMES)
def test_a_name_comes_back_as_it_was(name: bytes) -> None:
    assert unescape_path(escape_path(name)) == name


@given(NAMES, NAMES)
def test_two_names_never_share_a_path(one: bytes, other: bytes) -> None:
    assert (escape_path(one) == escape_path(other)) == (one == other)


@given(NAMES)
def test_a_path_is_one_line_of_utf8(name: bytes) -> None:
    text = escape_path(name)
    assert text.encode()
    assert text.isprintable() or not set(text) & set("\n\r\0\x1b\x7f\x85\u2028\u2029\u202e")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"01/31/2049.wav3", "01/31/2049.wav3"),
        ("重庆/录音.wav".encode(), "重庆/录音.wav"),
        ("重庆.wav".encode("gbk"), "%D6%D8%C7%EC.wav"),
        (b"%2e%2e/a", "%252e%252e/a"),
        (b"a\nb", "a%0Ab"),
        ("a\u2028b\u202e".encode(), "a%E2%80%A8b%E2%80%AE"),
        (b"-rf", "-rf"),
    ],
)
def test_only_what_must_be_is_escaped(name: bytes, path: str) -> None:
    assert escape_path(name) == path


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "a/..", "%2E%2E/a"])
def test_a_path_never_leaves_its_root(path: str) -> None:
    with pytest.raises(PermanentError, match="leaves"):
        join_below(Path("/srv/recordings"), path)


def test_a_path_names_a_file_below_its_root() -> None:
    assert join_below(Path("/srv"), "a/%FF..wav") == b"/srv/a/\xff..wav"
