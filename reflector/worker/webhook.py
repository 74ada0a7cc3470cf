"""The webhook of a room: tells its owner's system that a transcript is complete."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx
from celery import Task, shared_task

from reflector.asynctask import asynctask
from reflector.db import get_session_context
from reflector.db.base import utcnow
from reflector.db.rooms import Room, rooms_controller
from reflector.db.transcript_tables import Transcript, TranscriptParticipant, TranscriptTopic
from reflector.db.transcripts import transcripts_controller
from reflector.logger import logger
from reflector.settings import settings

EVENT = "transcript.completed"
TIMEOUT_SECONDS = 30.0


@shared_task(bind=True, max_retries=30, default_retry_delay=60, retry_backoff=True, retry_backoff_max=3600)
@asynctask
async def send_transcript_webhook(
    self: Task, transcript_id: str, room_id: str, event_id: str
) -> dict[str, Any]:
    """Post the transcript to its room's webhook_url.

    A 5xx answer, a timeout or a lost connection is tried again, up to 30 times; a 4xx answer would stay the
    same and is not. Returns {"success": bool, "status_code": int | None}.
    """
    log = logger.bind(
        transcript_id=transcript_id, room_id=room_id, event_id=event_id, task_id=self.request.id
    )
    async with get_session_context() as session:
        transcript = await transcripts_controller.get_by_id(session, transcript_id)
        room = await rooms_controller.get_by_id(session, room_id)
        if transcript is None or room is None or room.webhook_url is None:
            log.warning("Nothing to send: the transcript, the room or its webhook is gone")
            return {"success": False, "status_code": None}
        topics = await transcripts_controller.get_topics(session, transcript_id)
        participants = await transcripts_controller.get_participants(session, transcript_id)

    body = json.dumps(
        build_payload(event_id, transcript, room, topics, participants), sort_keys=True
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Reflector-Webhook/1.0",
        "X-Webhook-Event": EVENT,
        "X-Webhook-Retry": str(self.request.retries),
    }
    if room.webhook_secret:
        headers["X-Webhook-Signature"] = sign(body, room.webhook_secret, int(time.time()))

    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
            response = await client.post(room.webhook_url, content=body, headers=headers)
        if not response.is_client_error:
            response.raise_for_status()
    except httpx.HTTPError as error:
        log.warning("Webhook failed, will be tried again", error=str(error), retries=self.request.retries)
        raise self.retry(exc=error) from error

    if response.is_client_error:
        log.error("The receiver refuses the webhook", status_code=response.status_code)
    return {"success": response.is_success, "status_code": response.status_code}


def build_payload(
    event_id: str,
    transcript: Transcript,
    room: Room,
    topics: Sequence[TranscriptTopic],
    participants: Sequence[TranscriptParticipant],
) -> dict[str, Any]:
    """Return the webhook's JSON body. `duration` is in milliseconds, a topic's times are in seconds."""
    return {
        "event": EVENT,
        "event_id": event_id,
        "timestamp": utcnow().isoformat(),
        "transcript": {
            "id": transcript.id,
            "room_id": room.id,
            "created_at": transcript.created_at.isoformat(),
            "duration": transcript.duration,
            "title": transcript.title,
            "short_summary": transcript.short_summary,
            "long_summary": transcript.long_summary,
            "source_language": transcript.source_language,
            "target_language": transcript.target_language,
            "status": transcript.status,
            "url": f"{settings.UI_BASE_URL}/transcripts/{transcript.id}",
            "participants": [{"speaker": person.speaker, "name": person.name} for person in participants],
            "topics": [
                {
                    "title": topic.title,
                    "summary": topic.summary,
                    "timestamp": topic.timestamp,
                    "duration": topic.duration,
                    "text": topic.transcript,
                }
                for topic in topics
            ],
        },
        "room": {"id": room.id, "name": room.name},
    }


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return the signature header `t=<timestamp>,v1=<hex>`: HMAC-SHA256 over "<timestamp>.<body>".

    Parameters: `timestamp` is Unix time in seconds; it is part of what is signed, so that a receiver can
    refuse an old request that somebody sends again.
    """
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
