"""Waves as recorders leave them, held against FFmpeg; and playlists, which open nothing."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocks.audio import EMPTY, UNDECODABLE, AudioHeader, read_header

HEAD = 1 << 20
UNKNOWN = 0xFFFFFFFF
PCM, IMA, GSM, EXTENSIBLE = 0x0001, 0x0011, 0x0031, 0xFFFE


def read(content: bytes, extension: str = "") -> AudioHeader:
    return read_header(content[:HEAD], len(content), io.BytesIO(content), extension)


def chunk(name: bytes, body: bytes, promised: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if promised is None else promised) + body + b"\0" * (len(body) % 2)


def form(tag: int, rate: int, bits: int, channels: int = 1, more: bytes = b"", **other: int) -> bytes:
    """The chunk `fmt `, by default with the block and bytes a second of plain samples."""
    block = other.get("block", channels * bits // 8)
    byte_rate = other.get("byte_rate", rate * block)
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, byte_rate, block, bits) + more)


def wave(*chunks: bytes, kind: bytes = b"RIFF", promised: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if promised is None else promised) + body


def fact(samples: int) -> bytes:
    return chunk(b"fact", struct.pack("<I", samples))


def data(size: int, promised: int | None = None) -> bytes:
    return chunk(b"data", b"\x55" * size, promised)


def ds64(size: int) -> bytes:
    return chunk(b"ds64", struct.pack("<QQQI", 72, size, 0, 0))


def extensible(tag: int, bits: int) -> bytes:
    """What follows the plain format: sizes, channel mask, and the tag as the beginning of a GUID."""
    return struct.pack("<HHIH", 22, bits, 4, tag) + bytes.fromhex("000000001000800000aa00389b71")


MULAW = form(7, 8000, 8)
PLAIN = wave(form(PCM, 8000, 16), data(16_000))
GSM_FORM = form(GSM, 8000, 0, more=struct.pack("<HH", 2, 320), block=65, byte_rate=1625)
IMA_FORM = form(IMA, 8000, 4, more=struct.pack("<HH", 2, 505), block=256, byte_rate=4055)
ENCODINGS = [
    wave(form(PCM, 8000, 8), data(12_000)),
    wave(form(PCM, 16_000, 16, 2), data(96_000)),
    wave(form(PCM, 44_100, 24, 2), data(396_900)),
    wave(form(PCM, 48_000, 32), data(288_000)),
    wave(form(3, 8000, 32), data(48_000)),
    wave(form(6, 8000, 8), fact(12_000), data(12_000)),
    wave(form(7, 8000, 8, 2, b"\0\0"), fact(12_000), data(24_000)),
    wave(GSM_FORM, fact(8000), data(1625)),
    wave(IMA_FORM, fact(5050), data(2560)),
    wave(form(EXTENSIBLE, 8000, 16, more=extensible(PCM, 16)), data(24_000)),
    wave(form(EXTENSIBLE, 48_000, 24, 2, extensible(PCM, 24)), data(432_000)),
    wave(form(EXTENSIBLE, 8000, 8, more=extensible(6, 8)), data(12_000)),
]


@pytest.mark.parametrize("content", ENCODINGS)
def test_ffmpeg_says_the_same_of_a_wave(content: bytes) -> None:
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.audio[0]
        said = (stream.codec_context.codec.canonical_name, stream.codec_context.sample_rate, stream.channels)
        length = float(stream.duration * stream.time_base) * 1000
    header = read(content)
    assert (header.codec, header.sample_rate, header.channels) == said
    assert header.duration_ms == pytest.approx(length, abs=1)


@pytest.mark.parametrize(
    ("content", "duration"),
    [
        (wave(GSM_FORM, fact(7990), data(1625)), 999),
        (wave(GSM_FORM, fact(9999), data(1625)), 1000),
        (wave(GSM_FORM, data(1624)), 960),
        (wave(GSM_FORM, fact(0), data(1625, 0)), 1000),
        (wave(GSM_FORM, fact(UNKNOWN), data(1625, UNKNOWN)), 1000),
        (wave(IMA_FORM, fact(5000), data(2560)), 625),
        (wave(IMA_FORM, fact(10_100), data(2560, 5120)), 631),
        (wave(form(0x0045, 8000, 4, block=1, byte_rate=4000), data(4000)), 1000),
        (wave(form(0x0045, 8000, 4, block=1, byte_rate=0), fact(4000), data(4000)), 500),
        (wave(form(0x0045, 8000, 4, block=1, byte_rate=0), data(4000)), 0),
        (wave(form(7, 8000, 8, block=0), data(4000)), 500),
        (wave(form(0x0045, 8000, 4, block=1, byte_rate=4000), fact(8000), data(2000, 4000)), 500),
    ],
)
def test_packed_sound_is_as_long_as_its_samples(content: bytes, duration: int) -> None:
    assert read(content).duration_ms == duration


@pytest.mark.parametrize(
    "content",
    [
        wave(chunk(b"JUNK", b"\0" * 28), MULAW, data(8000)),
        wave(MULAW, chunk(b"LIST", b"odd"), data(8000)),
        wave(MULAW, chunk(b"LIST", b""), data(8000)),
        wave(MULAW, chunk(b"LIST", b"data\x01\0\0\0"), data(8000)),
        wave(MULAW, data(8000), chunk(b"LIST", b"after")),
        wave(MULAW, data(7999), chunk(b"LIST", b"after")),
        wave(MULAW, chunk(b"cue ", b"c" * (HEAD - 64)), data(8000)),
        wave(MULAW, data(8000), promised=7),
        wave(MULAW, data(8000)) + b"\0" * 8000,
    ],
    ids=["junk first", "odd", "no list", "data inside", "after", "odd data", "near a megabyte", "wrong size", "more"],
)
def test_other_chunks_are_stepped_over(content: bytes) -> None:
    assert read(content, "ulaw") == read(content) == ("wav", "pcm_mulaw", 8000, 1, 1000, "ok")


@pytest.mark.parametrize(
    ("size", "there", "duration", "state"),
    [
        (12_000, 12_000, 1500, "ok"),
        (12_000, 12_400, 1500, "ok"),
        (12_000, 8000, 1000, "truncated"),
        (1 << 33, 8000, 1000, "truncated"),
        ((1 << 64) - 1, 8000, 1000, "truncated"),
        (0, 8000, 1000, "ok"),
        (0, 0, 0, "empty"),
    ],
)
def test_the_size_of_an_rf64_stands_in_its_ds64(size: int, there: int, duration: int, state: str) -> None:
    content = wave(ds64(size), MULAW, data(there, UNKNOWN), kind=b"RF64", promised=UNKNOWN)
    assert read(content) == ("wav", "pcm_mulaw", 8000, 1, duration, state)


@pytest.mark.parametrize(
    ("left", "duration", "state"),
    [
        (16_044, 1000, "ok"),
        (16_043, 1000, "truncated"),
        (8_044, 500, "truncated"),
        (44, 0, "truncated"),
        (35, None, "truncated"),
        (12, None, "truncated"),
        (11, None, "undecodable"),
        (1, None, "undecodable"),
        (0, None, "empty"),
    ],
)
def test_a_wave_that_was_cut_is_as_long_as_what_is_left(left: int, duration: int | None, state: str) -> None:
    header = read(PLAIN[:left])
    assert (header.duration_ms, header.state) == (duration, state)


@pytest.mark.parametrize(
    "content",
    [
        wave(form(PCM, 8000, 12, block=2), data(8000)),
        wave(form(PCM, 8000, 16, 0, block=2), data(8000)),
        wave(form(PCM, 4_000_000_000, 16, byte_rate=0), data(8000)),
        wave(form(EXTENSIBLE, 8000, 16), data(8000)),
        wave(form(EXTENSIBLE, 8000, 16, more=extensible(EXTENSIBLE, 16)), data(8000)),
        wave(chunk(b"fmt ", b"\x07\0\x01\0\x40\x1f\0\0"), data(8000)),
        wave(data(8000), MULAW),
    ],
    ids=["12 bit", "no channel", "absurd rate", "no subformat", "in itself", "short format", "format last"],
)
def test_a_wave_whose_format_nobody_knows_is_undecodable(content: bytes) -> None:
    assert read(content) == ("wav", None, None, None, None, "undecodable")


def test_gsm_without_a_container_is_known_by_every_frame() -> None:
    frames = (b"\xd3" + b"\x21" * 32) * 50
    assert read(frames, "wav") == ("gsm", "gsm", 8000, 1, 1000, "ok")
    assert read(frames[:-1]) == UNDECODABLE
    assert read(frames[:-33] + b"\x33" + frames[-32:]) == UNDECODABLE


@pytest.mark.parametrize(
    ("extension", "codec", "rate", "duration"),
    [
        ("al", "pcm_alaw", 8000, 2000), ("sln", "pcm_s16le", 8000, 1000), ("sln16", "pcm_s16le", 16_000, 500),
        ("g722", "adpcm_g722", 16_000, 2000), ("g729", "g729", 8000, 16_000),
    ],
)  # fmt: skip
def test_sound_without_any_header_is_what_its_extension_says(
    extension: str, codec: str, rate: int, duration: int
) -> None:
    assert read(b"\x7f" * 16_000, extension) == ("raw", codec, rate, 1, duration, "ok")
    assert read(b"\x7f" * 16_000) == UNDECODABLE
    assert read(b"", extension) == EMPTY


def silence() -> bytes:
    """A second of MP3."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as output:
        stream = output.add_stream("libmp3lame", rate=8000, layout="mono")
        sound = av.AudioFrame(format=stream.format.name, layout="mono", samples=8000)
        sound.sample_rate = 8000
        for plane in sound.planes:
            plane.update(b"\0" * plane.buffer_size)
        output.mux([*stream.encode(sound), *stream.encode(None)])
    return buffer.getvalue()


