"""Who spoke when: the outside service, and how its answer meets the words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from reflector.processors.errors import AudioError
from reflector.processors.http import bearer, parse, request
from reflector.processors.types import SpeakerSegment, Word
from reflector.settings import settings


class _Answer(BaseModel):
    diarization: list[SpeakerSegment]


_ANSWER = TypeAdapter(_Answer)


async def diarize(path: Path | str) -> list[SpeakerSegment]:
    """The stretches of the recording with the speaker of each, as the service gives them.

    Raises `AudioError` if the file cannot be read, `ServiceUnavailable` or `ServiceRejected`.
    """
    path = Path(path)
    try:
        audio = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise AudioError(f"{path.name}: cannot be read ({error.strerror})") from error
    response = await request(
        "diarization",
        "POST",
        f"{settings.DIARIZATION_URL}/diarize",
        files={"file": (path.name, audio)},
        headers=bearer(settings.DIARIZATION_API_KEY),
    )
    return parse("diarization", response, _ANSWER).diarization


def assign_speakers(words: Sequence[Word], segments: Sequence[SpeakerSegment]) -> list[Word]:
    """New words with the speaker of the segment that each overlaps most.

    A word that falls into a gap goes to the nearest segment; of equals the first wins. Without segments the
    words keep their speaker.
    """
    if not segments:
        return list(words)
    return [word.model_copy(update={"speaker": _closest(word, segments).speaker}) for word in words]


def _closest(word: Word, segments: Sequence[SpeakerSegment]) -> SpeakerSegment:
    # The overlap of two stretches is negative when they do not touch, and then its size is the gap between
    # them: the largest value is the best match in both cases.
    return max(segments, key=lambda segment: min(word.end, segment.end) - max(word.start, segment.start))
