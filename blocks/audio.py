"""What a recording is, by its header: never by its extension.

RIFF/WAVE is read here: it is the hot path, and a container library does not tell that a file ends too early.
Everything else is asked of PyAV.
"""

import struct
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

# wFormatTag of mmreg.h (RFC 2361), with FFmpeg's names of the codecs.
_CODECS = {
    0x0002: "adpcm_ms", 0x0006: "pcm_alaw", 0x0007: "pcm_mulaw", 0x0011: "adpcm_ima_wav", 0x0031: "gsm_ms",
    0x0045: "adpcm_g726", 0x0050: "mp2", 0x0055: "mp3", 0x0083: "g729", 0x0064: "adpcm_g726", 0x028F: "adpcm_g722",
}  # fmt: skip
_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_PCM_CODECS = {8: "pcm_u8", 16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_s32le"}
# MS-GSM packs two frames of 160 samples into 65 bytes.
_GSM_SAMPLES = 320
# A writer that streams does not know the length when it writes the header, and leaves one of these.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
HEAD_BYTES = 64 * 1024


class AudioHeader(NamedTuple):
    """Container, codec, samples a second, channels, length in ms, and state: ok, empty, truncated or undecodable."""

    container: str | None
    codec: str | None
    sample_rate: int | None
    channels: int | None
    duration_ms: int | None
    state: str


EMPTY = AudioHeader(None, None, None, None, None, "empty")
UNDECODABLE = AudioHeader(None, None, None, None, None, "undecodable")


def read_header(head: bytes, size: int, file: Path | bytes) -> AudioHeader:
    """The header of a file of `size` bytes that begins with `head`; the file is opened only where it is no WAVE."""
    if size == 0:
        return EMPTY
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _read_wave(head, size)
    if head[:33:33] and size % 33 == 0 and all(byte >> 4 == 0xD for byte in head[:size:33]):
        return AudioHeader("gsm", "gsm", 8000, 1, size // 33 * 20, "ok")
    return _ask_av(head if len(head) == size else None, file)


def _read_wave(head: bytes, size: int) -> AudioHeader:
    """Walk the chunks up to the data; what the header promises is held against what the file has."""
    place, form, samples, big = 12, None, None, None
    while place + 8 <= len(head):
        name, length = head[place : place + 4], struct.unpack_from("<I", head, place + 4)[0]
        body = place + 8
        if name == b"ds64" and length >= 24:
            big = struct.unpack_from("<Q", head, body + 8)[0]
        elif name == b"fmt " and length >= 16 and body + 16 <= len(head):
            form = _read_format(head[body : body + length])
        elif name == b"fact" and length >= 4:
            samples = struct.unpack_from("<I", head, body)[0]
        elif name == b"data":
            return _with_data(form, samples, big if length == 0xFFFFFFFF and big else length, size - body)
        place = body + length + length % 2
    if form is None:
        return AudioHeader("wav", None, None, None, None, "truncated" if size < 44 else "undecodable")
    return AudioHeader("wav", form.codec, form.rate, form.channels, 0, "truncated" if place > size else "empty")


class _Format(NamedTuple):
    codec: str | None
    channels: int
    rate: int
    byte_rate: int
    block: int
    bits: int
    block_samples: int


def _read_format(chunk: bytes) -> _Format:
    tag, channels, rate, byte_rate, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    codec = _CODECS.get(tag)
    if tag == _PCM:
        codec = _PCM_CODECS.get(bits)
    elif tag == _FLOAT:
        codec = "pcm_f64le" if bits == 64 else "pcm_f32le"
    block_samples = struct.unpack_from("<H", chunk, 18)[0] if tag in (0x0002, 0x0011) and len(chunk) >= 20 else 0
    if codec == "gsm_ms":
        block_samples = _GSM_SAMPLES
    return _Format(codec, channels, rate, byte_rate, block, bits, block_samples)


def _with_data(form: _Format | None, samples: int | None, promised: int, there: int) -> AudioHeader:
    if form is None or form.codec is None or not form.rate or not form.channels:
        return AudioHeader("wav", form.codec if form else None, None, None, None, "undecodable")
    size = there if promised in _UNKNOWN_SIZES else min(promised, there)
    duration = _duration_ms(form, samples if promised <= there else None, size)
    state = "ok"
    if promised not in _UNKNOWN_SIZES and promised > there:
        state = "truncated"
    elif size <= 0:
        state = "empty"
    return AudioHeader("wav", form.codec, form.rate, form.channels, duration, state)


def _duration_ms(form: _Format, samples: int | None, size: int) -> int:
    if form.block_samples and form.block:
        counted = size // form.block * form.block_samples
        return round((min(samples, counted) if samples else counted) * 1000 / form.rate)
    if form.codec and form.codec.startswith("pcm_"):
        width = form.block or form.channels * max(form.bits, 8) // 8
        return round(size / width * 1000 / form.rate)
    if samples:
        return round(samples * 1000 / form.rate)
    return round(size * 1000 / form.byte_rate) if form.byte_rate else 0


def _ask_av(content: bytes | None, file: Path | bytes) -> AudioHeader:
    """What FFmpeg makes of the container; it decodes nothing."""
    import os  # noqa: PLC0415

    import av  # noqa: PLC0415

    try:
        source = BytesIO(content) if content is not None else open(os.fsdecode(file), "rb")  # noqa: PTH123, SIM115
        with source, av.open(source, metadata_errors="ignore") as opened:
            stream = next(iter(opened.streams.audio), None)
            if stream is None or not stream.codec_context.sample_rate:
                return UNDECODABLE
            duration = _av_duration_ms(opened, stream)
            codec = stream.codec_context
            container = opened.format.name.split(",")[0]
            state = "ok" if duration else "empty"
            return AudioHeader(container, codec.name, codec.sample_rate, codec.channels, duration, state)
    except (av.error.FFmpegError, OSError, ValueError):
        return UNDECODABLE


def _av_duration_ms(opened: object, stream: object) -> int:
    if stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base) * 1000)
    if opened.duration:
        return round(opened.duration / 1000)
    last = 0
    for packet in opened.demux(stream):
        if packet.pts is not None:
            last = round(float((packet.pts + (packet.duration or 0)) * packet.time_base) * 1000)
    return last
