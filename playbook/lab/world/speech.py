"""Invented speech: words with times, and speakers, derived from nothing but the sound itself.

Everything here is a pure function of the audio: two systems that send the same bytes get the same answers.
"""

from __future__ import annotations

import hashlib
import io
from typing import TypedDict

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
FRAME_SECONDS = 0.02
SECONDS_PER_WORD = 0.35
SHORTEST_PAUSE = 0.3
QUIET = 0.1  # of the loudest frame

SENTENCES = (
    "Good morning, and thank you for joining the weekly planning call.",
    "The migration of the task queue is on track for the end of the month.",
    "We still have to decide who moves the scheduler and when.",
    "I would start with the small tasks and leave the pipelines for later.",
    "The last load test showed that the new workers keep up well.",
    "Please write down every step so that we can roll back quickly.",
    "Let us measure the queue depth before and after the change.",
    "The notification must never arrive before the summary is stored.",
    "I will prepare the report and send it around tomorrow.",
    "Are there any questions about the schedule for next week?",
    "Nothing may be lost when a worker is restarted in the middle.",
    "We agreed to review the results together on Friday.",
)


class Word(TypedDict):
    """One spoken word; times in seconds from the start of the audio."""

    text: str
    start: float
    end: float


class Turn(TypedDict):
    """One stretch of speech by one speaker; times in seconds from the start of the audio."""

    start: float
    end: float
    speaker: int


def decode(audio: bytes) -> NDArray[np.float32]:
    """Decode any audio that FFmpeg knows to mono samples at 16 kHz.

    Raises:
        ValueError: it is not audio.
    """
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    try:
        with av.open(io.BytesIO(audio), "r") as container:
            frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"not readable as audio: {error}") from None
    if not frames:
        raise ValueError("no audio in it")
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


def voiced_spans(samples: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Find the stretches with sound, in seconds; pauses shorter than 0.3 s do not count as pauses."""
    size = int(RATE * FRAME_SECONDS)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    if not len(frames):
        return []
    energy = np.sqrt(np.mean(np.square(frames), axis=1))
    loud = np.flatnonzero(energy > QUIET * energy.max())
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) * FRAME_SECONDS > SHORTEST_PAUSE)
    firsts = loud[np.concatenate([[0], breaks + 1])]
    lasts = loud[np.concatenate([breaks, [len(loud) - 1]])]
    return [
        (round(first * FRAME_SECONDS, 2), round((last + 1) * FRAME_SECONDS, 2))
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]


def transcribe(audio: bytes) -> list[Word]:
    """Lay invented sentences over the voiced part of the audio, about three words a second.

    Which sentences depends on the digest of the bytes.
    """
    place = hashlib.sha256(audio).digest()[0] % len(SENTENCES)
    texts = " ".join(SENTENCES[place:] + SENTENCES[:place]).split()
    words: list[Word] = []
    for start, end in voiced_spans(decode(audio)):
        count = max(1, round((end - start) / SECONDS_PER_WORD))
        length = (end - start) / count
        for number in range(count):
            begin = start + number * length
            words.append(
                Word(text=texts[len(words) % len(texts)], start=round(begin, 3), end=round(begin + length, 3))
            )
    return words


def diarize(audio: bytes) -> list[Turn]:
    """Let two speakers take turns: every pause hands over to the other one."""
    spans = voiced_spans(decode(audio))
    return [Turn(start=start, end=end, speaker=number % 2) for number, (start, end) in enumerate(spans)]
