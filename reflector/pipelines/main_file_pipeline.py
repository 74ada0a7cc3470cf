"""The pipeline of uploaded files, and what follows when a file is done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from celery import chain, shared_task
from structlog.typing import FilteringBoundLogger

from reflector import processors, storage
from reflector.asynctask import asynctask
from reflector.db import Session, get_session_context
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.logger import logger
from reflector.pipelines import results, steps
from reflector.pipelines.main_live_pipeline import task_cleanup_consent, task_pipeline_post_to_zulip
from reflector.processors import Word
from reflector.settings import settings
from reflector.worker.session_decorator import (
    TranscriptNotFoundError,
    get_task_id,
    with_session,
    with_session_and_transcript,
)
from reflector.worker.webhook import send_transcript_webhook


class PipelineMainFile:
    """Turns an uploaded file into a transcript with topics, title and summaries.

    Each step has a transaction of its own, so that browsers see what is done while the rest goes on.

    Parameters: `task_id` names the task that runs it; the same task may start over after a crash, another may
    not.
    """

    def __init__(self, transcript_id: str, task_id: str | None = None) -> None:
        self.transcript_id = transcript_id
        self.task_id = task_id
        self.logger = logger.bind(transcript_id=transcript_id, task_id=task_id)

    async def process(self) -> bool:
        """Run all steps. Return False, having done nothing, if another task is at work on the transcript.

        An error gives the transcript the status `error` and is raised again.
        """
        async with self._transaction() as (session, transcript):
            if not await transcripts_controller.start_processing(session, transcript, task_id=self.task_id):
                self.logger.warning("Another task processes this transcript")
                return False
            await transcripts_controller.remove_topics(session, transcript)
        try:
            await self._prepare_audio()
            await self._find_topics(await self._find_words())
            await self._sum_up()
        except Exception:
            self.logger.error("Processing failed", exc_info=True)
            async with self._transaction() as (session, transcript):
                await transcripts_controller.finish_processing(session, transcript, "error")
            raise
        self.logger.info("Processing done")
        return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[tuple[Session, Transcript]]:
        async with get_session_context() as session:
            transcript = await transcripts_controller.get_by_id(session, self.transcript_id)
            if transcript is None:
                raise TranscriptNotFoundError(f"There is no transcript {self.transcript_id}")
            yield session, transcript

    async def _prepare_audio(self) -> None:
        for step in (steps.encode_mp3, steps.make_waveform, steps.move_to_storage):
            async with self._transaction() as (session, transcript):
                await step(session, transcript)

    async def _find_words(self) -> list[Word]:
        async with self._transaction() as (session, transcript):
            async with storage.transcript_audio(transcript) as audio:
                words = await processors.transcribe_file(audio, language=transcript.source_language)
                if settings.DIARIZATION_ENABLED:
                    words = processors.assign_speakers(words, await processors.diarize(audio))
            await results.save_text(session, transcript, words)
            await results.add_participants(session, transcript, words)
        return words

    async def _find_topics(self, words: list[Word]) -> None:
        async for topic in processors.detect_topics(words):
            async with self._transaction() as (session, transcript):
                await results.save_topic(session, transcript, topic)

    async def _sum_up(self) -> None:
        async with self._transaction() as (session, transcript):
            await steps.write_title(session, transcript)
        async with self._transaction() as (session, transcript):
            await steps.write_summaries(session, transcript)
            await transcripts_controller.finish_processing(session, transcript, "ended")


@shared_task
@asynctask
@with_session_and_transcript
async def task_send_webhook_if_needed(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> None:
    """Start the webhook of the transcript's room, if it has one."""
    room = await rooms_controller.get_by_id(session, transcript.room_id)
    if room is None or not room.webhook_url:
        logger.info("No webhook to send")
        return
    send_transcript_webhook.delay(transcript.id, room_id=room.id, event_id=uuid4().hex)


@shared_task
@asynctask
@with_session
async def task_pipeline_file_process(session: Session, *, transcript_id: str) -> None:
    """Process an uploaded file; then, one after the other, consents, Zulip and webhook."""
    transcript = await transcripts_controller.get_by_id(session, transcript_id)
    if transcript is None:
        raise TranscriptNotFoundError(f"There is no transcript {transcript_id}")
    # The pipeline has transactions of its own; this one must not stay open beside them.
    await session.commit()

    pipeline = PipelineMainFile(transcript_id=transcript_id, task_id=get_task_id())
    if not await pipeline.process():
        return

    post_chain = chain(
        task_cleanup_consent.si(transcript_id=transcript_id),
        task_pipeline_post_to_zulip.si(transcript_id=transcript_id),
        task_send_webhook_if_needed.si(transcript_id=transcript_id),
    )
    post_chain.delay()
