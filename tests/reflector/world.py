"""The outside world for the tests: one HTTP server with fixed answers that records and can fail."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request, Response

WORDS = "Hello and welcome to the meeting. Today we talk about boats. They float well. Thank you all."
LLM_ANSWERS = {
    "topics": json.dumps({"title": "A topic", "summary": "They talk."}),
    "title": "A title",
    "short_summary": "Short.",
    "long_summary": "Long and detailed.",
}


@dataclass
class Recorded:
    """One request. `body` is parsed JSON, or a form's text fields, or raw bytes."""

    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class World:
    """A server at `url`, as a context manager. `fail` breaks a service; `reset` mends all and forgets."""

    url: str
    requests: list[Recorded] = field(default_factory=list)
    calendars: dict[str, str] = field(default_factory=dict)
    room_sessions: list[dict[str, Any]] = field(default_factory=list)
    text: str = WORDS
    _faults: dict[str, list[int]] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget requests, faults and contents."""
        self.requests.clear()
        self.calendars.clear()
        self.room_sessions.clear()
        self._faults.clear()
        self.text = WORDS

    def fail(self, service: str, status: int, times: int = 1) -> None:
        """Answer the next `times` requests to `service` with `status`."""
        self._faults[service] = [status] * times

    def sent_to(self, service: str) -> list[Recorded]:
        """The requests that a service received."""
        return [request for request in self.requests if request.service == service]

    def __enter__(self) -> "World":
        address = urlsplit(self.url)
        config = uvicorn.Config(_app(self), str(address.hostname), address.port or 80, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "The world's server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


def _app(world: World) -> FastAPI:
    app = FastAPI()

    @app.api_route("/{service}/{path:path}", methods=["GET", "POST", "PATCH"])
    async def receive(service: str, path: str, request: Request) -> Response:
        body = await _read(request)
        world.requests.append(Recorded(service, request.method, path, dict(request.headers), body))
        if world._faults.get(service):
            return Response("broken on purpose", world._faults[service].pop(0))
        status, answer = _answer(world, service, path, body)
        if isinstance(answer, str):
            return Response(answer, status, media_type="text/calendar")
        return Response(json.dumps(answer), status, media_type="application/json")

    return app


async def _read(request: Request) -> Any:
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return await request.json()
    if kind.startswith(("multipart/", "application/x-www-form")):
        return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    return await request.body()


def _answer(world: World, service: str, path: str, body: Any) -> tuple[int, Any]:
    match service:
        case "transcription":
            texts = world.text.split()
            words = [
                {"text": text, "start": 0.1 * index, "end": 0.1 * (index + 1)}
                for index, text in enumerate(texts)
            ]
            return 200, {"text": world.text, "words": words}
        case "diarization":
            speakers = [
                {"start": 0.0, "end": 0.55, "speaker": 0},
                {"start": 0.55, "end": 60.0, "speaker": 1},
            ]
            return 200, {"diarization": speakers}
        case "llm":
            task = body["messages"][0]["content"].splitlines()[0].removeprefix("TASK: ")
            return 200, {"choices": [{"message": {"role": "assistant", "content": LLM_ANSWERS[task]}}]}
        case "zulip":
            return 200, {"result": "success", "id": 77}
        case "whereby" if path.endswith("meetings"):
            number = len(world.sent_to("whereby"))
            meeting = {
                "meetingId": f"meeting-{number}",
                "roomName": f"/{body['roomNamePrefix']}{number}",
                "roomUrl": f"https://rooms.example/{number}",
                "hostRoomUrl": f"https://rooms.example/{number}?host",
                "startDate": "2030-01-01T10:00:00Z",
                "endDate": body["endDate"],
            }
            return 201, meeting
        case "whereby":
            return 200, {"results": world.room_sessions}
        case "calendars" if path in world.calendars:
            return 200, world.calendars[path]
        case "calendars":
            return 404, {}
        case _:
            return 200, {}
