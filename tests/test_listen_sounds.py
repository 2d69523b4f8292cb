"""Recordings made ready to be heard: every format, damaged ones, and a folder that never grows beyond its bound."""

import io
import os
import signal
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from page import Client, Page, call_path, encoded, recordings_of_every_kind, tone

from blocks.errors import PermanentError
from blocks.hearing import duration_seconds, levels, to_wav
from blocks.lock import exclusive
from listen.sounds import Sounds
from voxkeep import listening


def heard(tmp_path: Path, content: bytes, extension: str) -> Path:
    """The WAV file of a recording with this content."""
    (tmp_path / "source").write_bytes(content)
    to_wav(tmp_path / "source", extension, tmp_path / "target.wav")
    return tmp_path / "target.wav"


@pytest.mark.parametrize("name", recordings_of_every_kind())
def test_every_format_becomes_sound_of_its_length(tmp_path: Path, name: str) -> None:
    extension, content = recordings_of_every_kind()[name]
    assert duration_seconds(heard(tmp_path, content, extension)) == pytest.approx(3, abs=0.25)


def test_samples_that_need_no_decoding_stay_as_they_are(tmp_path: Path) -> None:
    with wave.open(str(heard(tmp_path, encoded("wav", "pcm_s16le", tone(2, 2)), "wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    assert np.array_equal(samples, tone(2, 2).T)


def test_sound_that_comes_in_large_pieces_is_whole(tmp_path: Path) -> None:
    long = tone(40, 2)
    with wave.open(str(heard(tmp_path, encoded("wav", "pcm_s16le", long), "wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    assert np.array_equal(samples, long.T)
    assert duration_seconds(heard(tmp_path, encoded("wav", "pcm_alaw", long[:1]), "wav3")) == 40


def test_a_recording_that_was_cut_off_is_heard_to_its_end(tmp_path: Path) -> None:
    content = encoded("wav", "pcm_alaw", tone(3))
    assert duration_seconds(heard(tmp_path, content[: len(content) // 2], "wav")) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"RIFF\0\0\0\0WAVE", b"#EXTM3U\nfile:///etc/passwd\n", bytes(range(256)) * 40]
)
def test_what_is_no_sound_is_told(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PermanentError, match="hear a recording"):
        heard(tmp_path, content, "wav")


def test_the_waveform_has_a_channel_each_and_follows_the_loudness(tmp_path: Path) -> None:
    sound = tone(3, 2)
    sound[0, :12000] = 0
    left, right = levels(heard(tmp_path, encoded("wav", "pcm_s16le", sound), "wav"), 100)
    assert len(left) == len(right) == 100
    assert max(left[:49]) == 0
    assert min(left[51:]) > 20
    assert min(right) > 20


def recording_path(page: Page, name: str) -> str:
    return f"{call_path('shop', name)}/{page.recordings[f'shop/{name}'].document['recording_id']}"


@pytest.fixture
def listener(page: Page) -> Client:
    return page.enter("hears", ("listener",))


def source_of(client: Client, page: Page, name: str) -> str:
    source: str = client.post(f"{recording_path(page, name)}/play").json()["source"]
    return source


def test_a_browser_may_ask_for_any_part(page: Page, listener: Client) -> None:
    source = source_of(listener, page, "gsm")
    whole = listener.get(source)
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    part = listener.get(source, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert listener.get(source, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_the_address_of_a_sound_is_of_use_to_its_session_alone(page: Page, listener: Client) -> None:
    source = source_of(listener, page, "gsm")
    other = page.enter("hears-too", ("listener",))
    assert other.get(source).status_code == 404
    assert page.client().get(source).status_code == 404
    assert listener.get(source).status_code == 200


def test_a_play_is_on_record_before_there_is_an_address(page: Page, listener: Client) -> None:
    before = len(page.rows())
    source_of(listener, page, "mp3")
    (row,) = page.rows()[before:]
    assert (row.entry.action, row.entry.subject) == ("play", page.recordings["shop/mp3"].document["recording_id"])


def test_a_download_is_the_original_to_the_byte(page: Page) -> None:
    client = page.enter("saves", ("supervisor",))
    for name in ("gsm", "g722", "stereo"):
        answer: httpx.Response = client.post(f"{recording_path(page, name)}/download")
        assert answer.content == page.recordings[f"shop/{name}"].content
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment;")
    deadline = time.monotonic() + 10  # the copy goes when the answer has gone
    while list((page.folder / "sounds").glob("*.original")):
        assert time.monotonic() < deadline


def test_the_folder_of_what_is_ready_never_grows_beyond_its_bound(page: Page, tmp_path: Path) -> None:
    sounds = Sounds(tmp_path / "sounds", most_bytes=150_000)
    store = page.offices["shop"].store
    for name in ("pcm", "alaw", "ulaw", "gsm", "mp3"):
        ready: Any = sounds.ready(store, page.recordings[f"shop/{name}"].document)
        assert ready.wav.exists()
        assert sum(file.stat().st_size for file in (tmp_path / "sounds").glob("*.wav")) <= 150_000
    assert (tmp_path / "sounds").stat().st_mode & 0o077 == 0
    again = sounds.ready(store, page.recordings["shop/pcm"].document)
    with wave.open(io.BytesIO(again.wav.read_bytes())) as file:
        assert file.getnframes() == 24_000


def crash(*_given: object) -> None:
    """What FFmpeg might do over a hostile file."""
    os.abort()


def hang(*_given: object) -> None:
    """Likewise."""
    signal.pause()


@pytest.mark.parametrize("fault", [crash, hang])
def test_a_decoder_that_crashes_or_hangs_is_told_and_the_others_are_heard(
    fault: Callable[..., None], page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = Sounds(tmp_path / "sounds")
    store, recording = page.offices["shop"].store, page.recordings["shop/gsm"].document
    sounds.ready(store, page.recordings["shop/pcm"].document)
    for process in sounds._decoders._processes.values():
        process.kill()
    assert sounds.ready(store, recording).seconds > 1
    with monkeypatch.context() as patched:
        patched.setattr("listen.sounds.make_ready", fault)
        patched.setattr("listen.sounds.DECODING_SECONDS", 1)
        with pytest.raises(PermanentError, match="the decoder crashed over it, or had no end after 1 s"):
            sounds.ready(store, page.recordings["shop/ulaw"].document)
    with monkeypatch.context() as patched:
        patched.setattr(sounds, "_make", None)
        with pytest.raises(PermanentError, match="the decoder crashed"):  # told at once, without another try
            sounds.ready(store, page.recordings["shop/ulaw"].document)
    assert sounds.ready(store, page.recordings["shop/alaw"].document).seconds > 1
    assert list((tmp_path / "sounds").glob("*.part")) == []


def test_what_a_killed_page_has_left_is_cleared_away_and_what_another_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, in_use, fresh = (tmp_path / f"voxkeep-listen-{name}" for name in ("left", "used", "fresh"))
    for folder in (left, in_use, fresh):
        (folder / "sounds").mkdir(parents=True)
        (folder / "in-use").touch()
    for folder in (left, in_use):
        os.utime(folder, (0, 0))
    with exclusive(in_use / "in-use", "test"), listening.sounds_folder() as mine:
        assert {in_use, fresh, mine.parent} == set(tmp_path.iterdir())
    assert {in_use, fresh} == set(tmp_path.iterdir())
