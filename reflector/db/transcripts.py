"""Reading and writing transcripts, and telling browsers what changed.

Every event is a row first. It is broadcast when its transaction has been committed, and never before, so that
a browser cannot hear of something that the database does not know.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from reflector.db.transcript_tables import (
    EventName,
    Status,
    Transcript,
    TranscriptEvent,
    TranscriptParticipant,
    TranscriptStatus,
    TranscriptTopic,
)
from reflector.ws_manager import get_ws_manager

if TYPE_CHECKING:
    from reflector.db import Session

# What a list of transcripts shows; the user's own channel hears of these.
USER_EVENTS: frozenset[EventName] = frozenset({"STATUS", "FINAL_TITLE", "DURATION"})


class TranscriptController:
    """Reads and writes transcripts."""

    async def get_by_id(self, session: AsyncSession, transcript_id: str) -> Transcript | None:
        """Return the transcript, or None."""
        return await session.get(Transcript, transcript_id)

    async def get_all(self, session: AsyncSession, user_id: str | None = None) -> Sequence[Transcript]:
        """Return a user's transcripts (None: the anonymous ones), latest first."""
        query = select(Transcript).where(Transcript.user_id == user_id)
        return (await session.scalars(query.order_by(Transcript.created_at.desc()))).all()

    async def get_by_recording_id(self, session: AsyncSession, recording_id: str) -> Transcript | None:
        """Return the transcript that was made from a recording, or None."""
        return await session.scalar(select(Transcript).where(Transcript.recording_id == recording_id))

    async def get_anonymous_before(self, session: AsyncSession, cutoff: datetime) -> Sequence[Transcript]:
        """Return the transcripts without a user that were created before `cutoff`, oldest first."""
        query = select(Transcript).where(Transcript.user_id.is_(None), Transcript.created_at < cutoff)
        return (await session.scalars(query.order_by(Transcript.created_at))).all()

    async def add(self, session: AsyncSession, name: str, **values: Any) -> Transcript:
        """Create a transcript. Its status history starts with its first status, without an event."""
        transcript = Transcript(name=name, **values)
        session.add(transcript)
        await session.flush()
        session.add(TranscriptStatus(transcript_id=transcript.id, status=transcript.status))
        await session.flush()
        return transcript

    async def update(
        self, session: AsyncSession, transcript: Transcript, values: dict[str, Any]
    ) -> Transcript:
        """Set columns of a transcript. Use `set_status` for the status."""
        for key, value in values.items():
            setattr(transcript, key, value)
        await session.flush()
        return transcript

    async def remove(self, session: AsyncSession, transcript: Transcript) -> None:
        """Delete a transcript with all its rows. Its files and objects are the caller's."""
        await session.delete(transcript)
        await session.flush()

    async def set_status(self, session: "Session", transcript: Transcript, status: Status) -> None:
        """Change the status, add it to the history and announce it. Nothing happens if it is the same."""
        if transcript.status == status:
            return
        transcript.status = status
        session.add(TranscriptStatus(transcript_id=transcript.id, status=status))
        await self.append_event(session, transcript, "STATUS", {"value": status})

    async def start_processing(
        self,
        session: "Session",
        transcript: Transcript,
        status: Status = "processing",
        task_id: str | None = None,
    ) -> bool:
        """Claim the transcript for one task: set `status`, unless another task is at work on it.

        The claim is one statement, so that of several tasks at once only one gets True. A task that is
        delivered again after its worker died has the same id and may go on.
        """
        free = Transcript.status.not_in(["recording", "processing"])
        claimed = await session.scalar(
            update(Transcript)
            .where(
                Transcript.id == transcript.id,
                free if task_id is None else free | (Transcript.task_id == task_id),
            )
            .values(task_id=task_id)
            .returning(Transcript.id),
            execution_options={"synchronize_session": False},
        )
        if claimed is None:
            return False
        await session.refresh(transcript)
        await self.set_status(session, transcript, status)
        return True

    async def set_queued_task(self, session: AsyncSession, transcript: Transcript, task_id: str) -> None:
        """Remember the task sent for an uploaded transcript, unless a worker has taken it already."""
        await session.execute(
            update(Transcript)
            .where(Transcript.id == transcript.id, Transcript.status == "uploaded")
            .values(task_id=task_id),
            execution_options={"synchronize_session": False},
        )
        await session.refresh(transcript, ["task_id"])

    async def finish_processing(self, session: "Session", transcript: Transcript, status: Status) -> None:
        """End the claim with the status `ended` or `error`."""
        transcript.task_id = None
        await self.set_status(session, transcript, status)

    async def get_statuses(self, session: AsyncSession, transcript_id: str) -> Sequence[TranscriptStatus]:
        """Return the status history, oldest first."""
        query = select(TranscriptStatus).where(TranscriptStatus.transcript_id == transcript_id)
        return (await session.scalars(query.order_by(TranscriptStatus.id))).all()

    async def append_event(
        self, session: "Session", transcript: Transcript, event: EventName, data: dict[str, Any]
    ) -> TranscriptEvent:
        """Store an event under the next sequence number and broadcast it after the commit."""
        await session.flush()
        # The update locks the transcript's row until the commit, so that numbers become visible in order.
        sequence = await session.scalar(
            update(Transcript)
            .where(Transcript.id == transcript.id)
            .values(event_count=Transcript.event_count + 1)
            .returning(Transcript.event_count),
            execution_options={"synchronize_session": False},
        )
        if sequence is None:
            raise LookupError(f"Transcript {transcript.id} was deleted in the meantime")
        row = TranscriptEvent(transcript_id=transcript.id, sequence=sequence, event=event, data=data)
        session.add(row)
        await session.flush()

        user_id = transcript.user_id
        session.after_commit(lambda: _broadcast(row, user_id))
        return row

    async def get_events(
        self, session: AsyncSession, transcript_id: str, after: int = 0
    ) -> Sequence[TranscriptEvent]:
        """Return the events with a sequence number above `after`, in order."""
        query = select(TranscriptEvent).where(
            TranscriptEvent.transcript_id == transcript_id, TranscriptEvent.sequence > after
        )
        return (await session.scalars(query.order_by(TranscriptEvent.sequence))).all()

    async def get_topics(self, session: AsyncSession, transcript_id: str) -> Sequence[TranscriptTopic]:
        """Return the topics in the order of the audio."""
        query = select(TranscriptTopic).where(TranscriptTopic.transcript_id == transcript_id)
        return (await session.scalars(query.order_by(TranscriptTopic.timestamp, TranscriptTopic.id))).all()

    async def upsert_topic(
        self, session: AsyncSession, owner: Transcript, timestamp: float, **values: Any
    ) -> TranscriptTopic:
        """Create or update the topic of `owner` that starts at `timestamp` seconds."""
        query = select(TranscriptTopic).where(
            TranscriptTopic.transcript_id == owner.id, TranscriptTopic.timestamp == timestamp
        )
        topic = await session.scalar(query)
        if topic is None:
            topic = TranscriptTopic(transcript_id=owner.id, timestamp=timestamp)
            session.add(topic)
        for key, value in values.items():
            setattr(topic, key, value)
        await session.flush()
        return topic

    async def remove_topics(self, session: AsyncSession, transcript: Transcript) -> None:
        """Delete all topics, before the transcript is processed anew."""
        for topic in await self.get_topics(session, transcript.id):
            await session.delete(topic)
        await session.flush()

    async def get_participants(
        self, session: AsyncSession, transcript_id: str
    ) -> Sequence[TranscriptParticipant]:
        """Return the participants by speaker number."""
        query = select(TranscriptParticipant).where(TranscriptParticipant.transcript_id == transcript_id)
        return (await session.scalars(query.order_by(TranscriptParticipant.speaker))).all()

    async def upsert_participant(
        self, session: AsyncSession, transcript: Transcript, speaker: int, name: str
    ) -> TranscriptParticipant:
        """Give a speaker a name."""
        query = select(TranscriptParticipant).where(
            TranscriptParticipant.transcript_id == transcript.id, TranscriptParticipant.speaker == speaker
        )
        participant = await session.scalar(query)
        if participant is None:
            participant = TranscriptParticipant(transcript_id=transcript.id, speaker=speaker, name=name)
            session.add(participant)
        participant.name = name
        await session.flush()
        return participant


async def _broadcast(event: TranscriptEvent, user_id: str | None) -> None:
    """Send a committed event to those who watch the transcript, and to its owner's own channel."""
    manager = get_ws_manager()
    message = event.as_message()
    await manager.send_json(f"ts:{event.transcript_id}", message, seq=event.sequence)
    if user_id is not None and event.event in USER_EVENTS:
        data = {"id": event.transcript_id, **event.data}
        await manager.send_json(f"user:{user_id}", {"event": event.event, "data": data})


transcripts_controller = TranscriptController()
