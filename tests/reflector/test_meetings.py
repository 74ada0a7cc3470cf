"""Meetings: closed when they are over, and created for what stands in a room's calendar."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from redis import Redis

from reflector.db import Session
from reflector.db.base import utcnow
from reflector.db.calendar_events import calendar_events_controller
from reflector.db.meetings import Meeting, meetings_controller
from reflector.db.rooms import Room, rooms_controller
from reflector.settings import settings
from reflector.worker.ics_sync import (
    MEETING_OVERTIME,
    create_upcoming_meetings,
    sync_all_ics_calendars,
    sync_room_ics,
)
from reflector.worker.locks import single_run
from reflector.worker.process import process_meetings
from tests.reflector.environment import WORLD_URL
from tests.reflector.waiting import wait_for_row
from tests.reflector.world import World

pytestmark = pytest.mark.usefixtures("database", "world", "celery_session_worker")


@pytest.fixture
async def room(db_session: Session) -> Room:
    """A room that follows a calendar."""
    room = await rooms_controller.add(
        db_session, "room", ics_enabled=True, ics_url=f"{WORLD_URL}/calendars/room.ics"
    )
    await db_session.commit()
    return room


@pytest.fixture
async def meeting(db_session: Session, room: Room) -> Meeting:
    """An active meeting that ends in an hour."""
    meeting = await meetings_controller.add(
        db_session,
        room_id=room.id,
        room_name="/m",
        room_url="",
        host_room_url="",
        start_date=utcnow(),
        end_date=utcnow() + timedelta(hours=1),
    )
    await db_session.commit()
    return meeting


@pytest.fixture
def held_lock(redis: Redis, request: pytest.FixtureRequest) -> Iterator[None]:
    """The lock of another run of the task that the parameter names."""
    key = f"reflector:lock:{request.param}"
    redis.set(key, "somebody")
    yield
    redis.delete(key)


def session_at(hour: int, ended: bool) -> dict[str, str | None]:
    return {
        "startedAt": f"2030-01-01T{hour:02}:00:00Z",
        "endedAt": f"2030-01-01T{hour:02}:30:00Z" if ended else None,
    }


@pytest.mark.parametrize(
    ("sessions", "is_active", "num_clients"),
    [
        ([], True, 0),
        ([session_at(10, ended=False), session_at(11, ended=True)], True, 1),
        ([session_at(10, ended=True)], False, 0),
    ],
    ids=["nobody came yet", "somebody is there", "all have left"],
)
async def test_a_meeting_is_over_when_all_have_left(
    db_session: Session,
    world: World,
    meeting: Meeting,
    sessions: list[dict[str, str | None]],
    is_active: bool,
    num_clients: int,
) -> None:
    world.room_sessions = sessions
    expected = {"checked": 1, "deactivated": int(not is_active)}
    assert process_meetings.delay().get(timeout=30) == expected
    await db_session.refresh(meeting)
    assert (meeting.is_active, meeting.num_clients) == (is_active, num_clients)


async def test_a_meeting_to_which_nobody_came_is_over_at_its_end(
    db_session: Session, meeting: Meeting
) -> None:
    await meetings_controller.update(db_session, meeting, {"end_date": utcnow() - timedelta(minutes=1)})
    await db_session.commit()
    assert process_meetings.delay().get(timeout=30) == {"checked": 1, "deactivated": 1}


async def test_a_service_that_is_down_closes_no_meeting(
    db_session: Session, world: World, meeting: Meeting
) -> None:
    world.fail("whereby", 503)
    assert process_meetings.delay().get(timeout=30) == {"checked": 0, "deactivated": 0}
    await db_session.refresh(meeting)
    assert meeting.is_active


@pytest.mark.parametrize("held_lock", ["process_meetings"], indirect=True)
@pytest.mark.usefixtures("held_lock", "meeting")
async def test_two_runs_do_not_overlap(world: World) -> None:
    assert process_meetings.delay().get(timeout=30) == {"checked": 0, "deactivated": 0}
    assert world.requests == []


async def test_the_lock_is_released_and_may_be_lost(redis: Redis) -> None:
    async with single_run("test") as alone:
        assert alone
        async with single_run("test") as second:
            assert not second
        redis.set("reflector:lock:test", "somebody else, after the time was over")
    assert redis.get("reflector:lock:test") == "somebody else, after the time was over"
    redis.delete("reflector:lock:test")
    async with single_run("test") as alone:
        assert alone
    assert redis.get("reflector:lock:test") is None


def calendar(*events: tuple[str, datetime], room: str = "room") -> str:
    """A feed with one-hour events, each of a uid and a start."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"]
    for uid, start in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{uid}",
            "DTSTAMP:20300101T000000Z",
            f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
            f"DTEND:{start + timedelta(hours=1):%Y%m%dT%H%M%SZ}",
            f"SUMMARY:{uid}",
            f"LOCATION:{settings.UI_BASE_URL}/{room}",
            "END:VEVENT",
        ]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


async def uids(session: Session, room: Room) -> list[str]:
    return [event.ics_uid for event in await calendar_events_controller.get_by_room(session, room.id)]


