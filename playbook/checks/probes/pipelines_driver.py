"""The driver of 03_pipelines: `pipelines_driver.py PORT`. It does what `driver.py` does, and besides

POST /consent {"room_id", "name", "failing"}   makes a meeting in which somebody denied the recording, and a
                                               transcript of it; if `failing`, its recording cannot be removed
POST /post    "TRANSCRIPT_ID"                  starts what follows a live recording, and waits for its result
POST /results ["ID", ...]                      looks for the results of tasks by their ids

A result is {"state", "value", "error": name of the exception's class or null}.
"""

import asyncio
import sys
from datetime import timedelta
from typing import Any

from aiohttp import web
from reflector.worker.handles import Handle, ResultTimeoutError

from playbook.checks.probes.driver import routes
from reflector.db import get_session_context
from reflector.db.base import utcnow
from reflector.db.meetings import meeting_consent_controller, meetings_controller
from reflector.db.recordings import recordings_controller
from reflector.db.transcripts import transcripts_controller
from reflector.pipelines.main_live_pipeline import pipeline_post
from reflector.settings import settings

PATIENCE = 20.0
"""Seconds until the result of a canvas is missing."""

STORED = 5.0
"""Seconds until that of a task that has ended is."""

NOWHERE = "no-such-bucket"


@routes.post("/consent")
async def consent(request: web.Request) -> web.Response:
    """Make the meeting, the denial, the recording and the transcript."""
    wanted = await request.json()
    bucket = NOWHERE if wanted["failing"] else str(settings.RECORDING_STORAGE_BUCKET)
    async with get_session_context() as session:
        meeting = await meetings_controller.add(
            session,
            id=f"meeting of {wanted['name']}",
            room_id=wanted["room_id"],
            room_name="/planning-1",
            room_url="https://rooms.example.invalid/planning-1",
            host_room_url="https://rooms.example.invalid/planning-1?roomKey=1",
            start_date=utcnow(),
            end_date=utcnow() + timedelta(hours=1),
        )
        await meeting_consent_controller.upsert(session, meeting.id, None, consent_given=False)
        recording = await recordings_controller.add(
            session, bucket_name=bucket, object_key=f"{wanted['name']}/talk.wav"
        )
        transcript = await transcripts_controller.add(
            session,
            wanted["name"],
            room_id=wanted["room_id"],
            meeting_id=meeting.id,
            recording_id=recording.id,
        )
        return web.json_response({"id": transcript.id})


@routes.post("/post")
async def post(request: web.Request) -> web.Response:
    """Send the canvas as the application does, and wait."""
    handle = pipeline_post(transcript_id=await request.json())
    return web.json_response(await _result(handle, PATIENCE))


@routes.post("/results")
async def results(request: web.Request) -> web.Response:
    """Look for all at the same time. A result may be stored a moment after its task has ended."""
    handles = [Handle(task_id) for task_id in await request.json()]
    return web.json_response(await asyncio.gather(*(_result(handle, STORED) for handle in handles)))


async def _result(handle: Handle, seconds: float) -> dict[str, Any]:
    try:
        return {"state": "SUCCESS", "value": await handle.aget(timeout=seconds), "error": None}
    except ResultTimeoutError:
        return {"state": "missing", "value": None, "error": None}
    except Exception as error:
        return {"state": "FAILURE", "value": None, "error": type(error).__name__}


if __name__ == "__main__":
    server = web.Application()
    server.add_routes(routes)
    web.run_app(server, host="127.0.0.1", port=int(sys.argv[1]), print=None)
