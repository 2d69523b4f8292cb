"""Copies of recordings in a form that somebody else asks for. What is kept is never touched."""

from io import BytesIO
from typing import Any

import av

from blocks.errors import PermanentError

RATE = 8000
# Container and codec of each form, by FFmpeg's names; and what the file's name ends with.
FORMS = {
    "wav": ("wav", "pcm_s16le"),
    "wav-alaw": ("wav", "pcm_alaw"),
    "wav-mulaw": ("wav", "pcm_mulaw"),
    "mp3": ("mp3", "libmp3lame"),
}
# How FFmpeg is told a form that has no header, by blocks.audio's names of its codec.
_HEADERLESS = {
    "pcm_mulaw": ("mulaw", 8000), "pcm_alaw": ("alaw", 8000), "pcm_s16le": ("s16le", None),
    "adpcm_g722": ("g722", 16000), "g729": ("g729", None),
}  # fmt: skip


def suffix(form: str) -> str:
    """What the name of a file of this form ends with."""
    return FORMS[form][0]


def transcoded(content: bytes, container: str | None, codec: str | None, rate: int | None, form: str) -> bytes:
    """The recording's sound in another form, at 8 kHz, with as many channels as it has (two at most).

    `container`, `codec` and `rate` are those of the inventory: they tell what has no header.

    Raises:
        PermanentError: its sound cannot be decoded.
    """
    wanted, encoder = FORMS[form]
    buffer = BytesIO()
    try:
        with _opened(content, container, codec, rate) as source, av.open(buffer, "w", format=wanted) as target:
            sound = source.streams.audio[0]
            layout = "stereo" if sound.codec_context.channels > 1 else "mono"
            # Lavf's version would make two equal copies differ.
            stream: Any = target.add_stream(encoder, rate=RATE, layout=layout)
            stream.codec_context.flags |= 1 << 23  # AV_CODEC_FLAG_BITEXACT
            resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=RATE)
            for frame in source.decode(sound):
                for piece in resampler.resample(frame):
                    target.mux(stream.encode(piece))
            for piece in resampler.resample(None):
                target.mux(stream.encode(piece))
            target.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise PermanentError(
            operation="transcode a recording", subject=f"{container or 'unknown'}/{codec or 'unknown'}",
            cause=f"its sound cannot be decoded: {error}",
            remedy="let the pack take the recordings as they are (`format: original`), or leave this one out",
        ) from None  # fmt: skip
    return buffer.getvalue()


def _opened(content: bytes, container: str | None, codec: str | None, rate: int | None) -> Any:  # noqa: ANN401  # PyAV's
    if container == "gsm":
        return av.open(BytesIO(content), format="gsm")
    if container == "raw" and codec in _HEADERLESS:
        name, known_rate = _HEADERLESS[codec]
        options = {"sample_rate": str(rate or known_rate or RATE)}
        return av.open(BytesIO(content), format=name, options=options)
    return av.open(BytesIO(content))
