"""Both pipelines, run by a real Celery worker over Redis."""

import asyncio
import shutil

import pytest
from celery import Celery

from reflector.db import Session
from reflector.db.base import utcnow
from reflector.db.meetings import meeting_consent_controller, meetings_controller
from reflector.db.recordings import recordings_controller
from reflector.db.rooms import Room, rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.pipelines import main_live_pipeline as live
from reflector.pipelines.main_file_pipeline import (
    PipelineMainFile,
    task_pipeline_file_process,
    task_send_webhook_if_needed,
)
from reflector.settings import settings
from reflector.storage import AudioNotFoundError
from reflector.worker.session_decorator import TranscriptNotFoundError
from reflector.worker.status import is_task_active
from tests.reflector.audio import write_tone
from tests.reflector.aws import Aws
from tests.reflector.environment import WORLD_URL
from tests.reflector.waiting import wait_for, wait_for_row
from tests.reflector.world import World

pytestmark = pytest.mark.usefixtures("database", "data_dir", "world", "aws", "celery_session_worker")


async def add_room(session: Session) -> Room:
    return await rooms_controller.add(
        session,
        "room",
        zulip_auto_post=True,
        zulip_stream="general",
        zulip_topic="talks",
        webhook_url=f"{WORLD_URL}/webhooks/room",
        webhook_secret="secret",
    )


async def add_transcript(session: Session, room: Room | None = None, **values: object) -> Transcript:
    """Add a transcript with an upload of two seconds."""
    transcript = await transcripts_controller.add(
        session, name="Talk", status="uploaded", room_id=room.id if room else None, **values
    )
    await session.commit()
    write_tone(transcript.data_path / "upload.wav")
    return transcript


async def events_of(session: Session, transcript: Transcript) -> list[str]:
    """The names of the events so far; of status events the new status."""
    events = await transcripts_controller.get_events(session, transcript.id)
    return [event.data["value"] if event.event == "STATUS" else event.event for event in events]


async def ended(transcript: Transcript) -> None:
    async def has_ended(session: Session) -> bool:
        row = await transcripts_controller.get_by_id(session, transcript.id)
        return row is not None and row.status == "ended"

    await wait_for_row(has_ended, "the end of the transcript")


async def test_a_file_becomes_a_transcript_and_everybody_is_told_in_order(
    db_session: Session, aws: Aws, world: World
) -> None:
    transcript = await add_transcript(db_session, await add_room(db_session))

    task_pipeline_file_process.delay(transcript_id=transcript.id).get(timeout=30)
    await asyncio.to_thread(wait_for, lambda: world.sent_to("webhooks"), "the webhook")

    await db_session.refresh(transcript)
    assert (transcript.status, transcript.title, transcript.task_id) == ("ended", "A title", None)
    assert (transcript.short_summary, transcript.long_summary) == ("Short.", "Long and detailed.")
    assert transcript.duration == pytest.approx(2000, abs=100)
    assert transcript.audio_location == "storage"
    assert aws.keys("transcripts") == [transcript.storage_audio_path]
    assert not transcript.audio_mp3_path.exists()
    assert await events_of(db_session, transcript) == [
        "processing",
        "DURATION",
        "WAVEFORM",
        "TRANSCRIPT",
        "TOPIC",
        "FINAL_TITLE",
        "FINAL_LONG_SUMMARY",
        "FINAL_SHORT_SUMMARY",
        "ended",
    ]
    assert {topic.title for topic in await transcripts_controller.get_topics(db_session, transcript.id)} == {
        "A topic"
    }
    people = await transcripts_controller.get_participants(db_session, transcript.id)
    assert [person.name for person in people] == ["Speaker 1", "Speaker 2"]

    assert transcript.zulip_message_id == 77
    assert [request.service for request in world.requests[-2:]] == ["zulip", "webhooks"]
    webhook = world.sent_to("webhooks")[0].body
    assert webhook["transcript"]["title"] == "A title"


async def test_a_second_run_replaces_topics_and_updates_the_message(
    db_session: Session, world: World
) -> None:
    transcript = await add_transcript(db_session, await add_room(db_session))
    for runs in (1, 2):
        task_pipeline_file_process.delay(transcript_id=transcript.id).get(timeout=30)
        await asyncio.to_thread(wait_for, lambda: len(world.sent_to("webhooks")) == runs, "the webhook")  # noqa: B023

    topics = await transcripts_controller.get_topics(db_session, transcript.id)
    assert len({topic.timestamp for topic in topics}) == len(topics)
    assert [request.method for request in world.sent_to("zulip")] == ["POST", "PATCH"]


