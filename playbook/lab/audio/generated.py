"""Recordings that are made when they are needed: tones that take turns, and silence.

Nobody speaks in them, but the outside world transcribes sound, not speech. Equal calls make equal bytes.
"""

from __future__ import annotations

import io
import wave
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

PAUSE = 0.5  # seconds between two turns; longer than what the outside world takes for a breath
PITCHES = (180.0, 240.0)  # Hz; one for each of two voices
LOUDNESS = 0.4  # of full scale


def turns(*seconds: float, rate: int = 16_000, channels: int = 1) -> bytes:
    """Return a WAV file in which two voices take turns.

    Parameters:
        seconds: the length of each turn.
        rate: samples per second.
        channels: 1 or 2; all carry the same.
    """
    parts = [np.zeros(round(PAUSE * rate))]
    for length, pitch in zip(seconds, cycle(PITCHES), strict=False):
        times = np.arange(round(length * rate)) / rate
        parts += [LOUDNESS * np.sin(2 * np.pi * pitch * times), np.zeros(round(PAUSE * rate))]
    return _wav(np.concatenate(parts), rate, channels)


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """Return a WAV file in which nothing is heard.

    Parameters:
        seconds: its length.
        rate: samples per second.
    """
    return _wav(np.zeros(round(seconds * rate)), rate, 1)


def _wav(samples: NDArray[np.float64], rate: int, channels: int) -> bytes:
    """Samples from -1 to 1 as 16-bit WAV."""
    whole = np.repeat((samples * np.iinfo(np.int16).max).astype("<i2"), channels)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole.tobytes())
    return buffer.getvalue()
