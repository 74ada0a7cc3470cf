"""What is done to Reflector to compare two systems: a recording is uploaded and what follows is awaited."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.environment import Lab
from playbook.lab.errors import LabError
from playbook.lab.loopback import http_client

WEBHOOK_SECRET = "a secret of the lab"  # noqa: S105 - known on purpose, so that signatures can be checked
HTTP_TIMEOUT = 30.0
FINAL = ("ended", "error")


@dataclass(frozen=True)
class Upload:
    """A transcript in a room with chat and webhook; its recording is uploaded in chunks, a browser listens.

    Needs a running API and worker. Comes to rest when the transcript has ended and the webhook has been
    received; or when nothing happens any more, so that a system that loses a step can be observed, too.

    Attributes:
        mode: `file` processes the recording at once, `live` goes through it as if it were being recorded.
        audio: the recording.
        chunks: number of parts it is uploaded in.
        timeout: seconds until it must have come to rest.
    """

    mode: Literal["file", "live"] = "file"
    audio: Path = TWO_SPEAKERS
    chunks: int = 3
    timeout: float = 120.0

    @property
    def name(self) -> str:
        """`upload` or `live`."""
        return "upload" if self.mode == "file" else "live"

    def __call__(self, lab: Lab) -> None:
        """Run it.

        Raises:
            LabError: the API refuses a step, or the application does not come to rest in time.
        """
        with api_client(lab) as api:
            room = ask(api, "POST", "/rooms", json=room_settings(lab))
            transcript = ask(api, "POST", "/transcripts", json={"name": "Planning", "room_id": room["id"]})
            path = f"/transcripts/{transcript['id']}"
            lab.listen(f"/v1{path}/events", channel="transcript")
            self._upload(api, path)
            service = self._last_service()
            lab.wait_quiet(
                lambda: ask(api, "GET", f"{path}/status")["status"] in FINAL and lab.world.requests(service),
                timeout=self.timeout,
            )

    def _upload(self, api: httpx.Client, path: str) -> None:
        data = self.audio.read_bytes()
        size = -(-len(data) // self.chunks)
        for number in range(self.chunks):
            part = data[number * size : (number + 1) * size]
            ask(
                api,
                "POST",
                f"{path}/record/upload",
                params={"chunk_number": number, "total_chunks": self.chunks, "mode": self.mode},
                files={"chunk": (self.audio.name, part, "application/octet-stream")},
            )

    def _last_service(self) -> str:
        """Name the service that hears of the transcript last: the live pipeline calls no webhook."""
        return "webhooks" if self.mode == "file" else "zulip"


def room_settings(lab: Lab) -> dict[str, Any]:
    """Return a room that posts to the chat and calls a signed webhook."""
    return {
        "name": "planning",
        "zulip_auto_post": True,
        "zulip_stream": "meetings",
        "zulip_topic": "planning",
        "webhook_url": f"{lab.world.url}/webhooks/planning",
        "webhook_secret": WEBHOOK_SECRET,
    }


def api_client(lab: Lab) -> httpx.Client:
    """Return an HTTP client for the API."""
    return http_client(f"{lab.api_url}/v1", HTTP_TIMEOUT)


def ask(api: httpx.Client, method: str, path: str, **options: Any) -> Any:
    """Send one request to the API and return the parsed answer. Raises LabError if it is refused or lost."""
    try:
        response = api.request(method, path, **options)
    except httpx.TransportError as error:
        raise LabError(f"the API did not answer {method} {path}: {error!r}") from None
    if response.is_error:
        raise LabError(f"the API refused {method} {path} with {response.status_code}: {response.text}")
    return response.json()


def upload(audio: Path = TWO_SPEAKERS, chunks: int = 3, timeout: float = 120.0) -> Upload:
    """Return the scenario in which the whole recording is processed at once; see `Upload`."""
    return Upload("file", audio, chunks, timeout)


def live(audio: Path = TWO_SPEAKERS, chunks: int = 3, timeout: float = 120.0) -> Upload:
    """Return the scenario in which the recording is gone through as if live; see `Upload`."""
    return Upload("live", audio, chunks, timeout)
