"""GSM 06.10 in WAV, as many PBXs keep it, written without an encoder, which FFmpeg has none of.

A GSM frame does not hold sound but the settings of a synthesiser (tract, pitch, loudness, excitation), and
every setting is a valid frame. So the settings are written down: the loudness of a given sound, the tract of
some vowel. Layout: ETSI EN 300 961 (GSM 06.10) table 1.1; two frames in 65 bytes, lowest bit first, as in
Microsoft's format 0x0031.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_FORMAT, _BLOCK_BYTES, _BLOCK_SAMPLES, _FRAMES_A_BLOCK = 0x0031, 65, 320, 2
_FRAME_SAMPLES, _SUBFRAMES, _SUBFRAME_SAMPLES = 160, 4, 40
# Bits of the eight log area ratios; then, of each subframe, pitch lag, pitch gain, grid, loudness, 13 pulses.
_TRACT_BITS = (6, 6, 5, 5, 4, 4, 3, 3)
_SUBFRAME_BITS = (7, 2, 2, 6, *(3,) * 13)
_BITS = _TRACT_BITS + _SUBFRAME_BITS * _SUBFRAMES
# The log area ratios of some open and closed vowels.
_TRACTS = np.array([(44, 24, 22, 18, 9, 8, 4, 4), (50, 30, 12, 20, 6, 9, 3, 4), (40, 20, 24, 12, 10, 6, 4, 3)])
_FRAMES_A_SYLLABLE, _PITCH_GAIN = 9, 1
# The excitation is this much quieter than the voice that the tract makes of it.
_TRACT_GAIN = 1.5
_LINEAR_UP_TO = 512


def gsm_wav(sound: NDArray[np.int16], die: np.random.Generator) -> bytes:
    """A WAV file as long and as loud, moment by moment, as the sound (8 kHz, mono)."""
    blocks = -(-len(sound) // _BLOCK_SAMPLES)
    frames = blocks * _FRAMES_A_BLOCK
    padded = np.zeros(blocks * _BLOCK_SAMPLES, np.float64)
    padded[: len(sound)] = sound
    settings = np.hstack([_tracts(frames, die), _excitation(padded, die)])
    bits = np.hstack([settings[:, [place]] >> np.arange(width) & 1 for place, width in enumerate(_BITS)])
    packed = np.packbits(bits.reshape(blocks, -1).astype(np.uint8), axis=1, bitorder="little")
    return _wav(packed.tobytes(), frames * _FRAME_SAMPLES)


def _tracts(frames: int, die: np.random.Generator) -> NDArray[np.int64]:
    syllables = die.integers(0, len(_TRACTS), -(-frames // _FRAMES_A_SYLLABLE))
    return _TRACTS[np.repeat(syllables, _FRAMES_A_SYLLABLE)[:frames]]


def _excitation(padded: NDArray[np.float64], die: np.random.Generator) -> NDArray[np.int64]:
    """The settings of each frame's four subframes, side by side."""
    pieces = padded.reshape(-1, _SUBFRAME_SAMPLES)
    peak = np.sqrt((pieces**2).mean(axis=1)) / _TRACT_GAIN
    settings = np.zeros((len(pieces), len(_SUBFRAME_BITS)), np.int64)
    settings[:, 0] = die.integers(45, 90)
    settings[:, 1] = _PITCH_GAIN
    settings[:, 2] = die.integers(0, 4, len(pieces))
    settings[:, 3] = _loudness(peak)
    settings[:, 4:] = die.integers(0, 8, (len(pieces), len(_SUBFRAME_BITS) - 4))
    return settings.reshape(-1, _SUBFRAMES * len(_SUBFRAME_BITS))


def _loudness(peak: NDArray[np.float64]) -> NDArray[np.int64]:
    """The 6-bit setting: linear up to 511, then eight steps an octave."""
    octaves = 15 + 8 * np.log2(np.maximum(peak, 1) / _LINEAR_UP_TO)
    return np.clip(np.where(peak < _LINEAR_UP_TO, peak / 32, octaves), 0, 63).astype(np.int64)


def _wav(data: bytes, samples: int) -> bytes:
    byte_rate = 8000 * _BLOCK_BYTES // _BLOCK_SAMPLES
    form = struct.pack("<HHIIHHHH", _FORMAT, 1, 8000, byte_rate, _BLOCK_BYTES, 0, 2, _BLOCK_SAMPLES)
    chunks = _chunk(b"fmt ", form) + _chunk(b"fact", struct.pack("<I", samples)) + _chunk(b"data", data)
    return _chunk(b"RIFF", b"WAVE" + chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
