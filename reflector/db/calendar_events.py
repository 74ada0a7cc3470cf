"""Calendar events of rooms, as last read from their feeds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from reflector.db.base import Base, new_id, utcnow


class CalendarEvent(Base):
    """One occurrence of an event. `ics_uid` names the occurrence, so that a series has one row for each."""

    __tablename__ = "calendar_event"
    __table_args__ = (UniqueConstraint("room_id", "ics_uid"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    room_id: Mapped[str] = mapped_column(ForeignKey("room.id", ondelete="CASCADE"), index=True)
    ics_uid: Mapped[str]
    title: Mapped[str | None] = mapped_column(default=None)
    description: Mapped[str | None] = mapped_column(default=None)
    location: Mapped[str | None] = mapped_column(default=None)
    start_time: Mapped[datetime]
    end_time: Mapped[datetime]
    attendees: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    last_synced: Mapped[datetime] = mapped_column(default=utcnow)
    is_deleted: Mapped[bool] = mapped_column(default=False)


class CalendarEventController:
    """Reads and writes calendar events."""

    async def get_by_room(
        self, session: AsyncSession, room_id: str, include_deleted: bool = False
    ) -> Sequence[CalendarEvent]:
        """Return a room's events by start."""
        query = select(CalendarEvent).where(CalendarEvent.room_id == room_id)
        if not include_deleted:
            query = query.where(CalendarEvent.is_deleted.is_(False))
        return (await session.scalars(query.order_by(CalendarEvent.start_time, CalendarEvent.ics_uid))).all()

    async def get_starting(
        self, session: AsyncSession, room_id: str, after: datetime, before: datetime
    ) -> Sequence[CalendarEvent]:
        """Return a room's events that start in [after, before), by start."""
        query = select(CalendarEvent).where(
            CalendarEvent.room_id == room_id,
            CalendarEvent.is_deleted.is_(False),
            CalendarEvent.start_time >= after,
            CalendarEvent.start_time < before,
        )
        return (await session.scalars(query.order_by(CalendarEvent.start_time, CalendarEvent.ics_uid))).all()

    async def upsert(
        self, session: AsyncSession, room_id: str, ics_uid: str, values: dict[str, Any]
    ) -> CalendarEvent:
        """Create or update the event `ics_uid` of a room; a deleted one comes back."""
        query = select(CalendarEvent).where(
            CalendarEvent.room_id == room_id, CalendarEvent.ics_uid == ics_uid
        )
        event = await session.scalar(query)
        if event is None:
            event = CalendarEvent(room_id=room_id, ics_uid=ics_uid)
            session.add(event)
        for key, value in values.items():
            setattr(event, key, value)
        event.is_deleted = False
        event.last_synced = utcnow()
        await session.flush()
        return event

    async def delete_missing(
        self, session: AsyncSession, room_id: str, present: set[str], after: datetime
    ) -> int:
        """Mark a room's events from `after` on as deleted if `present` lacks their uid. Return how many."""
        missing = [
            event
            for event in await self.get_by_room(session, room_id)
            if event.ics_uid not in present and event.start_time >= after
        ]
        for event in missing:
            event.is_deleted = True
        await session.flush()
        return len(missing)


calendar_events_controller = CalendarEventController()
