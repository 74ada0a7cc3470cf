"""The steps that both pipelines are made of. Each takes a session and a transcript, and may run again.

The slow part (encoding, services over HTTP) comes first and the writing last, because a transaction that has
written locks the transcript's row, in SQLite the whole database, until it ends.
"""

import asyncio

from reflector import processors, storage, zulip
from reflector.db import Session
from reflector.db.meetings import meeting_consent_controller
from reflector.db.recordings import recordings_controller
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.logger import logger
from reflector.pipelines import results
from reflector.processors import Topic, Word
from reflector.settings import settings


async def make_waveform(session: Session, transcript: Transcript) -> None:
    """Draw the audio. Raises AudioNotFoundError if there is none."""
    async with storage.transcript_audio(transcript) as audio:
        waveform = await asyncio.to_thread(processors.waveform, audio)
    await results.save_waveform(session, transcript, waveform)


async def encode_mp3(session: Session, transcript: Transcript) -> None:
    """Encode the upload as mp3. Without an upload there is nothing to do: it has been encoded before."""
    upload = transcript.find_upload()
    if upload is None:
        logger.warning("No upload to encode", transcript_id=transcript.id)
        return
    duration_ms = await asyncio.to_thread(processors.write_mp3, upload, transcript.audio_mp3_path)
    values = {"audio_location": "local", "audio_deleted": False}
    await transcripts_controller.update(session, transcript, values)
    await results.save_duration(session, transcript, duration_ms)


async def move_to_storage(session: Session, transcript: Transcript) -> None:
    """Move the mp3 to S3. The local copy goes once the new place is committed."""
    if settings.TRANSCRIPT_STORAGE_BUCKET is None or not transcript.audio_mp3_path.exists():
        logger.info("No mp3 to move, or no bucket to move it to", transcript_id=transcript.id)
        return
    await storage.upload(transcript.audio_mp3_path, transcript.storage_audio_path)
    await transcripts_controller.update(session, transcript, {"audio_location": "storage"})

    async def remove_local_copy() -> None:
        transcript.audio_mp3_path.unlink(missing_ok=True)

    session.after_commit(remove_local_copy)


async def remove_upload(transcript: Transcript) -> None:
    """Remove the uploaded file; the mp3 takes its place."""
    upload = transcript.find_upload()
    if upload is not None:
        upload.unlink(missing_ok=True)


async def diarize_topics(session: Session, transcript: Transcript) -> None:
    """Find out who speaks when, and note it in the words of the topics."""
    topics = await transcripts_controller.get_topics(session, transcript.id)
    if not settings.DIARIZATION_ENABLED or not topics:
        return
    async with storage.transcript_audio(transcript) as audio:
        segments = await processors.diarize(audio)
    for row in topics:
        words = processors.assign_speakers([Word.model_validate(word) for word in row.words], segments)
        topic = Topic(
            title=row.title, summary=row.summary, timestamp=row.timestamp, duration=row.duration, words=words
        )
        await results.save_topic(session, transcript, topic)
        await results.add_participants(session, transcript, words)


async def write_title(session: Session, transcript: Transcript) -> None:
    """Find a title for the topics. Silence has none."""
    topics = await transcripts_controller.get_topics(session, transcript.id)
    if topics:
        await results.save_title(session, transcript, await processors.write_title(topics))


async def write_summaries(session: Session, transcript: Transcript) -> None:
    """Sum up the topics. Silence has no summary."""
    topics = await transcripts_controller.get_topics(session, transcript.id)
    if topics:
        long = await processors.write_long_summary(topics)
        short = await processors.write_short_summary(topics)
        await results.save_summaries(session, transcript, long, short)


async def remove_audio_without_consent(session: Session, transcript: Transcript) -> None:
    """Remove all audio, the meeting's recording included, if anybody in the meeting denied consent."""
    if transcript.meeting_id is None:
        return
    if not await meeting_consent_controller.has_any_denial(session, transcript.meeting_id):
        return
    await storage.remove_audio(transcript)
    if transcript.recording_id is not None:
        recording = await recordings_controller.get_by_id(session, transcript.recording_id)
        if recording is not None:
            await storage.delete(recording.bucket_name, recording.object_key)
    await transcripts_controller.update(session, transcript, {"audio_deleted": True})
    logger.info("Audio removed, consent was denied", transcript_id=transcript.id)


async def post_to_zulip(session: Session, transcript: Transcript) -> None:
    """Post the summary to the room's Zulip stream, if the room wants it. A second run updates the message."""
    room = await rooms_controller.get_by_id(session, transcript.room_id)
    if room is None or not room.zulip_auto_post:
        return
    content = zulip.zulip_content(
        title=transcript.title,
        url=f"{settings.UI_BASE_URL}/transcripts/{transcript.id}",
        short_summary=transcript.short_summary,
        topics=await transcripts_controller.get_topics(session, transcript.id),
        duration_ms=transcript.duration,
    )
    if transcript.zulip_message_id is not None:
        await zulip.update_zulip_message(transcript.zulip_message_id, content)
        return
    message_id = await zulip.send_message_to_zulip(room.zulip_stream, room.zulip_topic, content)
    await transcripts_controller.update(session, transcript, {"zulip_message_id": message_id})
