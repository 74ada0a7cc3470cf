"""Rooms: where meetings take place, and what happens with their transcripts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from reflector.db.base import Base, new_id, utcnow


class Room(Base):
    """A room with its notification and calendar settings. `ics_fetch_interval` is in seconds."""

    __tablename__ = "room"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    zulip_auto_post: Mapped[bool] = mapped_column(default=False)
    zulip_stream: Mapped[str] = mapped_column(default="")
    zulip_topic: Mapped[str] = mapped_column(default="")
    webhook_url: Mapped[str | None] = mapped_column(default=None)
    webhook_secret: Mapped[str | None] = mapped_column(default=None)
    ics_url: Mapped[str | None] = mapped_column(default=None)
    ics_enabled: Mapped[bool] = mapped_column(default=False)
    ics_fetch_interval: Mapped[int] = mapped_column(default=300)
    ics_last_sync: Mapped[datetime | None] = mapped_column(default=None)
    ics_last_etag: Mapped[str | None] = mapped_column(default=None)
    ics_last_hash: Mapped[str | None] = mapped_column(default=None)


class RoomController:
    """Reads and writes rooms."""

    async def get_by_id(self, session: AsyncSession, room_id: str | None) -> Room | None:
        """Return the room, or None if there is none or `room_id` is None."""
        return None if room_id is None else await session.get(Room, room_id)

    async def get_by_name(self, session: AsyncSession, name: str) -> Room | None:
        """Return the room with this name, or None."""
        return await session.scalar(select(Room).where(Room.name == name))

    async def get_all(self, session: AsyncSession) -> Sequence[Room]:
        """Return all rooms by name."""
        return (await session.scalars(select(Room).order_by(Room.name))).all()

    async def get_ics_enabled(self, session: AsyncSession) -> Sequence[Room]:
        """Return the rooms that follow a calendar feed, by name."""
        query = select(Room).where(Room.ics_enabled, Room.ics_url.is_not(None)).order_by(Room.name)
        return (await session.scalars(query)).all()

    async def add(self, session: AsyncSession, name: str, **values: Any) -> Room:
        """Create a room. Raises sqlalchemy.exc.IntegrityError if the name is taken."""
        room = Room(name=name, **values)
        session.add(room)
        await session.flush()
        return room

    async def update(self, session: AsyncSession, room: Room, values: dict[str, Any]) -> Room:
        """Set columns of a room."""
        for key, value in values.items():
            setattr(room, key, value)
        await session.flush()
        return room

    async def remove(self, session: AsyncSession, room: Room) -> None:
        """Delete a room with its meetings and calendar events. Its transcripts stay."""
        await session.delete(room)
        await session.flush()


rooms_controller = RoomController()
