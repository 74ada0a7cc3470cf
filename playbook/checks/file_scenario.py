"""A recorded conversation, processed by the file pipeline on either system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playbook.lab import Lab
from playbook.lab.scenarios import api_client, ask, room_settings
from playbook.models import System

START_FILE = "playbook.checks.probes.start_file"


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
        with api_client(lab) as api:
            room = ask(api, "POST", "/rooms", json=room_settings(lab))
            transcript = ask(api, "POST", "/transcripts", json={"name": "Planning", "room_id": room["id"]})
        lab.listen(f"/v1/transcripts/{transcript['id']}/events", "transcript")
        lab.probe(START_FILE, self.system, transcript["id"], str(self.audio))
        lab.wait_quiet(lambda: lab.world.requests("webhooks"))