async def test_a_calendar_is_synced_and_left_alone_while_it_is_the_same(
    db_session: Session, world: World, room: Room
) -> None:
    soon = utcnow() + timedelta(hours=2)
    world.calendars["room.ics"] = calendar(("one", soon), ("two", soon + timedelta(hours=2)))
    synced = {"status": "synced", "events": 2, "deleted": 0}
    assert sync_room_ics.delay(room.id).get(timeout=30) == synced
    unchanged = {"status": "unchanged", "events": 0, "deleted": 0}
    assert sync_room_ics.delay(room_id=room.id).get(timeout=30) == unchanged
    assert await uids(db_session, room) == ["one", "two"]

    world.calendars["room.ics"] = calendar(("two", soon))
    assert sync_room_ics.delay(room.id).get(timeout=30) == {"status": "synced", "events": 1, "deleted": 1}
    await db_session.commit()
    assert await uids(db_session, room) == ["two"]


async def test_an_unchanged_calendar_is_read_again_on_the_next_day(
    db_session: Session, world: World, room: Room
) -> None:
    world.calendars["room.ics"] = calendar(("one", utcnow() + timedelta(hours=2)))
    sync_room_ics.delay(room.id).get(timeout=30)
    await db_session.refresh(room)
    today, _, digest = str(room.ics_last_hash).partition(":")
    await rooms_controller.update(db_session, room, {"ics_last_hash": f"2001-01-01:{digest}"})
    await db_session.commit()

    assert sync_room_ics.delay(room.id).get(timeout=30)["status"] == "synced"
    await db_session.refresh(room)
    assert str(room.ics_last_hash) >= f"{today}:{digest}"


async def test_a_feed_that_fails_is_an_error_and_changes_nothing(
    db_session: Session, world: World, room: Room
) -> None:
    with pytest.raises(Exception, match="calendar"):
        sync_room_ics.delay(room.id).get(timeout=30)
    await db_session.refresh(room)
    assert room.ics_last_sync is None


async def test_a_room_without_calendar_is_skipped(db_session: Session, room: Room) -> None:
    await rooms_controller.update(db_session, room, {"ics_enabled": False})
    await db_session.commit()
    for room_id in (room.id, "nobody"):
        assert sync_room_ics.delay(room_id).get(timeout=30)["status"] == "skipped"


async def test_only_rooms_that_are_due_are_synced(db_session: Session, world: World, room: Room) -> None:
    world.calendars["room.ics"] = calendar()
    just_now = await rooms_controller.add(
        db_session, "synced", ics_enabled=True, ics_url=room.ics_url, ics_last_sync=utcnow()
    )
    long_ago = await rooms_controller.add(
        db_session,
        "old",
        ics_enabled=True,
        ics_url=room.ics_url,
        ics_last_sync=utcnow() - timedelta(seconds=just_now.ics_fetch_interval + 1),
    )
    await db_session.commit()

    assert sync_all_ics_calendars.delay().get(timeout=30) == 2

    async def both_synced(session: Session) -> bool:
        rooms = [await rooms_controller.get_by_id(session, row.id) for row in (room, long_ago)]
        return all(row is not None and row.ics_last_hash for row in rooms)

    await wait_for_row(both_synced, "the sync of two rooms")
    assert len(world.sent_to("calendars")) == 2


async def add_event(session: Session, room: Room, uid: str, start: datetime) -> str:
    values = {"start_time": start, "end_time": start + timedelta(hours=1)}
    event = await calendar_events_controller.upsert(session, room.id, uid, values)
    await session.commit()
    return event.id


async def test_an_event_that_is_about_to_start_gets_one_meeting(
    db_session: Session, world: World, room: Room
) -> None:
    now = utcnow()
    await add_event(db_session, room, "later", now + timedelta(hours=1))
    await add_event(db_session, room, "over", now - timedelta(hours=1))
    soon = await add_event(db_session, room, "soon", now + timedelta(minutes=2))

    assert create_upcoming_meetings.delay().get(timeout=30) == 1
    assert create_upcoming_meetings.delay().get(timeout=30) == 0

    meetings = await meetings_controller.get_by_room(db_session, room.id)
    assert [meeting.calendar_event_id for meeting in meetings] == [soon]
    assert meetings[0].id == "meeting-1"
    assert meetings[0].start_date == now + timedelta(minutes=2)
    assert meetings[0].end_date == now + timedelta(minutes=62) + MEETING_OVERTIME
    assert world.requests[0].body["roomNamePrefix"] == "room-"


async def test_a_meeting_that_cannot_be_created_is_tried_again(
    db_session: Session, world: World, room: Room
) -> None:
    await add_event(db_session, room, "soon", utcnow() + timedelta(minutes=2))
    world.fail("whereby", 503)
    assert create_upcoming_meetings.delay().get(timeout=30) == 0
    assert create_upcoming_meetings.delay().get(timeout=30) == 1


@pytest.mark.parametrize("held_lock", ["create_upcoming_meetings"], indirect=True)
@pytest.mark.usefixtures("held_lock")
async def test_meetings_are_created_by_one_run_at_a_time(db_session: Session, room: Room) -> None:
    await add_event(db_session, room, "soon", utcnow() + timedelta(minutes=2))
    assert create_upcoming_meetings.delay().get(timeout=30) == 0
