"""Speech to words, by an outside service."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from reflector.processors.audio import chunks
from reflector.processors.http import bearer, parse, request
from reflector.processors.types import Word
from reflector.settings import settings

CHUNK_SECONDS = 30.0


class _Answer(BaseModel):
    text: str
    words: list[Word]


_ANSWER = TypeAdapter(_Answer)


async def transcribe(
    audio: bytes, *, language: str, filename: str = "audio.wav", offset: float = 0.0
) -> list[Word]:
    """The words spoken in one audio file.

    Parameters: `audio` is the file's content, `language` a code such as "en", `filename` tells the service
    the format, `offset` (seconds) is added to all times, so that the words of a chunk get their place in the
    recording. Raises `ServiceUnavailable` or `ServiceRejected`.
    """
    response = await request(
        "transcription",
        "POST",
        f"{settings.TRANSCRIPT_URL}/v1/audio/transcriptions",
        files={"file": (filename, audio)},
        data={"language": language},
        headers=bearer(settings.TRANSCRIPT_API_KEY),
    )
    words = parse("transcription", response, _ANSWER).words
    return [
        word.model_copy(update={"start": word.start + offset, "end": word.end + offset}) for word in words
    ]


async def transcribe_file(
    path: Path | str, *, language: str, chunk_seconds: float = CHUNK_SECONDS
) -> list[Word]:
    """The words of a whole recording, asked for chunk by chunk in order, times from its start.

    Raises `AudioError` if the file cannot be decoded, and what `transcribe` raises.
    """
    words: list[Word] = []
    pieces = chunks(path, chunk_seconds)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        words += await transcribe(
            piece.wav, language=language, filename=f"chunk_{piece.index}.wav", offset=piece.start
        )
    return words
