"""Copies of recordings in a form that somebody else asks for. What is kept is never touched."""

from pathlib import Path
from typing import Any

import av

from blocks.errors import PermanentError
from blocks.hearing import to_wav

RATE = 8000
# Container and codec of each form, by FFmpeg's names.
FORMS = {
    "wav": ("wav", "pcm_s16le"),
    "wav-alaw": ("wav", "pcm_alaw"),
    "wav-mulaw": ("wav", "pcm_mulaw"),
    "mp3": ("mp3", "libmp3lame"),
}


def transcode(source: Path, extension: str, target: Path, form: str) -> None:
    """Write the recording's sound to `target` in another form, at 8 kHz; the same recording gives the same bytes.

    `extension` is that of the recording's own name: it tells the formats that have no header.

    Raises:
        PermanentError: nothing in it can be decoded.
    """
    plain = target.with_name(f".{target.name}.plain")
    try:
        to_wav(source, extension, plain)
        _encode(plain, target, *FORMS[form])
    except PermanentError as error:
        raise PermanentError(
            operation="transcode a recording", subject=f"to {form}", cause=error.cause,
            remedy="let the pack take the recordings as they are (`format: original`), or leave this one out",
        ) from None  # fmt: skip
    finally:
        plain.unlink(missing_ok=True)


def _encode(plain: Path, target: Path, container: str, codec: str) -> None:
    with av.open(str(plain)) as source, av.open(str(target), "w", format=container) as file:
        sound = source.streams.audio[0]
        layout = "stereo" if sound.codec_context.channels > 1 else "mono"
        stream: Any = file.add_stream(codec, rate=RATE, layout=layout)
        # Without it, the version of FFmpeg stands in the file.
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=RATE)
        for frame in [*source.decode(sound), None]:
            for piece in resampler.resample(frame):
                file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
