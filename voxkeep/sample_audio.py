"""Recordings that sound and look like telephone calls: two voices that take turns, at 8 kHz.

Some seconds of each voice are synthesised once; a recording is cut from them by a seeded die, so that
hundreds take a second and no two are alike.
"""

import io
import struct
from functools import cache
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from voxkeep.sample_gsm import gsm_wav

RATE = 8000
ENCODINGS = ("alaw", "pcm", "ulaw", "gsm", "adpcm", "mp3")
# Encoding: container and codec as PyAV calls them, and the bit rate, which is written into the header.
_ENCODERS = {
    "pcm": ("wav", "pcm_s16le", 128_000),
    "alaw": ("wav", "pcm_alaw", 64_000),
    "ulaw": ("wav", "pcm_mulaw", 64_000),
    "adpcm": ("wav", "adpcm_ima_wav", 32_112),
    "mp3": ("mp3", "libmp3lame", 16_000),
}

# For LAME; the others do not know it.
_FAST = {"compression_level": "9"}

_POOL_SECONDS, _SYLLABLES_A_SECOND = 12, 5
# First three formants of some vowels, and the pitch of the two voices, in hertz.
_VOWELS = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])
_PITCHES = (118.0, 205.0)
_BANDWIDTH, _HIGHEST = 120.0, 3400.0
_PEAK, _HISS, _CONSONANT = 24000.0, 40.0, 0.08
_FADE = 160


def recording(seconds: float, encoding: str, key: str) -> bytes:
    """A playable file; the same key, length and encoding give the same bytes, two keys never do."""
    die = np.random.default_rng(list(key.encode()))
    sound = _conversation(round(seconds * RATE), die)
    return gsm_wav(sound, die) if encoding == "gsm" else _encode(sound, encoding)


def header_only() -> bytes:
    """A WAV file that was opened and never written to."""
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    return b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 0)


def noise(size: int, key: str) -> bytes:
    """Bytes that are no audio, as a disk gives after a power failure or an encrypting PBX writes."""
    # A first byte of 0 keeps a lenient reader from taking them for the start of an MPEG frame.
    return b"\0" + np.random.default_rng(list(key.encode())).bytes(size - 1)


def _encode(sound: NDArray[np.int16], encoding: str) -> bytes:
    container, codec, bit_rate = _ENCODERS[encoding]
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream = cast("av.AudioStream", file.add_stream(codec, rate=RATE, options=_FAST))
        stream.layout = "mono"
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return target.getvalue()


def _conversation(length: int, die: np.random.Generator) -> NDArray[np.int16]:
    """Turns of both voices with pauses between, over a hiss."""
    sound = die.standard_normal(length, dtype=np.float32) * _HISS
    place = int(die.uniform(0.1, 0.4) * RATE)
    speaker = int(die.integers(2))
    while length - place > 2 * _FADE:
        turn = min(int(die.uniform(0.6, 2.4) * RATE), length - place)
        voice = _voice(speaker)
        start = int(die.integers(0, len(voice) - turn))
        sound[place : place + turn] += _faded(voice[start : start + turn]) * die.uniform(0.5, 1.0)
        place += turn + int(die.uniform(0.1, 0.5) * RATE)
        speaker = 1 - speaker
    samples: NDArray[np.int16] = np.clip(sound, -32768, 32767).astype(np.int16)
    return samples


def _faded(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    ramp = np.ones(len(piece), np.float32)
    ramp[:_FADE] = np.linspace(0, 1, _FADE)
    ramp[-_FADE:] = np.linspace(1, 0, _FADE)
    return piece * ramp


@cache
def _voice(speaker: int) -> NDArray[np.float32]:
    """Some seconds of one voice: vowels and consonants without meaning, with the melody of speech."""
    die = np.random.default_rng(speaker)
    syllables = _POOL_SECONDS * _SYLLABLES_A_SECOND
    length = RATE // _SYLLABLES_A_SECOND
    times = np.arange(_POOL_SECONDS * RATE) / RATE
    melody = 1 + 0.1 * np.sin(2 * np.pi * 0.4 * times) + np.repeat(die.uniform(-0.08, 0.08, syllables), length)
    pitch = _PITCHES[speaker] * melody
    formants = np.repeat(_VOWELS[die.integers(0, len(_VOWELS), syllables)], length, axis=0)
    vowels = _harmonics(pitch, formants)
    swell = np.tile(np.sin(np.pi * np.arange(length) / length) ** 0.7, syllables)
    stress = np.repeat(die.choice((0.0, 0.5, 0.8, 1.0), syllables), length)
    onset = np.tile(np.exp(-np.arange(length) / (0.02 * RATE)), syllables)
    consonants = die.standard_normal(len(times)) * onset * _CONSONANT
    sound: NDArray[np.float64] = (vowels / np.abs(vowels).max() * swell + consonants) * stress * _PEAK
    return sound.astype(np.float32)


def _harmonics(pitch: NDArray[np.float64], formants: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the pitch's overtones, each as strong as the formants near it let it be."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    total = np.zeros_like(pitch)
    for overtone in range(1, int(_HIGHEST / pitch.min())):
        frequency = (overtone * pitch)[:, np.newaxis]
        strength = (1 / (1 + ((frequency - formants) / _BANDWIDTH) ** 2)).sum(axis=1)
        total += np.sin(overtone * phase) * strength / np.sqrt(overtone)
    return total
