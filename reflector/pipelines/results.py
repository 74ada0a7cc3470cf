"""Storing what the processors found: the row and the event that announces it, in one transaction."""

import json
from collections.abc import Iterable, Sequence

from reflector.db import Session
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.processors import Topic, Word


async def save_duration(session: Session, transcript: Transcript, duration_ms: int) -> None:
    """Store the length of the audio in milliseconds."""
    await transcripts_controller.update(session, transcript, {"duration": duration_ms})
    await transcripts_controller.append_event(session, transcript, "DURATION", {"duration": duration_ms})


async def save_waveform(session: Session, transcript: Transcript, waveform: Sequence[float]) -> None:
    """Store the waveform, values from 0 to 1, in the transcript's folder."""
    transcript.data_path.mkdir(parents=True, exist_ok=True)
    transcript.audio_waveform_path.write_text(json.dumps(list(waveform)))
    await transcripts_controller.append_event(session, transcript, "WAVEFORM", {"waveform": list(waveform)})


async def save_text(session: Session, transcript: Transcript, words: Sequence[Word]) -> None:
    """Announce what was said. The words themselves are stored with their topics."""
    if words:
        text = " ".join(word.text.strip() for word in words)
        await transcripts_controller.append_event(session, transcript, "TRANSCRIPT", {"text": text})


async def save_topic(session: Session, transcript: Transcript, topic: Topic) -> None:
    """Store a topic; one that starts at the same time is replaced."""
    row = await transcripts_controller.upsert_topic(
        session,
        transcript,
        topic.timestamp,
        title=topic.title,
        summary=topic.summary,
        duration=topic.duration,
        transcript=topic.transcript,
        words=[word.model_dump() for word in topic.words],
    )
    data = {
        "id": row.id,
        "title": row.title,
        "summary": row.summary,
        "timestamp": row.timestamp,
        "duration": row.duration,
        "transcript": row.transcript,
    }
    await transcripts_controller.append_event(session, transcript, "TOPIC", data)


async def save_title(session: Session, transcript: Transcript, title: str) -> None:
    """Store the title."""
    await transcripts_controller.update(session, transcript, {"title": title})
    await transcripts_controller.append_event(session, transcript, "FINAL_TITLE", {"title": title})


async def save_summaries(session: Session, transcript: Transcript, long: str, short: str) -> None:
    """Store both summaries."""
    values = {"long_summary": long, "short_summary": short}
    await transcripts_controller.update(session, transcript, values)
    await transcripts_controller.append_event(
        session, transcript, "FINAL_LONG_SUMMARY", {"long_summary": long}
    )
    await transcripts_controller.append_event(
        session, transcript, "FINAL_SHORT_SUMMARY", {"short_summary": short}
    )


async def add_participants(session: Session, transcript: Transcript, words: Iterable[Word]) -> None:
    """Give every speaker a name, but for those who have one."""
    participants = await transcripts_controller.get_participants(session, transcript.id)
    known = {person.speaker for person in participants}
    for speaker in sorted({word.speaker for word in words} - known):
        await transcripts_controller.upsert_participant(
            session, transcript, speaker, f"Speaker {speaker + 1}"
        )
