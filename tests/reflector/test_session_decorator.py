"""Sessions, transcripts and loggers for tasks."""

import socket

import pytest
from celery import shared_task
from celery.contrib.testing.worker import TestWorkController
from structlog.testing import capture_logs
from structlog.typing import FilteringBoundLogger

from reflector.asynctask import asynctask
from reflector.db import Session, get_session_context
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import Status, Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.worker.session_decorator import (
    TranscriptNotFoundError,
    get_task_id,
    get_task_logger,
    with_session,
    with_session_and_transcript,
)


@with_session
async def add_room(session: Session, name: str, *, fail: bool = False) -> str:
    """Add a room."""
    room = await rooms_controller.add(session, name)
    if fail:
        raise RuntimeError("on purpose")
    return room.id


@with_session_and_transcript
async def rename(
    session: Session, suffix: str, *, transcript: Transcript, logger: FilteringBoundLogger, fail: bool = False
) -> str:
    """Change the name."""
    logger.info("Renaming")
    await transcripts_controller.update(session, transcript, {"name": transcript.name + suffix})
    if fail:
        raise RuntimeError("on purpose")
    return transcript.name


@shared_task(name="tests.bound_logger")
@asynctask
@with_session_and_transcript
async def bound_logger(
    session: Session, *, transcript: Transcript, logger: FilteringBoundLogger
) -> dict[str, object]:
    """Return what the logger is bound to."""
    with capture_logs() as lines:
        logger.info("Hello")
    return {**lines[0], "get_task_id": get_task_id()}


async def add_transcript(session: Session, status: Status = "idle") -> Transcript:
    transcript = await transcripts_controller.add(session, name="Talk", status=status)
    await session.commit()
    return transcript


async def test_with_session_commits(db_session: Session) -> None:
    room_id = await add_room("kept")
    assert await rooms_controller.get_by_id(db_session, room_id) is not None
    assert add_room.__name__ == "add_room"


async def test_with_session_rolls_back(db_session: Session) -> None:
    with pytest.raises(RuntimeError):
        await add_room("lost", fail=True)
    assert await rooms_controller.get_by_name(db_session, "lost") is None


async def test_the_transcript_is_loaded_and_its_change_committed(db_session: Session) -> None:
    transcript = await add_transcript(db_session)
    with capture_logs() as lines:
        assert await rename("!", transcript_id=transcript.id) == "Talk!"
    assert lines[0]["transcript_id"] == transcript.id
    await db_session.refresh(transcript)
    assert transcript.name == "Talk!"


async def test_an_unknown_transcript_is_an_error(db_session: Session) -> None:
    with pytest.raises(TranscriptNotFoundError, match="nobody"):
        await rename("!", transcript_id="nobody")


@pytest.mark.parametrize(
    ("before", "after"),
    [("processing", "error"), ("recording", "error"), ("ended", "ended"), ("idle", "idle")],
)
async def test_a_failure_ends_the_processing_only(
    db_session: Session, redis_url: str, before: Status, after: Status
) -> None:
    transcript = await add_transcript(db_session, before)
    with pytest.raises(RuntimeError):
        await rename("!", transcript_id=transcript.id, fail=True)
    await db_session.refresh(transcript)
    assert (transcript.status, transcript.name) == (after, "Talk")


def test_outside_a_task_the_logger_is_plain() -> None:
    assert get_task_id() is None
    with capture_logs() as lines:
        get_task_logger().info("Hello")
    assert "task_id" not in lines[0]


async def test_inside_a_task_the_logger_names_it(
    db_session: Session, celery_session_worker: TestWorkController
) -> None:
    transcript = await add_transcript(db_session)
    result = bound_logger.delay(transcript_id=transcript.id)
    bound = result.get(timeout=20)
    assert bound["task_id"] == bound["get_task_id"] == result.id
    assert (bound["task"], bound["retries"]) == ("tests.bound_logger", 0)
    assert socket.gethostname() in bound["worker"]
    assert bound["transcript_id"] == transcript.id


async def test_a_session_that_is_replaced_in_a_test_is_used_by_tasks(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shared():  # type: ignore[no-untyped-def]
        yield db_session

    monkeypatch.setattr("reflector.db.get_session", shared)
    async with get_session_context() as session:
        assert session is db_session
    room_id = await add_room("uncommitted")
    assert await rooms_controller.get_by_id(db_session, room_id) is not None
