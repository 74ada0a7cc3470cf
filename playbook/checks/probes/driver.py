"""A process of the application that does what the lab asks: `driver.py PORT`, HTTP on loopback, JSON.

POST /calls   [[task, args, kwargs], ...]   calls tasks through `dispatch`, as the API does; returns their ids
POST /health  null                          sends TaskIQ's health task; returns its id
POST /route   "celery" | "taskiq" | "50"    sets the live route for all tasks, as an operator does
POST /old     null                          makes old transcripts for the clean-up
POST /meeting "ROOM_ID"                     makes a meeting in a room
GET  /ready
"""

import importlib
import sys
from datetime import timedelta
from typing import Any

from aiohttp import web
from reflector.worker.flags import flags
from reflector.worker.health import health_check
from reflector.worker.routing import dispatch

from reflector import storage
from reflector.db import Session, get_session_context
from reflector.db.base import utcnow
from reflector.db.meetings import meetings_controller
from reflector.db.recordings import recordings_controller
from reflector.db.transcripts import transcripts_controller
from reflector.settings import settings
from reflector.worker import app as celery  # noqa: F401 - makes Reflector's app the current one

AUDIO = b"not really audio"
routes = web.RouteTableDef()


def task(name: str) -> Any:
    """The Celery task of a registered name."""
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module), function)


@routes.get("/ready")
async def ready(request: web.Request) -> web.Response:
    """Say that this process serves."""
    return web.json_response(None)


@routes.post("/calls")
async def calls(request: web.Request) -> web.Response:
    """Send the calls one after the other."""
    sent = [await dispatch(task(name), *args, **kwargs) for name, args, kwargs in await request.json()]
    return web.json_response([handle.id for handle in sent])


@routes.post("/health")
async def health(request: web.Request) -> web.Response:
    """Send the task that has no Celery side."""
    return web.json_response((await health_check.kiq()).task_id)


@routes.post("/route")
async def route(request: web.Request) -> web.Response:
    """Set the route."""
    flags.set(await request.json())
    return web.json_response(None)


@routes.post("/old")
async def old(request: web.Request) -> web.Response:
    """One old transcript that can be removed; one that cannot, for its recording is said to lie in a bucket
    that does not exist; one that has an owner; and one that is not old."""
    bucket, then = str(settings.RECORDING_STORAGE_BUCKET), utcnow() - timedelta(days=30)
    async with get_session_context() as session, storage.aws_client("s3") as s3:
        await _recorded(session, s3, "removable", bucket, created_at=then)
        await _recorded(session, s3, "stuck", "no-such-bucket", created_at=then)
        await _recorded(session, s3, "owned", bucket, created_at=then, user_id="ada")
        await _recorded(session, s3, "recent", bucket)
    return web.json_response(None)


async def _recorded(session: Session, s3: Any, name: str, bucket: str, **values: Any) -> None:
    recording = await recordings_controller.add(session, bucket_name=bucket, object_key=f"{name}/talk.wav")
    transcript = await transcripts_controller.add(
        session, name, recording_id=recording.id, audio_location="storage", **values
    )
    transcript.data_path.mkdir(parents=True)
    (transcript.data_path / "audio.json").write_bytes(AUDIO)
    places = [(settings.TRANSCRIPT_STORAGE_BUCKET, transcript.storage_audio_path)]
    if bucket == settings.RECORDING_STORAGE_BUCKET:
        places.append((bucket, recording.object_key))
    for place, key in places:
        await s3.put_object(Bucket=place, Key=key, Body=AUDIO)


@routes.post("/meeting")
async def meeting(request: web.Request) -> web.Response:
    """A meeting whose recordings lie below `planning-1/`."""
    async with get_session_context() as session:
        await meetings_controller.add(
            session,
            id="1",
            room_id=await request.json(),
            room_name="/planning-1",
            room_url="https://rooms.example.invalid/planning-1",
            host_room_url="https://rooms.example.invalid/planning-1?roomKey=1",
            start_date=utcnow(),
            end_date=utcnow() + timedelta(hours=1),
        )
    return web.json_response(None)


if __name__ == "__main__":
    server = web.Application()
    server.add_routes(routes)
    web.run_app(server, host="127.0.0.1", port=int(sys.argv[1]), print=None)
