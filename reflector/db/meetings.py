"""Meetings held in rooms, and the consents that their participants gave or denied."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from reflector.db.base import Base, new_id, utcnow


class Meeting(Base):
    """One session in a room. `id` and `room_name` are the meeting service's."""

    __tablename__ = "meeting"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    room_id: Mapped[str] = mapped_column(ForeignKey("room.id", ondelete="CASCADE"), index=True)
    room_name: Mapped[str] = mapped_column(index=True)
    room_url: Mapped[str]
    host_room_url: Mapped[str]
    start_date: Mapped[datetime]
    end_date: Mapped[datetime]
    is_active: Mapped[bool] = mapped_column(default=True)
    num_clients: Mapped[int] = mapped_column(default=0)
    # One meeting per calendar event, also when two runs of the task that creates them overlap.
    calendar_event_id: Mapped[str | None] = mapped_column(
        ForeignKey("calendar_event.id", ondelete="SET NULL"), unique=True, default=None
    )


class MeetingConsent(Base):
    """One participant's answer to whether the recording may be kept."""

    __tablename__ = "meeting_consent"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    meeting_id: Mapped[str] = mapped_column(ForeignKey("meeting.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[str | None] = mapped_column(default=None)
    consent_given: Mapped[bool]
    consent_timestamp: Mapped[datetime] = mapped_column(default=utcnow)


class MeetingController:
    """Reads and writes meetings."""

    async def get_by_id(self, session: AsyncSession, meeting_id: str) -> Meeting | None:
        """Return the meeting, or None."""
        return await session.get(Meeting, meeting_id)

    async def get_by_room_name(self, session: AsyncSession, room_name: str) -> Meeting | None:
        """Return the latest meeting under this name of the meeting service, or None."""
        query = select(Meeting).where(Meeting.room_name == room_name).order_by(Meeting.start_date.desc())
        return await session.scalar(query.limit(1))

    async def get_by_calendar_event(self, session: AsyncSession, calendar_event_id: str) -> Meeting | None:
        """Return the meeting that was created for a calendar event, or None."""
        return await session.scalar(select(Meeting).where(Meeting.calendar_event_id == calendar_event_id))

    async def get_by_room(self, session: AsyncSession, room_id: str) -> Sequence[Meeting]:
        """Return a room's meetings, latest first."""
        query = select(Meeting).where(Meeting.room_id == room_id).order_by(Meeting.start_date.desc())
        return (await session.scalars(query)).all()

    async def get_all_active(self, session: AsyncSession) -> Sequence[Meeting]:
        """Return the meetings that are not over, oldest first."""
        query = select(Meeting).where(Meeting.is_active).order_by(Meeting.start_date, Meeting.id)
        return (await session.scalars(query)).all()

    async def add(self, session: AsyncSession, **values: Any) -> Meeting:
        """Create a meeting."""
        meeting = Meeting(**values)
        session.add(meeting)
        await session.flush()
        return meeting

    async def update(self, session: AsyncSession, meeting: Meeting, values: dict[str, Any]) -> Meeting:
        """Set columns of a meeting."""
        for key, value in values.items():
            setattr(meeting, key, value)
        await session.flush()
        return meeting


class MeetingConsentController:
    """Reads and writes consents."""

    async def get_by_meeting(self, session: AsyncSession, meeting_id: str) -> Sequence[MeetingConsent]:
        """Return the answers given in a meeting, oldest first."""
        query = select(MeetingConsent).where(MeetingConsent.meeting_id == meeting_id)
        return (await session.scalars(query.order_by(MeetingConsent.consent_timestamp))).all()

    async def upsert(
        self, session: AsyncSession, meeting_id: str, user_id: str | None, consent_given: bool
    ) -> MeetingConsent:
        """Record an answer. A known user's new answer replaces the old one; an anonymous one is added."""
        consent = None
        if user_id is not None:
            query = select(MeetingConsent).where(
                MeetingConsent.meeting_id == meeting_id, MeetingConsent.user_id == user_id
            )
            consent = await session.scalar(query)
        if consent is None:
            consent = MeetingConsent(meeting_id=meeting_id, user_id=user_id, consent_given=consent_given)
            session.add(consent)
        else:
            consent.consent_given = consent_given
            consent.consent_timestamp = utcnow()
        await session.flush()
        return consent

    async def has_any_denial(self, session: AsyncSession, meeting_id: str) -> bool:
        """Tell whether anybody in the meeting denied consent."""
        query = select(MeetingConsent.id).where(
            MeetingConsent.meeting_id == meeting_id, MeetingConsent.consent_given.is_(False)
        )
        return await session.scalar(query.limit(1)) is not None


meetings_controller = MeetingController()
meeting_consent_controller = MeetingConsentController()
