"""What a recording is, by its header; by its extension only where the format has no header at all.

RIFF/WAVE is read here: it is the hot path, and a container library does not tell that a file ends too early.
Everything else is asked of FFmpeg, through PyAV, which may read these formats only: some of its others, playlists
above all, open further files.
"""

import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer

# wFormatTag of mmreg.h (RFC 2361), with FFmpeg's names of the codecs.
_CODECS = {
    0x0002: "adpcm_ms", 0x0006: "pcm_alaw", 0x0007: "pcm_mulaw", 0x0011: "adpcm_ima_wav", 0x0031: "gsm_ms",
    0x0045: "adpcm_g726", 0x0050: "mp2", 0x0055: "mp3", 0x0083: "g729", 0x0064: "adpcm_g726", 0x028F: "adpcm_g722",
}  # fmt: skip
_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_PCM_CODECS = {8: "pcm_u8", 16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_s32le"}
_FLOAT_CODECS = {32: "pcm_f32le", 64: "pcm_f64le"}
_BLOCK_CODECS = ("adpcm_ms", "adpcm_ima_wav")
# The bytes that WAVEFORMATEX, its count of samples a block, and WAVEFORMATEXTENSIBLE reach to.
_FORMAT_BYTES, _BLOCK_SAMPLES_BYTES, _EXTENSIBLE_BYTES = 16, 20, 26
_DS64_BYTES, _FACT_BYTES = 16, 4
_SMALLEST_WAVE = 44
# No chunk before the data that we read is longer, and no recording has more of them.
_LONGEST_CHUNK, _MOST_CHUNKS = 64, 1000
# MS-GSM packs two frames of 160 samples into 65 bytes.
_GSM_SAMPLES = 320
# A raw GSM 06.10 frame: 33 bytes that begin with the half byte 0xD, 20 ms.
_GSM_FRAME, _GSM_MAGIC, _GSM_FRAME_MS = 33, 0xD, 20
# A writer that streams does not know the length when it writes the header, and leaves one of these.
_IN_DS64 = 0xFFFFFFFF
_UNKNOWN_SIZES = (0, _IN_DS64)
_HIGHEST_RATE = 768_000
_LONGEST_MS = 10 * 365 * 86_400_000
# Asterisk's formats without a header (docs.asterisk.org, "Asterisk Audio and Video Capabilities"), by extension:
# codec, samples a second, bytes a second.
_RAW = {
    "ulaw": ("pcm_mulaw", 8000, 8000), "ul": ("pcm_mulaw", 8000, 8000), "mu": ("pcm_mulaw", 8000, 8000),
    "alaw": ("pcm_alaw", 8000, 8000), "al": ("pcm_alaw", 8000, 8000), "sln": ("pcm_s16le", 8000, 16000),
    "sln16": ("pcm_s16le", 16000, 32000), "g722": ("adpcm_g722", 16000, 8000), "g729": ("g729", 8000, 1000),
}  # fmt: skip
FORMATS = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wv"


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


def read_header(head: bytes, size: int, file: BinaryIO, extension: str = "") -> AudioHeader:
    """The header of a file of `size` bytes that begins with `head`; `file` is read only where its head says too little.

    Whatever the bytes are, this raises nothing: what cannot be understood is `undecodable`.
    """
    if size == 0:
        return EMPTY
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _read_wave(head, size, file)
    if size % _GSM_FRAME == 0 and all(byte >> 4 == _GSM_MAGIC for byte in head[::_GSM_FRAME]):
        return AudioHeader("gsm", "gsm", 8000, 1, size // _GSM_FRAME * _GSM_FRAME_MS, "ok")
    if extension in _RAW:
        codec, rate, byte_rate = _RAW[extension]
        return AudioHeader("raw", codec, rate, 1, size * 1000 // byte_rate, "ok")
    return _ask_ffmpeg(file)


def _read_wave(head: bytes, size: int, file: BinaryIO) -> AudioHeader:
    """Walk the chunks up to the data; what the header promises is held against what the file has."""
    place, form, samples, big = 12, None, None, None
    for _ in range(_MOST_CHUNKS):
        body = place + 8
        if body > size:
            break
        start = _bytes_at(head, file, place, 8 + _LONGEST_CHUNK)
        name, length, chunk = start[:4], int.from_bytes(start[4:8], "little"), start[8:]
        there = min(length, len(chunk))
        if name == b"ds64" and there >= _DS64_BYTES:
            big = struct.unpack_from("<Q", chunk, 8)[0]
        elif name == b"fmt " and there >= _FORMAT_BYTES:
            form = _read_format(chunk[:there])
        elif name == b"fact" and there >= _FACT_BYTES:
            samples = struct.unpack_from("<I", chunk)[0]
        elif name == b"data":
            return _with_data(form, samples, big if length == _IN_DS64 and big else length, size - body)
        place = body + length + length % 2
    if form is None:
        return AudioHeader("wav", None, None, None, None, "truncated" if size < _SMALLEST_WAVE else "undecodable")
    return AudioHeader("wav", form.codec, form.rate, form.channels, 0, "truncated" if place > size else "empty")


def _bytes_at(head: bytes, file: BinaryIO, place: int, length: int) -> bytes:
    """So many bytes of the file from there, or as many as it has; read only where the head does not reach."""
    if place + length <= len(head):
        return head[place : place + length]
    file.seek(place)
    return file.read(length)


class _Format(NamedTuple):
    codec: str | None
    channels: int
    rate: int
    byte_rate: int
    block: int
    bits: int
    block_samples: int


def _read_format(chunk: bytes) -> _Format | None:
    """The chunk's fields; None where no recording can have them."""
    tag, channels, rate, byte_rate, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if not channels or not 0 < rate <= _HIGHEST_RATE:
        return None
    if tag == _EXTENSIBLE and len(chunk) >= _EXTENSIBLE_BYTES:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    codecs = {_PCM: _PCM_CODECS, _FLOAT: _FLOAT_CODECS}.get(tag)
    codec = codecs.get(bits) if codecs else _CODECS.get(tag)
    block_samples = 0
    if codec == "gsm_ms":
        block_samples = _GSM_SAMPLES
    elif codec in _BLOCK_CODECS and len(chunk) >= _BLOCK_SAMPLES_BYTES:
        block_samples = struct.unpack_from("<H", chunk, 18)[0]
    return _Format(codec, channels, rate, byte_rate, block, bits, block_samples)


def _with_data(form: _Format | None, samples: int | None, promised: int, there: int) -> AudioHeader:
    if form is None or form.codec is None:
        return AudioHeader("wav", None, None, None, None, "undecodable")
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


def _ask_ffmpeg(file: BinaryIO) -> AudioHeader:
    """What FFmpeg makes of the container; it decodes nothing."""
    import av  # noqa: PLC0415  # 0.2 s that a site with WAVE files only never needs

    try:
        file.seek(0)
        with av.open(file, "r", metadata_errors="ignore", options={"format_whitelist": FORMATS}) as container:
            stream = next(iter(container.streams.audio), None)
            codec = stream.codec_context if stream else None
            if stream is None or codec is None or not 0 < codec.sample_rate <= _HIGHEST_RATE:
                return UNDECODABLE
            length = _ffmpeg_duration_ms(container, stream)
            if not codec.channels or not 0 <= length < _LONGEST_MS:
                return UNDECODABLE
            name = container.format.name.split(",")[0]
            return AudioHeader(
                name, codec.codec.canonical_name, codec.sample_rate, codec.channels, length, "ok" if length else "empty"
            )
    except (av.error.FFmpegError, OSError, ValueError, OverflowError, MemoryError):
        return UNDECODABLE


def _ffmpeg_duration_ms(container: "InputContainer", stream: "AudioStream") -> int:
    """The length that the stream or its container tells, or else that of its packets."""
    if stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base) * 1000)
    if container.duration:
        return round(container.duration / 1000)
    last = 0
    for packet in container.demux(stream):
        if packet.pts is not None:
            last = round(float((packet.pts + (packet.duration or 0)) * packet.time_base) * 1000)
    return last
