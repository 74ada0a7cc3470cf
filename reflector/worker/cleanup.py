"""Removal of what anonymous users left behind."""

from datetime import timedelta

from celery import shared_task

from reflector import storage
from reflector.asynctask import asynctask
from reflector.db import get_session_context
from reflector.db.base import utcnow
from reflector.db.recordings import recordings_controller
from reflector.db.transcripts import transcripts_controller
from reflector.logger import logger
from reflector.settings import settings


class CleanupError(Exception):
    """Some transcripts could not be removed; the rest are gone."""


@shared_task(autoretry_for=(Exception,), retry_kwargs={"max_retries": 3, "countdown": 300})
@asynctask
async def cleanup_old_public_data_task(days: int | None = None) -> dict[str, int]:
    """Remove anonymous transcripts older than `days` (PUBLIC_DATA_RETENTION_DAYS by default), audio included.

    One that cannot be removed does not save the others. Returns {"transcripts_deleted",
    "recordings_deleted"}. Raises CleanupError if any could not be removed, which makes Celery try again.
    """
    cutoff = utcnow() - timedelta(days=settings.PUBLIC_DATA_RETENTION_DAYS if days is None else days)
    async with get_session_context() as session:
        old = await transcripts_controller.get_anonymous_before(session, cutoff)

    counts = {"transcripts_deleted": 0, "recordings_deleted": 0}
    failures = []
    for transcript in old:
        try:
            counts["recordings_deleted"] += await _remove(transcript.id)
            counts["transcripts_deleted"] += 1
        except Exception as error:
            logger.error("Could not remove a transcript", transcript_id=transcript.id, exc_info=True)
            failures.append(f"{transcript.id}: {error}")
    if failures:
        raise CleanupError(
            f"{len(failures)} of {len(old)} transcripts were not removed: {'; '.join(failures)}"
        )
    logger.info("Removed old public data", **counts)
    return counts


async def _remove(transcript_id: str) -> int:
    """Remove one transcript and the recording it came from. Return how many recordings went.

    The rows go only if the audio is gone: without them nobody would find it again.
    """
    async with get_session_context() as session:
        transcript = await transcripts_controller.get_by_id(session, transcript_id)
        if transcript is None:
            return 0
        await storage.delete_transcript_audio(transcript)
        recording = None
        if transcript.recording_id is not None:
            recording = await recordings_controller.get_by_id(session, transcript.recording_id)
        await transcripts_controller.remove(session, transcript)
        if recording is None:
            return 0
        await storage.delete(recording.bucket_name, recording.object_key)
        await recordings_controller.remove(session, recording)
        return 1
