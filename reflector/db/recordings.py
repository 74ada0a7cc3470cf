"""Recordings: objects in S3 that the meeting service has written."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey, String, UniqueConstraint, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from reflector.db.base import Base, new_id, utcnow

RecordingStatus = Literal["pending", "processing", "completed", "failed"]


class Recording(Base):
    """One recorded file. There is one row per object, however often S3 announces it."""

    __tablename__ = "recording"
    __table_args__ = (UniqueConstraint("bucket_name", "object_key"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    bucket_name: Mapped[str]
    object_key: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    status: Mapped[RecordingStatus] = mapped_column(String, default="pending")
    error: Mapped[str | None] = mapped_column(default=None)
    meeting_id: Mapped[str | None] = mapped_column(
        ForeignKey("meeting.id", ondelete="SET NULL"), default=None
    )


class RecordingController:
    """Reads and writes recordings."""

    async def get_by_id(self, session: AsyncSession, recording_id: str) -> Recording | None:
        """Return the recording, or None."""
        return await session.get(Recording, recording_id)

    async def get_by_object_key(
        self, session: AsyncSession, bucket_name: str, object_key: str
    ) -> Recording | None:
        """Return the recording of an S3 object, or None."""
        query = select(Recording).where(
            Recording.bucket_name == bucket_name, Recording.object_key == object_key
        )
        return await session.scalar(query)

    async def add(self, session: AsyncSession, **values: Any) -> Recording:
        """Create a recording. Raises sqlalchemy.exc.IntegrityError if the object is known already."""
        recording = Recording(**values)
        session.add(recording)
        await session.flush()
        return recording

    async def set_status(
        self, session: AsyncSession, recording: Recording, status: RecordingStatus, error: str | None = None
    ) -> None:
        """Record how far the recording has come, and what went wrong if it failed."""
        recording.status = status
        recording.error = error
        await session.flush()

    async def remove(self, session: AsyncSession, recording: Recording) -> None:
        """Delete the row. The object in S3 is left alone."""
        await session.delete(recording)
        await session.flush()


recordings_controller = RecordingController()
