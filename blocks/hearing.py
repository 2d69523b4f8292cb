"""A recording as a browser can play it: WAV with 16-bit samples, at the recording's own rate. For hearing only.

Everything takes this one way, also what some browsers could play as it is: so what is heard, what the waveform shows
and how far one can seek are the same for every format and every browser. The original is never touched.
"""

import os
import signal
import struct
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from blocks.audio import FORMATS, AudioHeader, read_header
from blocks.errors import PermanentError

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

_HEAD = 64 * 1024
# Formats without a header, by the codec that blocks.audio tells, as FFmpeg calls them.
_RAW_FORMATS = {
    "pcm_mulaw": "mulaw", "pcm_alaw": "alaw", "pcm_s16le": "s16le", "adpcm_g722": "g722", "g729": "g729",
}  # fmt: skip
_TAKE_RATE = ("mulaw", "alaw", "s16le")
# Samples in WAV need no probing, which decodes much of them in vain, and come in packets of 64 KiB instead of 4.
_PLAIN_OPTIONS = {"probesize": "2048", "max_size": "65536"}
_SAMPLE_BYTES = 2
_STEREO = 2
# Packets in a row that cannot be decoded, after which nothing good comes any more.
_MOST_BAD = 200
_FULL_SCALE = 32768
Made = TypeVar("Made")


def load_decoders() -> None:
    """Load FFmpeg now, so that the first recording does not wait for it."""
    import av.audio.resampler  # noqa: PLC0415  # 0.2 s that only hearing needs
    import av.error  # noqa: F401, PLC0415


def make_ready(source: Path, extension: str, target: Path, buckets: int) -> tuple[float, list[list[int]]]:
    """Write the recording to `target` as `to_wav`; how many seconds it plays, and its `levels`.

    Raises:
        PermanentError: there is nothing to hear in it.
    """
    to_wav(source, extension, target)
    return duration_seconds(target), levels(target, buckets)


def decoders(count: int = os.cpu_count() or 1) -> ProcessPoolExecutor:
    """Processes for `make_ready`, one a processor where not told, started already.

    FFmpeg gives its frames one by one, and threads would wait for each other's interpreter at each of them. And what
    makes it crash ends a process that nobody misses.
    """
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)
    for _ in range(count):
        pool.submit(load_decoders)
    return pool


def in_time(seconds: int, make: Callable[..., Made], *arguments: object) -> Made:
    """What `make` makes of the arguments; it ends the process, one of `decoders`, where that takes longer."""
    signal.alarm(seconds)
    try:
        return make(*arguments)
    finally:
        signal.alarm(0)


