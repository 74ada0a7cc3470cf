"""Synthesised audio for the tests."""

import wave
from pathlib import Path

import numpy as np


def write_tone(path: Path, seconds: float = 2.0) -> Path:
    """Write a WAV file (mono, 16 kHz, 16 bit) with a tone that swells and fades, and return its path."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * 220 * time) * np.sin(np.pi * time / seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((tone * 20_000).astype("<i2").tobytes())
    return path
