"""A recording is what its header says."""

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.audio import AudioHeader, read_header

PCM, MS_ADPCM, FLOAT, ALAW, MULAW, IMA, GSM, EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE
INT32, INT64 = 2**31 - 1, 2**63 - 1


def chunk(name: bytes, body: bytes, length: int | None = None) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(body) if length is None else length) + body + b"\0" * (len(body) % 2)


def form(tag: int, bits: int, *, channels: int = 1, rate: int = 8000, block: int = 0, more: bytes = b"") -> bytes:
    """A fmt chunk."""
    block = block or channels * max(bits, 8) // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + more)


def wave(*chunks: bytes, kind: bytes = b"RIFF") -> bytes:
    """A WAVE file of these chunks."""
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body)) + body


def data(size: int, length: int | None = None) -> bytes:
    """A data chunk of so many bytes."""
    return chunk(b"data", b"\x55" * size, length)


def header(content: bytes, extension: str = "") -> AudioHeader:
    """What is read of a file with this content."""
    return read_header(content[: 1 << 20], len(content), BytesIO(content), extension)


EXTENDED = struct.pack("<HHIH14s", 22, 16, 4, ALAW, b"\0" * 14)


@pytest.mark.parametrize(
    ("content", "codec", "duration_ms"),
    [
        (wave(form(PCM, 8), data(8000)), "pcm_u8", 1000),
        (wave(form(PCM, 16), data(16000)), "pcm_s16le", 1000),
        (wave(form(PCM, 16, channels=2, rate=44100), data(176400)), "pcm_s16le", 1000),
        (wave(form(PCM, 24), data(24000)), "pcm_s24le", 1000),
        (wave(form(PCM, 32), data(32000)), "pcm_s32le", 1000),
        (wave(form(FLOAT, 32), data(32000)), "pcm_f32le", 1000),
        (wave(form(FLOAT, 64), data(64000)), "pcm_f64le", 1000),
        (wave(form(ALAW, 8), data(4000)), "pcm_alaw", 500),
        (wave(form(MULAW, 8, channels=2), data(16000)), "pcm_mulaw", 1000),
        (wave(form(GSM, 0, block=65, more=struct.pack("<HH", 2, 320)), data(65 * 25)), "gsm_ms", 1000),
        (wave(form(IMA, 4, block=256, more=struct.pack("<HH", 2, 505)), data(2560)), "adpcm_ima_wav", 631),
        (wave(form(EXTENSIBLE, 8, more=EXTENDED), data(8000)), "pcm_alaw", 1000),
        (wave(form(MULAW, 8), chunk(b"LIST", b"INFO" + b"x" * 101), data(8000)), "pcm_mulaw", 1000),
        (wave(form(MULAW, 8), chunk(b"fact", struct.pack("<I", 8000)), data(8001)), "pcm_mulaw", 1000),
    ],
)
def test_a_wave_says_its_codec_and_length(content: bytes, codec: str, duration_ms: int) -> None:
    found = header(content)
    assert (found.container, found.codec, found.duration_ms, found.state) == ("wav", codec, duration_ms, "ok")


@pytest.mark.parametrize("unknown", [0, 0xFFFFFFFF])
def test_a_writer_that_streams_has_as_much_as_there_is(unknown: int) -> None:
    found = header(wave(form(PCM, 16), data(16000, unknown)))
    assert (found.duration_ms, found.state) == (1000, "ok")


def test_a_large_wave_keeps_its_length_apart() -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, 16000, 8000, 0))
    found = header(wave(sizes, form(PCM, 16), data(16000, 0xFFFFFFFF), kind=b"RF64"))
    assert (found.duration_ms, found.state) == (1000, "ok")


def test_sound_that_begins_beyond_the_first_megabyte_is_found() -> None:
    found = header(wave(form(PCM, 16), chunk(b"JUNK", b"\0" * (1 << 21)), data(16000)))
    assert (found.codec, found.duration_ms, found.state) == ("pcm_s16le", 1000, "ok")


