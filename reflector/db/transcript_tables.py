"""The tables of transcripts: topics, participants, events and status history."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reflector.db.base import Base, new_id, utcnow
from reflector.settings import settings

Status = Literal["idle", "uploaded", "recording", "processing", "error", "ended"]
EventName = Literal[
    "STATUS",
    "TRANSCRIPT",
    "TOPIC",
    "WAVEFORM",
    "DURATION",
    "FINAL_TITLE",
    "FINAL_SHORT_SUMMARY",
    "FINAL_LONG_SUMMARY",
]
SourceKind = Literal["file", "live", "room"]
AudioLocation = Literal["local", "storage"]


class Transcript(Base):
    """One recorded conversation and what was made of it. `duration` is in milliseconds."""

    __tablename__ = "transcript"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(default="")
    user_id: Mapped[str | None] = mapped_column(default=None, index=True)
    status: Mapped[Status] = mapped_column(String, default="idle")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    source_kind: Mapped[SourceKind] = mapped_column(String, default="file")
    source_language: Mapped[str] = mapped_column(default="en")
    target_language: Mapped[str] = mapped_column(default="en")
    duration: Mapped[int] = mapped_column(default=0)
    title: Mapped[str | None] = mapped_column(default=None)
    short_summary: Mapped[str | None] = mapped_column(default=None)
    long_summary: Mapped[str | None] = mapped_column(default=None)
    audio_location: Mapped[AudioLocation] = mapped_column(String, default="local")
    audio_deleted: Mapped[bool] = mapped_column(default=False)
    zulip_message_id: Mapped[int | None] = mapped_column(default=None)
    task_id: Mapped[str | None] = mapped_column(default=None)
    event_count: Mapped[int] = mapped_column(default=0)
    room_id: Mapped[str | None] = mapped_column(ForeignKey("room.id", ondelete="SET NULL"), default=None)
    meeting_id: Mapped[str | None] = mapped_column(
        ForeignKey("meeting.id", ondelete="SET NULL"), default=None
    )
    recording_id: Mapped[str | None] = mapped_column(
        ForeignKey("recording.id", ondelete="SET NULL"), default=None, index=True
    )

    @property
    def data_path(self) -> Path:
        """The folder with this transcript's files."""
        return settings.DATA_DIR / self.id

    @property
    def audio_mp3_path(self) -> Path:
        """The encoded audio. It is absent once it has been moved to storage or deleted."""
        return self.data_path / "audio.mp3"

    @property
    def audio_waveform_path(self) -> Path:
        """The waveform, a JSON list of numbers from 0 to 1."""
        return self.data_path / "audio.json"

    @property
    def storage_audio_path(self) -> str:
        """The key of the encoded audio in the transcript bucket."""
        return f"{self.id}/audio.mp3"

    def find_upload(self) -> Path | None:
        """Return the uploaded file `upload.<ext>`, or None if there is none."""
        return next(iter(sorted(self.data_path.glob("upload.*"))), None)


class TranscriptTopic(Base):
    """A part of the conversation about one thing. `timestamp` and `duration` are in seconds.

    `words` is a list of {"text", "start", "end", "speaker"}, times in seconds from the start of the audio.
    """

    __tablename__ = "transcript_topic"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    transcript_id: Mapped[str] = mapped_column(ForeignKey("transcript.id", ondelete="CASCADE"), index=True)
    title: Mapped[str]
    summary: Mapped[str]
    timestamp: Mapped[float]
    duration: Mapped[float] = mapped_column(default=0.0)
    transcript: Mapped[str] = mapped_column(default="")
    words: Mapped[list[dict[str, Any]]] = mapped_column(default=list)


class TranscriptParticipant(Base):
    """Somebody who speaks. `speaker` is the number that diarisation gave."""

    __tablename__ = "transcript_participant"
    __table_args__ = (UniqueConstraint("transcript_id", "speaker"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    transcript_id: Mapped[str] = mapped_column(ForeignKey("transcript.id", ondelete="CASCADE"), index=True)
    speaker: Mapped[int]
    name: Mapped[str]


class TranscriptEvent(Base):
    """One line of the events log. `sequence` counts a transcript's events from 1 without gaps."""

    __tablename__ = "transcript_event"
    __table_args__ = (UniqueConstraint("transcript_id", "sequence"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    transcript_id: Mapped[str] = mapped_column(ForeignKey("transcript.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    event: Mapped[EventName] = mapped_column(String)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    def as_message(self) -> dict[str, Any]:
        """Return the event as it is sent to browsers: {"event": name, "data": {...}}."""
        return {"event": self.event, "data": self.data}


class TranscriptStatus(Base):
    """One line of the status history."""

    __tablename__ = "transcript_status"

    id: Mapped[int] = mapped_column(primary_key=True)
    transcript_id: Mapped[str] = mapped_column(ForeignKey("transcript.id", ondelete="CASCADE"), index=True)
    status: Mapped[Status] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