@contextmanager
def listening(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that has this one file, with its address and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/good.mp3", asked
        server.shutdown()
        thread.join()


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"


@pytest.mark.parametrize("playlist", [HLS, CONCAT], ids=["hls", "concat"])
@pytest.mark.parametrize("extension", ["", "wav", "m3u8", "mp3"])
def test_a_playlist_is_no_recording_and_what_it_names_stays_shut(
    playlist: str, extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = silence()
    assert read(good).state == "ok"
    (tmp_path / "good.mp3").write_bytes(good)
    monkeypatch.chdir(tmp_path)
    with listening(good) as (url, asked):
        for target in ("good.mp3", f"{tmp_path}/good.mp3", f"file:{tmp_path}/good.mp3", url):
            assert read(playlist.format(target).encode(), extension) == UNDECODABLE, target
        assert asked == []


def fits(header: AudioHeader) -> bool:
    """Whether every column of DISK_FILES can hold what was told."""
    return (
        header.state in ("ok", "empty", "truncated", "undecodable")
        and (header.sample_rate is None or 0 < header.sample_rate < 1 << 31)
        and (header.channels is None or 0 <= header.channels < 1 << 31)
        and (header.duration_ms is None or 0 <= header.duration_ms < 1 << 63)
    )


@settings(max_examples=100)
@given(
    st.binary(min_size=14, max_size=60), st.integers(0, UNKNOWN), st.integers(0, UNKNOWN), st.integers(0, (1 << 64) - 1)
)
@example(b"\x45\0\x01\0\x01\0\0\0\0\0\0\0\0\0\x10\0", UNKNOWN, 1, (1 << 64) - 1)
def test_whatever_a_format_and_its_sizes_say_the_answer_fits(fmt: bytes, samples: int, promised: int, big: int) -> None:
    for kind in (b"RIFF", b"RF64"):
        header = read(wave(ds64(big), chunk(b"fmt ", fmt), fact(samples), data(333, promised), kind=kind))
        assert fits(header), header


WHOLE = [*ENCODINGS, wave(ds64(8000), MULAW, data(8000, UNKNOWN), kind=b"RF64")]


@settings(max_examples=100)
@given(st.sampled_from(WHOLE), st.data())
def test_a_wave_cut_anywhere_is_never_longer_and_never_said_to_be_whole(content: bytes, choice: st.DataObject) -> None:
    # A byte that only pads a chunk of odd length is no part of the sound.
    sound = len(content.removesuffix(b"\0"))
    left = choice.draw(st.one_of(st.integers(0, 100), st.integers(0, sound - 1)))
    header = read(content[:left])
    assert fits(header), header
    assert header.state != "ok"
    assert (header.duration_ms or 0) <= (read(content).duration_ms or 0)


@settings(max_examples=100)
@given(st.sampled_from(WHOLE), st.dictionaries(st.integers(0, 99), st.integers(1, 255), min_size=1, max_size=6))
def test_a_wave_with_broken_bytes_is_something_or_undecodable(content: bytes, flips: dict[int, int]) -> None:
    broken = bytearray(content)
    for place, mask in flips.items():
        broken[place] ^= mask
    header = read(bytes(broken))
    assert fits(header), header
