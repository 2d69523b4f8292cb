"""Decoding is done by processes that nobody misses."""

import os
import signal
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.hearing import which_play


def crash(source: Path) -> bool:
    """What FFmpeg might do over a hostile file."""
    if source.stem == "hostile":
        os.abort()
    return source.stem == "good"


def hang(source: Path) -> bool:
    """Likewise."""
    if source.stem == "hostile":
        signal.pause()
    return source.stem == "good"


@pytest.mark.parametrize("fault", [crash, hang])
def test_a_recording_over_which_a_decoder_crashes_or_hangs_does_not_play_and_the_others_do(
    fault: Callable[[Path], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocks.hearing._is_heard", fault)
    monkeypatch.setattr("blocks.hearing.DECODING_SECONDS", 1)
    names = ["good", "silent", "hostile", "good", "good", "silent"]
    sources = [tmp_path / str(place) / f"{name}.wav" for place, name in enumerate(names)]
    for source in sources:
        source.parent.mkdir()
        source.touch()
    assert which_play(sources) == [name == "good" for name in names]


def test_what_holds_no_sound_does_not_play(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.wav", tmp_path / "cut.wav"
    with wave.open(str(whole), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\0" * 8000)
    cut.write_bytes(whole.read_bytes()[:44])
    (tmp_path / "empty.wav").touch()
    assert which_play([whole, cut, tmp_path / "empty.wav"]) == [True, False, False]
    assert which_play([]) == []
