"""The values that processors exchange. Times are seconds from the start of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel


class Word(BaseModel):
    """One spoken word. `speaker` is 0 until the diarisation has assigned one."""

    text: str
    start: float
    end: float
    speaker: int = 0


class SpeakerSegment(BaseModel):
    """A stretch of the recording in which one speaker talks."""

    start: float
    end: float
    speaker: int


class Topic(BaseModel):
    """What a stretch of talk is about. `timestamp` is where it starts, `duration` how long it lasts."""

    title: str
    summary: str
    timestamp: float
    duration: float
    words: list[Word]

    @property
    def transcript(self) -> str:
        """The spoken text of this topic."""
        return join_words(self.words)


class TopicText(Protocol):
    """The part of a topic that titles and summaries are written from (a `Topic` or a database row)."""

    @property
    def title(self) -> str: ...

    @property
    def summary(self) -> str: ...


class AudioInfo(BaseModel):
    """What a container says about its first audio stream. `sample_rate` in Hz, `duration_ms` as decoded."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_ms: int


class AudioChunk(BaseModel):
    """A piece of a recording as a complete WAV file in memory (mono, 16 kHz, 16 bit)."""

    index: int
    start: float
    duration: float
    wav: bytes


def join_words(words: Sequence[Word]) -> str:
    """The text of `words`, single spaces between them."""
    return " ".join(word.text.strip() for word in words)