def _begin() -> None:
    """End with the process that asks, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: BaseProcess | None) -> None:
    if parent:
        parent.join()
        os._exit(0)


def to_wav(source: Path, extension: str, target: Path) -> None:
    """Write the recording to `target` as WAV, 16 bit, one or two channels; what is damaged is left out.

    Raises:
        PermanentError: there is nothing to hear in it.
    """
    header = _header(source, extension)
    try:
        written = _write(source, header, target)
    except _errors() as error:
        # FFmpeg's text names the file, and the file's name may hold a number.
        raise _silent(getattr(error, "strerror", None) or str(error)) from None
    if not written:
        raise _silent("no sample of it can be decoded")


def plays(source: Path, extension: str) -> float:
    """How many seconds of the recording can be decoded, to its end; nothing is written.

    Raises:
        PermanentError: there is nothing to hear in it.
    """
    try:
        with _opened(source, _header(source, extension)) as container:
            rate = container.streams.audio[0].codec_context.sample_rate
            seconds = sum(frame.samples for frame in _frames(container)) / rate
    except _errors() as error:
        raise _silent(getattr(error, "strerror", None) or str(error)) from None
    if not seconds:
        raise _silent("no sample of it can be decoded")
    return seconds


def levels(wav: Path, buckets: int) -> list[list[int]]:
    """The loudest sample of each of so many equal parts, 0 to 100, one list a channel."""
    with wave.open(str(wav), "rb") as file:
        channels, frames = file.getnchannels(), file.getnframes()
    if not frames:
        return [[0]] * channels
    begins = wav.stat().st_size - frames * channels * _SAMPLE_BYTES
    samples = np.memmap(wav, np.int16, "r", begins, (frames, channels))
    edges = np.linspace(0, frames, min(buckets, frames) + 1).astype(np.int64)[:-1]
    highest, lowest = (extreme.reduceat(samples, edges).astype(np.int32) for extreme in (np.maximum, np.minimum))
    loudest = np.maximum(highest, -lowest)
    found: list[list[int]] = np.rint(100 * loudest.T / _FULL_SCALE).astype(np.int64).tolist()
    return found


def duration_seconds(wav: Path) -> float:
    """How long a WAV file that `to_wav` wrote plays."""
    with wave.open(str(wav), "rb") as file:
        return file.getnframes() / file.getframerate()


def _header(source: Path, extension: str) -> AudioHeader:
    with source.open("rb") as file:
        return read_header(file.read(_HEAD), source.stat().st_size, file, extension)


def _write(source: Path, header: AudioHeader, target: Path) -> int:
    """The samples written a channel."""
    from av.audio.resampler import AudioResampler  # noqa: PLC0415  # 0.2 s that only hearing needs

    written = 0
    with _opened(source, header) as container, wave.open(str(target), "wb") as out:
        stream = container.streams.audio[0]
        rate = stream.codec_context.sample_rate
        channels = min(stream.codec_context.channels, _STEREO)
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        to_pcm = AudioResampler(format="s16", layout="stereo" if channels == _STEREO else "mono", rate=rate)
        for frame in _frames(container):
            for plain in [frame] if _is_plain(frame, channels) else to_pcm.resample(frame):
                # A plane may be longer than its samples.
                out.writeframesraw(bytes(plain.planes[0])[: plain.samples * channels * _SAMPLE_BYTES])
                written += plain.samples
    return written


def _is_plain(frame: "AudioFrame", channels: int) -> bool:
    """Whether the frame holds just the samples that are wanted."""
    form = frame.format.name
    return frame.layout.nb_channels == channels and (form == "s16" or (form == "s16p" and channels == 1))


def _opened(source: Path, header: AudioHeader) -> "InputContainer":
    import av  # noqa: PLC0415  # likewise

    if header.container == "raw":
        name = _RAW_FORMATS[header.codec or ""]
        options = {"sample_rate": str(header.sample_rate)} if name in _TAKE_RATE else {}
        return av.open(str(source), format=name, options=options)
    if header.container == "wav" and (header.codec or "").startswith("pcm_"):
        return av.open(str(source), format="wav", metadata_errors="ignore", options=_PLAIN_OPTIONS)
    if header.container in ("gsm", "wav"):
        return av.open(str(source), format=header.container, metadata_errors="ignore")
    return av.open(str(source), metadata_errors="ignore", options={"format_whitelist": FORMATS})


def _frames(container: "InputContainer") -> Iterator["AudioFrame"]:
    """Every frame that can be decoded; a recording that was cut off has good ones before its end."""
    from av.error import EOFError as EndError  # noqa: PLC0415  # likewise
    from av.error import FFmpegError  # noqa: PLC0415

    bad = 0
    packets = container.demux(audio=0)
    while bad < _MOST_BAD:
        try:
            packet = next(packets)
            frames = packet.decode()
        except (StopIteration, EndError):
            return
        except FFmpegError:
            bad += 1
            continue
        bad = 0
        yield from frames


def _errors() -> tuple[type[Exception], ...]:
    from av.error import FFmpegError  # noqa: PLC0415  # likewise

    return FFmpegError, ValueError, KeyError, IndexError, wave.Error, struct.error


def _silent(cause: str) -> PermanentError:
    return PermanentError(
        operation="hear a recording",
        subject="its bytes",
        cause=cause,
        remedy="download the original: it is kept as it came, and perhaps another program knows the format",
    )
