"""The services that the outside world plays. Answers depend on the request and on what was set, no more."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from playbook.lab.world import language, speech

MEETING_LENGTH = timedelta(hours=1)
routes = web.RouteTableDef()


@dataclass
class Settable:
    """What the lab can set: calendars by name, and the sessions of meeting rooms by room name."""

    calendars: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


SETTABLE = web.AppKey("settable", Settable)


def bad_request(reason: str) -> web.Response:
    """Answer 400 with the reason."""
    return web.json_response({"error": reason}, status=400)


def audio_of(request: web.Request) -> bytes:
    """Return the uploaded file; raise `ValueError` if there is none."""
    try:
        return bytes(request["files"]["file"])
    except KeyError:
        raise ValueError("the multipart field `file` is missing") from None


@routes.post("/transcription/v1/audio/transcriptions")
async def transcription(request: web.Request) -> web.Response:
    """Transcribe the uploaded audio."""
    words = speech.transcribe(audio_of(request))
    return web.json_response({"text": " ".join(word["text"] for word in words), "words": words})


@routes.post("/diarization/diarize")
async def diarization(request: web.Request) -> web.Response:
    """Tell who speaks when in the uploaded audio."""
    return web.json_response({"diarization": speech.diarize(audio_of(request))})


@routes.post("/llm/v1/chat/completions")
async def chat_completions(request: web.Request) -> web.Response:
    """Answer like an OpenAI-compatible language model."""
    body = request["body"]
    if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list):
        raise ValueError("the body must be JSON with a list `messages`")
    message = {"role": "assistant", "content": language.complete(body["messages"])}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return web.json_response({"object": "chat.completion", "model": body.get("model"), "choices": [choice]})


@routes.post("/zulip/api/v1/messages")
async def zulip_send(request: web.Request) -> web.Response:
    """Take a chat message; its id is derived from where it goes and what it says."""
    form = request["body"]
    if not isinstance(form, Mapping) or not {"type", "to", "topic", "content"} <= form.keys():
        raise ValueError("the form needs type, to, topic and content")
    text = "\0".join(str(form[name]) for name in ("to", "topic", "content"))
    # Half of the checksum's range: a positive 32-bit number, which any database's integer column takes.
    return web.json_response({"result": "success", "msg": "", "id": zlib.crc32(text.encode()) >> 1})


@routes.patch("/zulip/api/v1/messages/{id}")
async def zulip_update(request: web.Request) -> web.Response:
    """Take a chat message's new content."""
    if not isinstance(request["body"], Mapping) or "content" not in request["body"]:
        raise ValueError("the form needs content")
    return web.json_response({"result": "success", "msg": ""})


@routes.post("/webhooks/{name}")
async def webhook(request: web.Request) -> web.Response:
    """Take a webhook."""
    return web.json_response({"received": request.match_info["name"]})


@routes.get("/calendars/{name}.ics")
async def calendar(request: web.Request) -> web.Response:
    """Give the calendar that was set under this name, with an ETag."""
    content = request.app[SETTABLE].calendars.get(request.match_info["name"])
    if content is None:
        return web.Response(status=404, text="no such calendar")
    etag = f'"{hashlib.sha256(content.encode()).hexdigest()[:16]}"'
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(text=content, content_type="text/calendar", charset="utf-8", headers={"ETag": etag})


@routes.post("/whereby/v1/meetings")
async def create_meeting(request: web.Request) -> web.Response:
    """Open a meeting room that ends when asked; its names are derived from the request."""
    body = request["body"]
    if not isinstance(body, Mapping) or "endDate" not in body:
        raise ValueError("the body must be JSON with endDate")
    end = datetime.fromisoformat(str(body["endDate"]))
    digest = hashlib.sha256(repr(sorted(body.items())).encode()).hexdigest()
    name = f"/{str(body.get('roomNamePrefix', '')).strip('/')}{digest[:12]}"
    url = f"https://rooms.example.invalid{name}"
    meeting = {
        "meetingId": str(int(digest[:8], 16)),
        "roomName": name,
        "roomUrl": url,
        "hostRoomUrl": f"{url}?roomKey={digest[12:24]}",
        "startDate": (end - MEETING_LENGTH).isoformat(),
        "endDate": end.isoformat(),
    }
    return web.json_response(meeting, status=201)


@routes.get("/whereby/v1/insights/room-sessions")
async def room_sessions(request: web.Request) -> web.Response:
    """Give the sessions that were set for a room; none if nothing was set."""
    sessions = request.app[SETTABLE].sessions.get(request.query.get("roomName", ""), [])
    return web.json_response({"results": sessions})


@routes.get("/health-ping")
async def health_ping(request: web.Request) -> web.Response:
    """Take a sign of life."""
    return web.json_response({"status": "ok"})