async def test_without_an_upload_the_stored_mp3_is_used(db_session: Session) -> None:
    transcript = await add_transcript(db_session)
    assert await PipelineMainFile(transcript.id).process()
    shutil.rmtree(transcript.data_path)
    assert await PipelineMainFile(transcript.id).process()
    await db_session.refresh(transcript)
    assert transcript.status == "ended"


async def test_without_a_bucket_the_mp3_stays_where_it_is(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TRANSCRIPT_STORAGE_BUCKET", None)
    transcript = await add_transcript(db_session)
    assert await PipelineMainFile(transcript.id).process()
    await db_session.refresh(transcript)
    assert transcript.audio_location == "local"
    assert transcript.audio_mp3_path.exists()


async def test_silence_ends_without_title(db_session: Session, world: World) -> None:
    world.text = ""
    transcript = await add_transcript(db_session)
    assert await PipelineMainFile(transcript.id).process()
    await db_session.refresh(transcript)
    assert (transcript.status, transcript.title) == ("ended", None)
    assert "TRANSCRIPT" not in await events_of(db_session, transcript)


async def test_a_transcript_that_is_being_processed_is_left_alone(db_session: Session, world: World) -> None:
    transcript = await add_transcript(db_session)
    assert await transcripts_controller.start_processing(db_session, transcript, task_id="other")
    await db_session.commit()

    task_pipeline_file_process.delay(transcript_id=transcript.id).get(timeout=30)
    live.task_pipeline_process.delay(transcript_id=transcript.id).get(timeout=30)

    assert world.requests == []
    assert await events_of(db_session, transcript) == ["processing"]


async def test_a_failing_service_gives_the_status_error_and_no_post_chain(
    db_session: Session, world: World
) -> None:
    transcript = await add_transcript(db_session, await add_room(db_session))
    world.fail("diarization", 400)

    result = task_pipeline_file_process.delay(transcript_id=transcript.id)
    with pytest.raises(Exception, match="diarization"):
        result.get(timeout=30)

    await db_session.refresh(transcript)
    assert (transcript.status, transcript.task_id) == ("error", None)
    assert (await events_of(db_session, transcript))[-1] == "error"
    assert world.sent_to("zulip") == []


async def test_without_audio_there_is_an_error(db_session: Session) -> None:
    transcript = await transcripts_controller.add(db_session, name="Empty")
    await db_session.commit()
    with pytest.raises(AudioNotFoundError, match=transcript.id):
        await PipelineMainFile(transcript.id).process()


async def test_an_unknown_transcript_is_an_error() -> None:
    with pytest.raises(TranscriptNotFoundError):
        await PipelineMainFile("nobody").process()
    with pytest.raises(Exception, match="nobody"):
        task_pipeline_file_process.delay(transcript_id="nobody").get(timeout=30)


async def test_without_a_room_nobody_is_told(db_session: Session, world: World) -> None:
    transcript = await add_transcript(db_session)
    live.task_pipeline_post_to_zulip.delay(transcript_id=transcript.id).get(timeout=30)
    task_send_webhook_if_needed.delay(transcript_id=transcript.id).get(timeout=30)
    assert world.requests == []


async def test_a_live_recording_is_followed_and_then_worked_up(
    db_session: Session, aws: Aws, world: World
) -> None:
    transcript = await add_transcript(db_session, await add_room(db_session), source_kind="live")
    # Long enough for several chunks.
    write_tone(transcript.data_path / "upload.wav", seconds=12)

    task_id = live.pipeline_process(transcript.id)
    await transcripts_controller.set_queued_task(db_session, transcript, task_id)
    await db_session.commit()
    await asyncio.to_thread(wait_for, lambda: world.sent_to("zulip"), "the Zulip message")

    await db_session.refresh(transcript)
    assert (transcript.status, transcript.title, transcript.task_id) == ("ended", "A title", None)
    assert len(world.sent_to("transcription")) == 3
    assert aws.keys("transcripts") == [transcript.storage_audio_path]
    assert transcript.find_upload() is None

    events = await events_of(db_session, transcript)
    assert events[0] == "recording"
    assert events.count("TRANSCRIPT") == 3
    assert events.index("TOPIC") < events.index("processing"), "topics appear while the recording runs"
    assert events.index("processing") < events.index("WAVEFORM") < events.index("DURATION")
    assert events[-3:] == ["FINAL_LONG_SUMMARY", "FINAL_SHORT_SUMMARY", "ended"]
    assert events.index("FINAL_TITLE") < events.index("FINAL_LONG_SUMMARY")
    topics = await transcripts_controller.get_topics(db_session, transcript.id)
    assert {word["speaker"] for topic in topics for word in topic.words} == {0, 1}


async def test_a_live_recording_without_diarization(
    db_session: Session, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DIARIZATION_ENABLED", False)
    transcript = await add_transcript(db_session)
    live.pipeline_process(transcript.id)
    await ended(transcript)
    assert world.sent_to("diarization") == []


async def test_a_failing_header_of_the_chord_stops_the_summaries(db_session: Session, world: World) -> None:
    transcript = await add_transcript(db_session, await add_room(db_session))
    world.fail("diarization", 400)
    live.pipeline_process(transcript.id)

    async def has_failed(session: Session) -> bool:
        row = await transcripts_controller.get_by_id(session, transcript.id)
        return row is not None and row.status == "error"

    await wait_for_row(has_failed, "the status error")
    assert "FINAL_LONG_SUMMARY" not in await events_of(db_session, transcript)
    assert world.sent_to("zulip") == []


async def test_steps_of_the_live_chain_may_run_again(db_session: Session) -> None:
    transcript = await add_transcript(db_session)
    for task in (
        live.task_pipeline_convert_to_mp3,
        live.task_pipeline_upload_mp3,
        live.task_pipeline_remove_upload,
        live.task_pipeline_waveform,
    ):
        for _ in range(2):
            task.delay(transcript_id=transcript.id).get(timeout=30)
    await db_session.refresh(transcript)
    assert transcript.audio_location == "storage"


@pytest.fixture
async def denied(db_session: Session) -> Transcript:
    """A transcript whose meeting knows somebody who denied consent, and whose recording is in S3."""
    room = await add_room(db_session)
    meeting = await meetings_controller.add(
        db_session,
        room_id=room.id,
        room_name="/m",
        room_url="",
        host_room_url="",
        start_date=utcnow(),
        end_date=utcnow(),
    )
    recording = await recordings_controller.add(
        db_session, bucket_name="recordings", object_key="m/1.wav", meeting_id=meeting.id
    )
    await meeting_consent_controller.upsert(db_session, meeting.id, None, False)
    return await add_transcript(db_session, room, meeting_id=meeting.id, recording_id=recording.id)


async def test_denied_consent_removes_every_copy_of_the_audio(
    db_session: Session, denied: Transcript, aws: Aws
) -> None:
    aws.s3.put_object(Bucket="recordings", Key="m/1.wav", Body=b"audio")
    assert await PipelineMainFile(denied.id).process()
    assert aws.keys("transcripts")

    live.task_cleanup_consent.delay(transcript_id=denied.id).get(timeout=30)

    await db_session.refresh(denied)
    assert denied.audio_deleted
    assert aws.keys("transcripts") == aws.keys("recordings") == []
    assert [path.name for path in denied.data_path.iterdir()] == ["audio.json"]


async def test_given_consent_keeps_the_audio(db_session: Session, denied: Transcript) -> None:
    consent = (await meeting_consent_controller.get_by_meeting(db_session, str(denied.meeting_id)))[0]
    consent.consent_given = True
    await db_session.commit()

    live.task_cleanup_consent.delay(transcript_id=denied.id).get(timeout=30)

    await db_session.refresh(denied)
    assert not denied.audio_deleted
    assert denied.find_upload() is not None


async def test_a_task_is_active_until_it_is_done(db_session: Session, celery_session_app: Celery) -> None:
    transcript = await add_transcript(db_session)
    assert not await is_task_active(transcript)

    transcript.task_id = "waiting"
    assert await is_task_active(transcript)

    result = live.task_pipeline_remove_upload.delay(transcript_id=transcript.id)
    result.get(timeout=30)
    transcript.task_id = result.id
    assert not await is_task_active(transcript)