def test_sound_that_begins_late_and_ends_early_is_truncated() -> None:
    assert header(wave(form(PCM, 16), chunk(b"JUNK", b"\0" * (1 << 21)), data(16000))[:-8000]).state == "truncated"


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"", "empty"),
        (wave(form(PCM, 16), data(0)), "empty"),
        (wave(form(PCM, 16)), "empty"),
        (wave(form(PCM, 16), data(16000))[:-1], "truncated"),
        (wave(form(PCM, 16), data(16000))[:60], "truncated"),
        (wave(form(PCM, 16))[:30], "truncated"),
        (wave(form(0x7777, 16), data(16000)), "undecodable"),
        (wave(form(PCM, 16, rate=0), data(16000)), "undecodable"),
        (wave(form(PCM, 16, rate=0xFFFFFFFF, block=1), data(16000))[:0] + b"not a recording at all", "undecodable"),
        (wave(data(16000)), "undecodable"),
        (b"\0" * 5000, "undecodable"),
    ],
)
def test_a_damaged_recording_is_told(content: bytes, state: str) -> None:
    assert header(content).state == state


def test_raw_gsm_is_known_by_its_frames() -> None:
    assert header((b"\xd3" + b"\x11" * 32) * 50) == AudioHeader("gsm", "gsm", 8000, 1, 1000, "ok")


def test_a_format_without_header_is_known_by_its_extension_and_a_wave_is_a_wave_by_any_name() -> None:
    assert header(b"\x7f" * 8000, "ulaw") == AudioHeader("raw", "pcm_mulaw", 8000, 1, 1000, "ok")
    assert header(wave(form(PCM, 16), data(16000)), "ulaw").container == "wav"


@pytest.mark.parametrize(
    ("container", "encoder", "codec"),
    [
        ("mp3", "libmp3lame", "mp3"),
        ("aiff", "pcm_s16be", "pcm_s16be"),
        ("au", "pcm_mulaw", "pcm_mulaw"),
        ("flac", "flac", "flac"),
    ],
)
def test_other_containers_are_asked_of_ffmpeg(tmp_path: Path, container: str, encoder: str, codec: str) -> None:
    file = tmp_path / "sound"
    with av.open(str(file), "w", format=container) as writer:
        stream = writer.add_stream(encoder, rate=8000, layout="mono")
        sound = av.AudioFrame(format=stream.format.name, layout="mono", samples=8000)
        sound.sample_rate = 8000
        for plane in sound.planes:
            plane.update(b"\0" * plane.buffer_size)
        for packet in [*stream.encode(sound), *stream.encode(None)]:
            writer.mux(packet)
    found = header(file.read_bytes())
    assert (found.container, found.codec, found.sample_rate, found.channels, found.state) == (
        container, codec, 8000, 1, "ok",
    )  # fmt: skip
    assert abs((found.duration_ms or 0) - 1000) < 150


@pytest.mark.parametrize("first", ["#EXTM3U\n#EXTINF:1,\n", "ffconcat version 1.0\nfile ", "[playlist]\nFile1="])
def test_a_list_of_other_files_is_no_recording(tmp_path: Path, first: str) -> None:
    (tmp_path / "other.wav").write_bytes(wave(form(PCM, 16), data(16000)))
    assert header(f"{first}{tmp_path}/other.wav\n".encode()).state == "undecodable"


def fits(found: AudioHeader) -> bool:
    numbers: Sequence[tuple[int | None, int]] = (
        (found.sample_rate, INT32), (found.channels, INT32), (found.duration_ms, INT64),
    )  # fmt: skip
    return all(number is None or 0 <= number <= most for number, most in numbers)


GOOD = wave(form(IMA, 4, block=256, more=struct.pack("<HH", 2, 505)), chunk(b"fact", b"\1\2\3\4"), data(64))


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(content: bytes) -> None:
    assert fits(header(content))
    assert fits(header(b"RIFF\0\0\0\0WAVE" + content))


@settings(max_examples=200)
@given(st.dictionaries(st.integers(12, len(GOOD) - 1), st.integers(0, 255), max_size=8), st.integers(0, len(GOOD)))
def test_a_spoilt_header_is_read_without_an_error(spoilt: dict[int, int], end: int) -> None:
    content = bytearray(GOOD)
    for place, byte in spoilt.items():
        content[place] = byte
    assert fits(header(bytes(content[:end])))
