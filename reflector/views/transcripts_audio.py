"""The audio of transcripts: upload, processing, download."""

import asyncio
import json
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response, UploadFile, status
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel

from reflector import storage, uploads
from reflector.db import Session
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.pipelines.main_file_pipeline import task_pipeline_file_process
from reflector.pipelines.main_live_pipeline import pipeline_process
from reflector.processors import AudioError
from reflector.views.dependencies import SessionDep, TranscriptDep
from reflector.views.transcripts import Done
from reflector.worker.status import is_task_active

router = APIRouter(prefix="/transcripts", tags=["transcripts"])

# "file" works on the whole recording at once; "live" goes through it as if it were being recorded.
Mode = Literal["file", "live"]

MAX_CHUNKS = 100_000


class Waveform(BaseModel):
    """The loudness over time, values from 0 to 1."""

    data: list[float]


@router.post("/{transcript_id}/record/upload")
async def upload_chunk(
    transcript: TranscriptDep,
    session: SessionDep,
    chunk: UploadFile,
    chunk_number: Annotated[int, Query(ge=0)],
    total_chunks: Annotated[int, Query(ge=1, le=MAX_CHUNKS)],
    mode: Mode = "file",
) -> Done:
    """Take one chunk of the recording, in any order. The one that completes it starts the processing."""
    if chunk_number >= total_chunks:
        detail = f"chunk_number counts from 0, so {chunk_number} of {total_chunks} does not exist"
        raise HTTPException(status.HTTP_400_BAD_REQUEST, detail)
    if transcript.status not in ("idle", "error"):
        detail = f"Transcript is {transcript.status} and has its audio already"
        raise HTTPException(status.HTTP_409_CONFLICT, detail)
    try:
        complete = await asyncio.to_thread(
            uploads.store_chunk, transcript.data_path, chunk_number, total_chunks, chunk.filename, chunk.file
        )
    except AudioError as error:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, f"This is no audio: {error}") from error
    if complete:
        await transcripts_controller.update(session, transcript, {"source_kind": mode})
        await transcripts_controller.set_status(session, transcript, "uploaded")
        await _start(session, transcript, mode)
    return Done()


@router.post("/{transcript_id}/process")
async def process(transcript: TranscriptDep, session: SessionDep, mode: Mode = "file") -> Done:
    """Process the audio (again)."""
    if transcript.status in ("recording", "processing") or await is_task_active(transcript):
        detail = "Transcript is already queued or running; wait until its status is ended or error"
        raise HTTPException(status.HTTP_409_CONFLICT, detail)
    if not _has_audio(transcript):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "Transcript has no audio; upload it first")
    await _start(session, transcript, mode)
    return Done(status="started")


async def _start(session: Session, transcript: Transcript, mode: Mode) -> None:
    """Commit, so that the task sees what we see, then queue the task and remember its id."""
    await session.commit()
    if mode == "live":
        task_id = pipeline_process(transcript_id=transcript.id)
    else:
        task_id = task_pipeline_file_process.delay(transcript_id=transcript.id).id
    await transcripts_controller.update(session, transcript, {"task_id": task_id})
    await session.commit()


@router.get("/{transcript_id}/audio/mp3", response_model=None)
async def get_audio(transcript: TranscriptDep) -> Response:
    """The encoded audio, from here or by a redirect to the storage."""
    if not transcript.audio_deleted:
        if transcript.audio_mp3_path.exists():
            return FileResponse(transcript.audio_mp3_path, media_type="audio/mpeg")
        if transcript.audio_location == "storage":
            return RedirectResponse(await storage.presigned_url(transcript.storage_audio_path))
    raise HTTPException(status.HTTP_404_NOT_FOUND, "Transcript has no encoded audio")


@router.get("/{transcript_id}/audio/waveform")
async def get_waveform(transcript: TranscriptDep) -> Waveform:
    """The waveform for drawing."""
    try:
        text = await asyncio.to_thread(transcript.audio_waveform_path.read_text)
    except FileNotFoundError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Transcript has no waveform yet") from error
    return Waveform(data=json.loads(text))


def _has_audio(transcript: Transcript) -> bool:
    if transcript.audio_deleted:
        return False
    stored = transcript.audio_location == "storage"
    return stored or transcript.find_upload() is not None or transcript.audio_mp3_path.exists()
