"""Calendar feeds of rooms, and the meetings that are created for what stands in them."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from celery import shared_task

from reflector import whereby
from reflector.asynctask import asynctask
from reflector.db import Session, get_session_context
from reflector.db.base import utcnow
from reflector.db.calendar_events import CalendarEvent, calendar_events_controller
from reflector.db.meetings import meetings_controller
from reflector.db.rooms import Room, rooms_controller
from reflector.logger import logger
from reflector.processors import ProcessorError
from reflector.services.ics import ParsedEvent, fetch_calendar, parse_calendar
from reflector.settings import settings
from reflector.worker.locks import single_run
from reflector.worker.session_decorator import with_session

SYNC_WINDOW = timedelta(days=7)
# A meeting is created this long before its event, and, if beat was down, still this long after it has begun.
MEETING_LEAD = timedelta(minutes=5)
# A meeting may go on for this long after its event.
MEETING_OVERTIME = timedelta(minutes=30)


@shared_task
@asynctask
@with_session
async def sync_room_ics(session: Session, room_id: str) -> dict[str, Any]:
    """Read the calendar feed of a room and bring its events up to date.

    Returns {"status": "synced" | "unchanged" | "skipped", "events": number stored, "deleted": number marked}.
    """
    room = await rooms_controller.get_by_id(session, room_id)
    if room is None or not room.ics_enabled or room.ics_url is None:
        logger.info("No calendar to sync", room_id=room_id)
        return {"status": "skipped", "events": 0, "deleted": 0}

    # The window moves, so an unchanged feed has new occurrences to offer: once a day it is read in full.
    start = datetime.combine(utcnow().date(), time(), UTC)
    read_today = (room.ics_last_hash or "").startswith(f"{start:%Y-%m-%d}:")
    fetched = await fetch_calendar(room.ics_url, room.ics_last_etag if read_today else None)
    now = utcnow()
    digest = f"{start:%Y-%m-%d}:{fetched.sha256}"
    if fetched.content is None or digest == room.ics_last_hash:
        await rooms_controller.update(session, room, {"ics_last_sync": now})
        return {"status": "unchanged", "events": 0, "deleted": 0}

    room_url = f"{settings.UI_BASE_URL}/{room.name}"
    events = parse_calendar(fetched.content, room_url, start, start + SYNC_WINDOW)
    deleted = await _store_events(session, room, events, start)
    values = {"ics_last_sync": now, "ics_last_etag": fetched.etag, "ics_last_hash": digest}
    await rooms_controller.update(session, room, values)
    logger.info("Calendar synced", room_id=room.id, events=len(events), deleted=deleted)
    return {"status": "synced", "events": len(events), "deleted": deleted}


async def _store_events(session: Session, room: Room, events: list[ParsedEvent], start: datetime) -> int:
    """Store the events of a room and mark those that are gone from its feed. Return how many were marked."""
    for event in events:
        values = event.model_dump(exclude={"ics_uid"})
        await calendar_events_controller.upsert(session, room.id, event.ics_uid, values)
    present = {event.ics_uid for event in events}
    return await calendar_events_controller.delete_missing(session, room.id, present, after=start)


@shared_task
@asynctask
@with_session
async def sync_all_ics_calendars(session: Session) -> int:
    """Start the sync of every room whose interval is over. Return how many."""
    due = [room for room in await rooms_controller.get_ics_enabled(session) if _is_due(room)]
    for room in due:
        sync_room_ics.delay(room.id)
    return len(due)


def _is_due(room: Room) -> bool:
    if room.ics_last_sync is None:
        return True
    return utcnow() - room.ics_last_sync >= timedelta(seconds=room.ics_fetch_interval)


@shared_task
@asynctask
async def create_upcoming_meetings() -> int:
    """Create a meeting for every calendar event that is about to start, once. Return how many were created.

    A meeting that cannot be created now is tried again in the next run, and does not hold up the others.
    """
    created = 0
    async with single_run("create_upcoming_meetings") as alone:
        if not alone:
            return 0
        for room, event in await _events_without_meeting():
            try:
                await _create_meeting(room, event)
            except ProcessorError:
                logger.error("Cannot create a meeting", calendar_event_id=event.id, exc_info=True)
                continue
            created += 1
    return created


async def _events_without_meeting() -> list[tuple[Room, CalendarEvent]]:
    now = utcnow()
    async with get_session_context() as session:
        return [
            (room, event)
            for room in await rooms_controller.get_ics_enabled(session)
            for event in await calendar_events_controller.get_starting(
                session, room.id, after=now - MEETING_LEAD, before=now + MEETING_LEAD
            )
            if await meetings_controller.get_by_calendar_event(session, event.id) is None
        ]


async def _create_meeting(room: Room, event: CalendarEvent) -> None:
    meeting = await whereby.create_meeting(f"{room.name}-", event.end_time + MEETING_OVERTIME)
    async with get_session_context() as session:
        await meetings_controller.add(
            session,
            id=meeting.meeting_id,
            room_id=room.id,
            room_name=meeting.room_name,
            room_url=meeting.room_url,
            host_room_url=meeting.host_room_url,
            start_date=event.start_time,
            end_date=meeting.end_date,
            calendar_event_id=event.id,
        )
    logger.info("Meeting created", room_id=room.id, meeting_id=meeting.meeting_id)
