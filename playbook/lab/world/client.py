"""The lab's handle on the outside world."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import TypeAdapter

from playbook.lab.errors import LabError
from playbook.lab.loopback import answers, http_client
from playbook.lab.process import Process
from playbook.lab.server import Server
from playbook.lab.surroundings import child_env
from playbook.lab.waiting import free_port
from playbook.models import Request

START_TIMEOUT = 20.0
_REQUESTS = TypeAdapter(list[Request])


class World(Server):
    """The outside world as a process of its own.

    Parameters:
        folder: for its log.

    Attributes:
        url: base address; services are the first segment of the path: transcription, diarization, llm, zulip,
            webhooks, calendars, whereby, and health for `/health-ping`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = http_client(f"{self.url}/_control", timeout=10.0)

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "playbook.lab.world.server", str(self.port)]
        self.process = Process(
            command, name="the outside world", log_path=self.folder / "world.log", env=child_env()
        )
        self.process.wait_ready(lambda: answers(f"{self.url}/_control/requests"), START_TIMEOUT)
        return self

    def requests(self, service: str | None = None) -> list[Request]:
        """Return the requests received so far, of one service or of all, in the order of arrival."""
        requests = _REQUESTS.validate_json(self._ask("GET", "/requests").content)
        return [request for request in requests if service is None or request.service == service]

    def clear(self) -> None:
        """Forget the requests received so far."""
        self._ask("DELETE", "/requests")

    def fail(
        self,
        service: str,
        *,
        status: int | None = None,
        delay: float | None = None,
        drop: bool = False,
        times: int = 1,
    ) -> None:
        """Plan a failure of the next requests of a service.

        Parameters:
            service: its name, see `url`.
            status: HTTP status to answer.
            delay: seconds to wait first; with neither status nor drop the usual answer follows.
            drop: close the connection without an answer.
            times: how many requests fail.
        """
        fault = {"service": service, "status": status, "delay": delay, "drop": drop, "times": times}
        self._ask("POST", "/faults", json=fault)

    def calm(self) -> None:
        """Forget all planned failures."""
        self._ask("DELETE", "/faults")

    def set_calendar(self, name: str, content: str) -> str:
        """Set the text of the feed `/calendars/NAME.ics`; return its address."""
        self._ask("PUT", f"/calendars/{name}", content=content.encode())
        return f"{self.url}/calendars/{name}.ics"

    def set_sessions(self, room_name: str, sessions: Sequence[Mapping[str, Any]]) -> None:
        """Set a meeting room's sessions: `startedAt` and `endedAt` in ISO 8601, None while one runs."""
        self._ask("PUT", "/sessions", params={"roomName": room_name}, json=list(sessions))

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise LabError(
                f"the outside world at {self.url} does not answer ({error}); is it started?"
            ) from None
        if response.is_error:
            raise LabError(f"the outside world refused {method} {path}: {response.text}")
        return response
