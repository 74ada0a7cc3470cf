"""From an object in S3 to a transcript: the queue, the task, and what failed."""

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from reflector.db import Session
from reflector.db.base import utcnow
from reflector.db.meetings import meetings_controller
from reflector.db.recordings import recordings_controller
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.settings import settings
from reflector.worker.process import process_messages, process_recording, reprocess_failed_recordings
from reflector.worker.recordings import created_objects, get_or_add_recording
from tests.reflector.audio import write_tone
from tests.reflector.aws import Aws
from tests.reflector.waiting import wait_for_row
from tests.reflector.world import World

pytestmark = pytest.mark.usefixtures("database", "data_dir", "world", "aws", "celery_session_worker")

KEY = "room-1/talk one.wav"


def event_message(key: str, event: str = "ObjectCreated:Put") -> str:
    """A message as S3 writes it."""
    s3 = {"bucket": {"name": "recordings"}, "object": {"key": quote_plus(key)}}
    return json.dumps({"Records": [{"eventName": event, "s3": s3}]})


def put_recording(aws: Aws, folder: Path, key: str = KEY) -> None:
    aws.s3.upload_file(str(write_tone(folder / "recording.wav")), "recordings", key)


async def finished(session: Session) -> Transcript | None:
    """The transcript of the recording KEY, once it has ended."""
    recording = await recordings_controller.get_by_object_key(session, "recordings", KEY)
    if recording is None:
        return None
    transcript = await transcripts_controller.get_by_recording_id(session, recording.id)
    return transcript if transcript is not None and transcript.status == "ended" else None


def test_messages_of_s3_are_understood() -> None:
    assert created_objects(event_message(KEY)) == [("recordings", KEY)]
    assert created_objects(event_message(KEY, "ObjectRemoved:Delete")) == []
    assert created_objects('{"Event": "s3:TestEvent"}') == []


async def test_a_message_leads_to_a_transcript_of_the_meeting(
    db_session: Session, aws: Aws, tmp_path: Path
) -> None:
    room = await rooms_controller.add(db_session, "room", user_id="ann")
    meeting = await meetings_controller.add(
        db_session,
        room_id=room.id,
        room_name="/room-1",
        room_url="",
        host_room_url="",
        start_date=utcnow(),
        end_date=utcnow(),
    )
    await db_session.commit()
    put_recording(aws, tmp_path)
    aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=event_message(KEY))

    assert process_messages.delay().get(timeout=30) == 1

    transcript = await wait_for_row(finished, "the transcript of the recording")
    assert (transcript.source_kind, transcript.user_id) == ("room", "ann")
    assert (transcript.room_id, transcript.meeting_id) == (room.id, meeting.id)
    recording = await recordings_controller.get_by_id(db_session, transcript.recording_id)
    assert recording is not None
    assert recording.status == "completed"
    assert aws.waiting() == 0


async def test_a_message_that_cannot_be_read_stays_and_holds_up_nobody(aws: Aws) -> None:
    for body in ("no json", '{"Records": [{}]}', '{"Records": []}'):
        aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=body)
    assert process_messages.delay().get(timeout=30) == 0
    assert aws.waiting() == 2


async def test_without_queue_or_bucket_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "AWS_PROCESS_RECORDING_QUEUE_URL", None)
    monkeypatch.setattr(settings, "RECORDING_STORAGE_BUCKET", None)
    assert process_messages.delay().get(timeout=30) == 0
    assert reprocess_failed_recordings.delay().get(timeout=30) == 0


async def test_an_object_that_is_announced_twice_is_processed_once(
    db_session: Session, aws: Aws, tmp_path: Path, world: World
) -> None:
    put_recording(aws, tmp_path)
    for _ in range(2):
        process_recording.delay("recordings", KEY).get(timeout=30)
    await wait_for_row(finished, "the transcript of the recording")
    process_recording.delay("recordings", KEY).get(timeout=30)

    assert len(await transcripts_controller.get_all(db_session)) == 1
    assert len(world.sent_to("transcription")) == 1


async def test_a_missing_object_leaves_a_failed_recording(db_session: Session) -> None:
    process_recording.delay("recordings", KEY).get(timeout=30)

    recording = await recordings_controller.get_by_object_key(db_session, "recordings", KEY)
    assert recording is not None
    assert recording.status == "failed"
    assert KEY in str(recording.error)
    assert await transcripts_controller.get_all(db_session) == []


async def test_a_run_that_was_cut_off_before_the_pipeline_was_sent_goes_on(
    db_session: Session, aws: Aws, tmp_path: Path
) -> None:
    recording = await recordings_controller.add(db_session, bucket_name="recordings", object_key=KEY)
    transcript = await transcripts_controller.add(
        db_session, name="", status="uploaded", recording_id=recording.id
    )
    await db_session.commit()
    write_tone(transcript.data_path / "upload.wav")

    process_recording.delay("recordings", KEY).get(timeout=30)

    assert (await wait_for_row(finished, "the transcript")).id == transcript.id


async def test_of_two_tasks_that_add_a_recording_one_finds_the_others(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = await recordings_controller.add(db_session, bucket_name="recordings", object_key=KEY)
    await db_session.commit()

    # The other task adds the row after this one has looked for it.
    look = recordings_controller.get_by_object_key
    answers = iter([lambda *_: _nothing(), look])
    monkeypatch.setattr(recordings_controller, "get_by_object_key", lambda *args: next(answers)(*args))

    assert await get_or_add_recording(db_session, "recordings", KEY, None) is theirs


async def _nothing() -> None:
    return None


async def test_what_failed_is_started_again(db_session: Session, aws: Aws, tmp_path: Path) -> None:
    process_recording.delay("recordings", KEY).get(timeout=30)
    put_recording(aws, tmp_path)
    aws.s3.put_object(Bucket="recordings", Key="folder/", Body=b"")

    assert reprocess_failed_recordings.delay().get(timeout=30) == 1
    transcript = await wait_for_row(finished, "the transcript of the recording")
    assert reprocess_failed_recordings.delay().get(timeout=30) == 0

    again = await transcripts_controller.get_by_id(db_session, transcript.id)
    assert again is not None
    await transcripts_controller.set_status(db_session, again, "error")
    await db_session.commit()
    assert reprocess_failed_recordings.delay().get(timeout=30) == 1
    await wait_for_row(finished, "the transcript of the recording")


async def test_what_is_queued_is_left_alone(db_session: Session, aws: Aws, tmp_path: Path) -> None:
    put_recording(aws, tmp_path)
    recording = await recordings_controller.add(db_session, bucket_name="recordings", object_key=KEY)
    await transcripts_controller.add(
        db_session, name="", status="uploaded", recording_id=recording.id, task_id="waiting"
    )
    await db_session.commit()
    assert reprocess_failed_recordings.delay().get(timeout=30) == 0
