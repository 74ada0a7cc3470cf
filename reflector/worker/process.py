"""Recordings that the meeting service leaves in S3, and the meetings they come from."""

import tempfile
from pathlib import Path, PurePosixPath

from celery import shared_task

from reflector import storage, whereby
from reflector.asynctask import asynctask
from reflector.db import Session, get_session_context
from reflector.db.base import utcnow
from reflector.db.meetings import Meeting, meetings_controller
from reflector.db.recordings import recordings_controller
from reflector.db.transcripts import transcripts_controller
from reflector.logger import logger
from reflector.pipelines.main_file_pipeline import task_pipeline_file_process
from reflector.processors import ProcessorError
from reflector.settings import settings
from reflector.worker.locks import single_run
from reflector.worker.recordings import add_transcript, created_objects, find_meeting, get_or_add_recording
from reflector.worker.session_decorator import with_session
from reflector.worker.status import is_task_active

SQS_MAX_WAIT_SECONDS = 20
RESTART_INTERVAL_SECONDS = 5


@shared_task
@asynctask
async def process_messages() -> int:
    """Wait for S3's messages about new recordings and start a task for each. Return how many were started.

    A message is deleted once its tasks are sent. One that cannot be read stays, for the queue's redrive
    policy.
    """
    queue_url = settings.AWS_PROCESS_RECORDING_QUEUE_URL
    if queue_url is None:
        logger.warning("No queue to poll: AWS_PROCESS_RECORDING_QUEUE_URL is not set")
        return 0
    started = 0
    async with storage.aws_client("sqs") as sqs:
        answer = await sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=min(settings.SQS_POLLING_TIMEOUT_SECONDS, SQS_MAX_WAIT_SECONDS),
        )
        for message in answer.get("Messages", []):
            try:
                created = created_objects(message["Body"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.error("Cannot read a message", message_id=message["MessageId"], error=repr(error))
                continue
            for bucket_name, object_key in created:
                process_recording.delay(bucket_name, object_key)
                started += 1
            await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return started


@shared_task
@asynctask
@with_session
async def process_recording(session: Session, bucket_name: str, object_key: str) -> None:
    """Fetch a recording, make a transcript of it and start its processing, once for each object.

    A missing object leaves a recording with the status `failed`. Sent again, it goes on where it stopped.
    """
    log = logger.bind(bucket_name=bucket_name, object_key=object_key)
    meeting = await find_meeting(session, object_key)
    recording = await get_or_add_recording(session, bucket_name, object_key, meeting)
    transcript = await transcripts_controller.get_by_recording_id(session, recording.id)
    if transcript is not None and (transcript.status != "uploaded" or transcript.task_id is not None):
        log.info("Recording is known already", recording_id=recording.id, transcript_id=transcript.id)
        return

    # It belongs to the session that added it, which may be another one.
    recording = await session.merge(recording)
    if transcript is None:
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder) / f"upload{PurePosixPath(object_key).suffix or '.bin'}"
            try:
                await storage.download(bucket_name, object_key, audio)
            except FileNotFoundError as error:
                log.error("Recording failed", error=str(error))
                await recordings_controller.set_status(session, recording, "failed", str(error))
                return
            transcript = await add_transcript(session, recording, meeting, audio)
        await recordings_controller.set_status(session, recording, "completed")
        await session.commit()

    result = task_pipeline_file_process.delay(transcript_id=transcript.id)
    await transcripts_controller.set_queued_task(session, transcript, result.id)
    log.info("Recording is being processed", recording_id=recording.id, transcript_id=transcript.id)


@shared_task
@asynctask
@with_session
async def reprocess_failed_recordings(session: Session) -> int:
    """Start again what stands in the recording bucket without a finished transcript. Return how many.

    Recordings that are queued or being processed are left alone.
    """
    bucket_name = settings.RECORDING_STORAGE_BUCKET
    if bucket_name is None:
        logger.warning("No recordings to look at: RECORDING_STORAGE_BUCKET is not set")
        return 0
    started = 0
    for object_key in await storage.list_keys(bucket_name):
        if object_key.endswith("/"):
            continue
        recording = await recordings_controller.get_by_object_key(session, bucket_name, object_key)
        transcript = recording and await transcripts_controller.get_by_recording_id(session, recording.id)
        if transcript is None:
            # One after the other, so that a night of failures does not swamp the services.
            countdown = started * RESTART_INTERVAL_SECONDS
            process_recording.apply_async(args=(bucket_name, object_key), countdown=countdown)
        elif transcript.status in ("uploaded", "error") and not await is_task_active(transcript):
            await transcripts_controller.set_status(session, transcript, "uploaded")
            await session.commit()
            result = task_pipeline_file_process.delay(transcript_id=transcript.id)
            await transcripts_controller.set_queued_task(session, transcript, result.id)
            await session.commit()
        else:
            continue
        logger.info("Recording is started again", bucket_name=bucket_name, object_key=object_key)
        started += 1
    return started


@shared_task
@asynctask
async def process_meetings() -> dict[str, int]:
    """Ask the meeting service about every active meeting and close those that are over.

    One that cannot be asked about does not hold up the others. Returns {"checked", "deactivated"}, both 0 if
    another run is in progress.
    """
    counts = {"checked": 0, "deactivated": 0}
    async with single_run("process_meetings") as alone:
        if not alone:
            return counts
        async with get_session_context() as session:
            active = await meetings_controller.get_all_active(session)
        for meeting in active:
            try:
                sessions = await whereby.get_room_sessions(meeting.room_name)
            except ProcessorError:
                logger.error("Cannot ask about a meeting", meeting_id=meeting.id, exc_info=True)
                continue
            counts["checked"] += 1
            counts["deactivated"] += await _update_meeting(meeting, sessions)
    return counts


async def _update_meeting(meeting: Meeting, sessions: list[whereby.RoomSession]) -> bool:
    """Store who is there; close the meeting if all have left or nobody came in time. Tell if it closed."""
    present = sum(session.ended_at is None for session in sessions)
    over = present == 0 and (bool(sessions) or meeting.end_date < utcnow())
    async with get_session_context() as session:
        current = await meetings_controller.get_by_id(session, meeting.id)
        if current is not None:
            await meetings_controller.update(
                session, current, {"num_clients": present, "is_active": not over}
            )
    if over:
        logger.info("Meeting is over", meeting_id=meeting.id)
    return over
