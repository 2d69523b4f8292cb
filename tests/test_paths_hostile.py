"""Paths that try harder: names that look like escapes, and ways out of a root in every spelling."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocks.errors import PermanentError
from blocks.paths import escape_path, join_below, unescape_path

# Pieces that are alike, or look like what an escape makes.
PIECES = [b"%", b"%2", b"25", b"e9", b"E9", b"\xe9", b"\xc3\xa9", b"\n", b"/", b".", "录".encode()]
TRICKS = st.lists(st.sampled_from(PIECES)).map(b"".join)


@settings(max_examples=100)
@given(st.lists(TRICKS, max_size=20, unique=True))
@example([b"%E9", b"\xe9", b"\xc3\xa9", b"%25E9", b"%e9", b"\xed\xb3\xa9", bytes(range(1, 256))])
def test_names_that_look_like_escapes_come_back_and_differ(paths: list[bytes]) -> None:
    texts = [escape_path(path) for path in paths]
    assert [unescape_path(text) for text in texts] == paths
    assert len(set(texts)) == len(paths)
    assert not [char for text in texts for char in text if char < " " or char == "\x7f"]


@settings(max_examples=100)
@given(TRICKS)
def test_a_path_leads_below_its_root_or_nowhere(raw: bytes) -> None:
    text = escape_path(raw)
    if raw.startswith(b"/") or b".." in raw.split(b"/"):
        with pytest.raises(PermanentError):
            join_below(Path("/disk"), text)
    else:
        assert join_below(Path("/disk"), text) == b"/disk/" + raw


@pytest.mark.parametrize("text", ["..", "//a", "a/%2E.", ".%2E/a", "%2Fetc/passwd", "a%2F..%2Fb", "a/../../b"])
def test_an_escaped_way_out_is_a_way_out(text: str) -> None:
    with pytest.raises(PermanentError, match="its path leaves /disk/one") as refused:
        join_below(Path("/disk/one"), text)
    assert refused.value.subject == text


@pytest.mark.parametrize("name", ["...", "..a", "a..", "a..b", ".hidden", "a/...b/c", "%2e%2e", "~", "-"])
def test_a_name_that_only_looks_like_a_way_out_is_a_name(name: str) -> None:
    assert join_below(Path("/disk"), escape_path(name.encode())) == b"/disk/" + name.encode()
