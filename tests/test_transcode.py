"""Copies in a bank's form sound like the recording; the recording itself stays what it is."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from blocks.errors import PermanentError
from blocks.transcode import FORMS, transcode
from voxkeep.sample_audio import recording


def loudness(content: bytes, **options: str) -> np.ndarray:
    """The loudness of each tenth of a second, at 8 kHz."""
    with av.open(BytesIO(content), **options) as file:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8000)
        pieces = [piece.to_ndarray()[0] for frame in file.decode(audio=0) for piece in resampler.resample(frame)]
    sound = np.concatenate(pieces).astype(float)
    return np.sqrt((sound[: len(sound) // 800 * 800].reshape(-1, 800) ** 2).mean(axis=1))


def transcoded(folder: Path, content: bytes, extension: str, form: str) -> bytes:
    (folder / "source").write_bytes(content)
    transcode(folder / "source", extension, folder / "copy", form)
    assert (folder / "source").read_bytes() == content
    assert sorted(file.name for file in folder.iterdir()) == ["copy", "source"]
    return (folder / "copy").read_bytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["pcm", "alaw", "ulaw", "gsm"])
def test_a_copy_sounds_like_the_recording_and_twice_is_the_same(tmp_path: Path, encoding: str, form: str) -> None:
    content = recording(3.0, encoding, "key")
    copy = transcoded(tmp_path, content, "wav3", form)
    assert copy == transcoded(tmp_path, content, "wav3", form)
    with av.open(BytesIO(copy)) as file:
        codec = file.streams.audio[0].codec_context
        expected = {"wav": "pcm_s16le", "wav-alaw": "pcm_alaw", "wav-mulaw": "pcm_mulaw", "mp3": "mp3float"}
        assert (codec.name, codec.sample_rate, codec.channels) == (expected[form], 8000, 1)
    before, after = loudness(content), loudness(copy)
    assert abs(len(before) - len(after)) <= 2  # an MP3 is padded to whole frames
    common = min(len(before), len(after))
    assert np.corrcoef(before[:common], after[:common])[0, 1] > 0.9


def test_a_form_without_a_header_is_told_by_its_extension(tmp_path: Path) -> None:
    raw = bytes(range(256)) * 125
    copy = transcoded(tmp_path, raw, "ulaw", "wav")
    with av.open(BytesIO(copy)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == len(raw)


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x10\0\0\0WAVEfmt "])
def test_what_cannot_be_decoded_is_told(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PermanentError, match="format: original"):
        transcoded(tmp_path, content, "wav", "mp3")
