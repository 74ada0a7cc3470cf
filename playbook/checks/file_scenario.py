"""A recorded conversation, processed by the file pipeline on either system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from playbook.lab import Lab
from playbook.models import System

START_FILE = Path(__file__).parent / "probes" / "start_file.py"


@dataclass(frozen=True)
class ProcessFile:
    """Create a room and a transcript through the API, store the audio, and send the task to `system`.

    The API's upload always starts the Celery task; here only the sending differs between the systems, so that
    everything else can be compared. Call sites are routed in a later phase.
    """

    system: System
    audio: Path
    name: str = "file"

    def __call__(self, lab: Lab) -> None:
        """Run it, and return when the webhook has arrived and all is quiet."""
        with httpx.Client(base_url=f"{lab.api_url}/v1", timeout=30, trust_env=False) as api:
            room = _created(
                api,
                "/rooms",
                name="design-review",
                zulip_auto_post=True,
                zulip_stream="reflector",
                zulip_topic="reviews",
                webhook_url=f"{lab.world.url}/webhooks/reviews",
                webhook_secret="lab",  # noqa: S106 - of a room that lives as long as the lab
            )
            transcript = _created(api, "/transcripts", name="Design review", room_id=room["id"])
        lab.listen(f"/v1/transcripts/{transcript['id']}/events", "transcript")
        lab.probe(START_FILE, self.system, transcript["id"], str(self.audio))
        lab.wait_quiet(lambda: lab.world.requests("webhooks"))


def _created(api: httpx.Client, path: str, **body: object) -> dict[str, str]:
    answer = api.post(path, json=body)
    answer.raise_for_status()
    created: dict[str, str] = answer.json()
    return created
