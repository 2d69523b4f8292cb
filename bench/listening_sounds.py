"""Recordings that are played: of every encoding and some lengths, each published under the keys of many calls."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from blocks.store import ObjectStore, Publication
from voxkeep.sample_audio import ENCODINGS, recording

# Lengths in seconds, about those of calls that somebody answered.
LENGTHS = (20, 60, 180)
_CODECS = {
    "pcm": "pcm_s16le", "alaw": "pcm_alaw", "ulaw": "pcm_mulaw", "gsm": "gsm_ms", "adpcm": "adpcm_ima_wav",
    "mp3": "mp3",
}  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """What a recording holds."""

    encoding: str
    seconds: int
    content: bytes
    sha256: str

    @property
    def extension(self) -> str:
        """The extension of its file."""
        return "mp3" if self.encoding == "mp3" else "wav3"


@cache
def sounds() -> tuple[Sound, ...]:
    """Every encoding in every length."""
    made = [(encoding, seconds, recording(seconds, encoding, "bench")) for encoding in ENCODINGS for seconds in LENGTHS]
    return tuple(Sound(*one, hashlib.sha256(one[2]).hexdigest()) for one in made)


def columns() -> pl.DataFrame:
    """What documents tell of each sound, a row a sound."""
    rows = [
        {
            "extension_of_sound": sound.extension, "container": "mp3" if sound.encoding == "mp3" else "wav",
            "codec": _CODECS[sound.encoding], "duration_ms": sound.seconds * 1000, "size": len(sound.content),
            "sha256": sound.sha256,
        }
        for sound in sounds()
    ]  # fmt: skip
    return pl.DataFrame(rows)


def publish(store: ObjectStore, recordings: Iterable[dict[str, Any]], folder: Path) -> None:
    """Have the store hold these recordings of documents."""
    by_hash = {sound.sha256: sound for sound in sounds()}
    folder.mkdir(parents=True, exist_ok=True)
    for sound in by_hash.values():
        (folder / sound.sha256).write_bytes(sound.content)
    store.create()
    items = [
        Publication(one["key"], folder / one["sha256"], one["size"], one["sha256"], {"name": one["path"]})
        for one in recordings
    ]
    done = store.publish(items)
    assert not done.refused, done.refused[:3]
