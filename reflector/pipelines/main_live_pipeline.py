"""The pipeline of live recordings: topics while the recording runs, everything else when it has ended.

process -> waveform -> mp3 -> upload -> remove upload -> diarisation -> consent -+-> final summaries ->
Zulip \\-> title ---------------------------------------------------------------+
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from celery import chain, chord, group, shared_task
from celery.result import AsyncResult
from structlog.typing import FilteringBoundLogger

from reflector import processors, storage
from reflector.asynctask import asynctask
from reflector.db import Session
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.pipelines import results, steps
from reflector.processors import AudioChunk, Word
from reflector.worker.session_decorator import get_task_id, with_session_and_transcript

LIVE_CHUNK_SECONDS = 5.0


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_waveform(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Draw the recording."""
    await steps.make_waveform(session, transcript)
    logger.info("Waveform done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_title(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Find a title."""
    await steps.write_title(session, transcript)
    logger.info("Title done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_final_summaries(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Write both summaries. With them the transcript has ended."""
    await steps.write_summaries(session, transcript)
    await transcripts_controller.finish_processing(session, transcript, "ended")
    logger.info("Summaries done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_convert_to_mp3(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Encode the recording as mp3."""
    await steps.encode_mp3(session, transcript)
    logger.info("Conversion to mp3 done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_upload_mp3(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Move the mp3 to S3."""
    await steps.move_to_storage(session, transcript)
    logger.info("Upload of the mp3 done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_remove_upload(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Remove the recorded file, now that there is an mp3."""
    await steps.remove_upload(transcript)
    logger.info("Upload removed")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_diarization(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Find out who speaks when."""
    await steps.diarize_topics(session, transcript)
    logger.info("Diarisation done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_cleanup_consent(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Remove the audio if anybody in the meeting denied consent."""
    await steps.remove_audio_without_consent(session, transcript)
    logger.info("Consents looked at")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_post_to_zulip(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Tell the room's Zulip stream."""
    await steps.post_to_zulip(session, transcript)
    logger.info("Zulip done")


@shared_task
@asynctask
@with_session_and_transcript
async def task_pipeline_process(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Follow a recording chunk by chunk, with its text and topics as they come; then start the rest."""
    if not await transcripts_controller.start_processing(session, transcript, "recording", get_task_id()):
        logger.warning("Another task processes this transcript")
        return
    await transcripts_controller.remove_topics(session, transcript)
    await session.commit()

    open_words: list[Word] = []
    async with storage.transcript_audio(transcript) as audio:
        async for chunk in _live_chunks(audio):
            words = await processors.transcribe(
                chunk.wav, language=transcript.source_language, offset=chunk.start
            )
            # The last part may go on in the next chunk.
            *complete, open_words = processors.split_words(open_words + words) or [[]]
            await _save_progress(session, transcript, words, complete)
    await _save_progress(session, transcript, [], [open_words] if open_words else [])

    await transcripts_controller.set_status(session, transcript, "processing")
    await session.commit()
    pipeline_post(transcript_id=transcript.id)
    logger.info("Recording ended")


async def _live_chunks(audio: Path) -> AsyncIterator[AudioChunk]:
    """Yield the chunks of a recording, decoded in a thread."""
    chunks = processors.chunks(audio, LIVE_CHUNK_SECONDS)
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


async def _save_progress(
    session: Session, transcript: Transcript, words: list[Word], complete: list[list[Word]]
) -> None:
    """Store and announce new words and the topics of complete parts."""
    topics = [await processors.detect_topic(part) for part in complete]
    await results.save_text(session, transcript, words)
    for topic in topics:
        await results.save_topic(session, transcript, topic)
    await session.commit()


def pipeline_post(*, transcript_id: str) -> AsyncResult:
    """Start everything that follows a live recording, and return the result of the last task."""
    chain_mp3_and_diarize = chain(
        task_pipeline_waveform.si(transcript_id=transcript_id)
        | task_pipeline_convert_to_mp3.si(transcript_id=transcript_id)
        | task_pipeline_upload_mp3.si(transcript_id=transcript_id)
        | task_pipeline_remove_upload.si(transcript_id=transcript_id)
        | task_pipeline_diarization.si(transcript_id=transcript_id)
        | task_cleanup_consent.si(transcript_id=transcript_id)
    )
    chain_title_preview = task_pipeline_title.si(transcript_id=transcript_id)
    chain_final_summaries = task_pipeline_final_summaries.si(transcript_id=transcript_id)

    post = chord(
        group(chain_mp3_and_diarize, chain_title_preview), chain_final_summaries
    ) | task_pipeline_post_to_zulip.si(transcript_id=transcript_id)
    return post.delay()


def pipeline_process(transcript_id: str) -> str:
    """Start following a live recording, and return the task's id."""
    return task_pipeline_process.delay(transcript_id=transcript_id).id
