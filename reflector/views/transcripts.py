"""Transcripts: create, read, delete."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel, ConfigDict, Field

from reflector import storage
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import (
    AudioLocation,
    SourceKind,
    Status,
    Transcript,
    TranscriptParticipant,
    TranscriptTopic,
)
from reflector.db.transcripts import transcripts_controller
from reflector.views.dependencies import SessionDep, TranscriptDep, UserId

router = APIRouter(prefix="/transcripts", tags=["transcripts"])


class CreateTranscript(BaseModel):
    """A new transcript, before there is any audio. Languages are codes such as "en"."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=200)
    source_language: str = Field("en", min_length=2, max_length=8)
    target_language: str = Field("en", min_length=2, max_length=8)
    room_id: str | None = None


class TranscriptOut(BaseModel):
    """A transcript as clients see it. `duration` is in milliseconds."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    user_id: str | None
    status: Status
    created_at: datetime
    source_kind: SourceKind
    source_language: str
    target_language: str
    duration: float
    title: str | None
    short_summary: str | None
    long_summary: str | None
    audio_location: AudioLocation
    audio_deleted: bool
    zulip_message_id: int | None
    room_id: str | None
    meeting_id: str | None
    recording_id: str | None


class TopicOut(BaseModel):
    """A topic with its words. Times are in seconds."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str
    summary: str
    timestamp: float
    duration: float
    transcript: str
    words: list[dict[str, Any]]


class ParticipantOut(BaseModel):
    """A speaker's number and name."""

    model_config = ConfigDict(from_attributes=True)

    speaker: int
    name: str


class StatusOut(BaseModel):
    """Where the transcript stands."""

    status: Status


class Done(BaseModel):
    """The answer of endpoints that only do something."""

    status: str = "ok"


@router.get("", response_model=list[TranscriptOut])
async def list_transcripts(session: SessionDep, user_id: UserId = None) -> Sequence[Transcript]:
    """The user's transcripts, latest first."""
    return await transcripts_controller.get_all(session, user_id)


@router.post("", response_model=TranscriptOut)
async def create_transcript(
    body: CreateTranscript, session: SessionDep, user_id: UserId = None
) -> Transcript:
    """Create a transcript that waits for its audio."""
    if body.room_id is not None and await rooms_controller.get_by_id(session, body.room_id) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no room {body.room_id}")
    transcript = await transcripts_controller.add(session, user_id=user_id, **body.model_dump())
    await session.commit()
    return transcript


@router.get("/{transcript_id}", response_model=TranscriptOut)
async def get_transcript(transcript: TranscriptDep) -> Transcript:
    """One transcript."""
    return transcript


@router.delete("/{transcript_id}", response_model=Done)
async def delete_transcript(transcript: TranscriptDep, session: SessionDep) -> Done:
    """Delete a transcript with its audio. A running task finds nothing more to work on."""
    await storage.delete_transcript_audio(transcript)
    await transcripts_controller.remove(session, transcript)
    await session.commit()
    return Done()


@router.get("/{transcript_id}/topics", response_model=list[TopicOut])
async def get_topics(transcript: TranscriptDep, session: SessionDep) -> Sequence[TranscriptTopic]:
    """The topics in the order of the audio."""
    return await transcripts_controller.get_topics(session, transcript.id)


@router.get("/{transcript_id}/participants", response_model=list[ParticipantOut])
async def get_participants(transcript: TranscriptDep, session: SessionDep) -> Sequence[TranscriptParticipant]:
    """Who speaks."""
    return await transcripts_controller.get_participants(session, transcript.id)


@router.get("/{transcript_id}/status", response_model=StatusOut)
async def get_status(transcript: TranscriptDep) -> StatusOut:
    """The status alone, for clients that poll."""
    return StatusOut(status=transcript.status)
