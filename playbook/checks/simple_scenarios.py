"""What is done to the simple tasks, the same on either system: webhooks, housekeeping, a recording.

Which system runs them, the live route says: a scenario calls the tasks as the application does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playbook.checks.driver import Driver
from playbook.lab import Lab
from playbook.lab.reflector_env import RECORDING_BUCKET, RECORDING_QUEUE
from playbook.lab.scenarios import WEBHOOK_SECRET, api_client, ask, room_settings

CLEANUP = "reflector.worker.cleanup.cleanup_old_public_data_task"
HEALTHCHECK = "reflector.worker.healthcheck.healthcheck_ping"
PROCESS_MESSAGES = "reflector.worker.process.process_messages"
PROCESS_RECORDING = "reflector.worker.process.process_recording"
SYNC_ROOM = "reflector.worker.ics_sync.sync_room_ics"
WEBHOOK = "reflector.worker.webhook.send_transcript_webhook"
QUIET = 15.0
"""Seconds without any event after which what has not come is taken to be lost: a busy machine is slow."""

TOO_LATE = 4.0
"""Seconds that a receiver takes to answer, longer than the lab's workers wait."""

Done = Callable[[], bool]
Fault = Mapping[str, Any]
OK: Fault = {"status": 200}
RECEIVERS: dict[str, Sequence[Fault]] = {
    "accepts": [OK],
    "refuses": [{"status": 410}],
    "recovers": [{"status": 503}, {"status": 500}, OK],
    "drops": [{"drop": True}, OK],
    "times-out": [{"status": 200, "delay": TOO_LATE}, OK],
    "fails": [{"status": 503, "times": 31}],
}
"""Receivers of webhooks by name, and how each answers the requests that it gets. One more request than that
is answered by 404."""


def ended(lab: Lab, expected: Mapping[str, int]) -> bool:
    """Whether so many tasks of each name have come to their end, retries included."""
    ends = Counter(event.task for event in lab.trace() if event.outcome in ("success", "failure"))
    return all(ends[task] >= count for task, count in expected.items())


@dataclass(frozen=True)
class Webhooks:
    """One webhook to each of `RECEIVERS`, all at once."""

    driver: Driver
    name: str = "webhooks"

    def __call__(self, lab: Lab) -> None:
        """Run it, and return when the last one has been given up."""
        lab.wait_quiet(self.start(lab), quiet=QUIET)

    def start(self, lab: Lab) -> Done:
        """Begin, and return what tells whether the last one has been given up."""
        calls = []
        with api_client(lab) as api:
            for receiver, answers in RECEIVERS.items():
                for answer in answers:
                    lab.world.fail(receiver, **answer)
                url = f"{lab.world.url}/{receiver}/hook"
                settings = {"name": receiver, "webhook_url": url, "webhook_secret": WEBHOOK_SECRET}
                room = ask(api, "POST", "/rooms", json=settings)
                body = {"name": receiver, "room_id": room["id"]}
                transcript = ask(api, "POST", "/transcripts", json=body)
                calls.append((WEBHOOK, [transcript["id"]], {"room_id": room["id"], "event_id": receiver}))
        self.driver.call(calls)
        slow = len(RECEIVERS["times-out"])
        # A request is on record when it has been answered, also if nobody waits for the answer any more.
        return lambda: ended(lab, {WEBHOOK: len(calls)}) and len(lab.world.requests("times-out")) >= slow


@dataclass(frozen=True)
class Housekeeping:
    """The clean-up of old transcripts, one of which cannot be removed; a room's calendar; the sign of life.

    The calendar is asked for through the API.
    """

    driver: Driver
    name: str = "housekeeping"

    def __call__(self, lab: Lab) -> None:
        """Run it, and return when the clean-up has been tried for the last time."""
        lab.wait_quiet(self.start(lab), quiet=QUIET)

    def start(self, lab: Lab) -> Done:
        """Begin, and return what tells whether the clean-up has been tried for the last time."""
        calendar = {"ics_url": lab.world.set_calendar("planning", two_events(lab)), "ics_enabled": True}
        with api_client(lab) as api:
            ask(api, "POST", "/rooms", json={**room_settings(lab), **calendar})
            self.driver.ask("old", None)
            ask(api, "POST", "/rooms/planning/ics/sync")
        self.driver.call([(CLEANUP, [], {}), (HEALTHCHECK, [], {})])
        return lambda: ended(lab, {CLEANUP: 1, HEALTHCHECK: 1, SYNC_ROOM: 1})


@dataclass(frozen=True)
class Errands:
    """Webhooks and housekeeping at the same time: most of both is waiting for the next attempt."""

    driver: Driver
    name: str = "errands"

    def __call__(self, lab: Lab) -> None:
        """Run them, and return when both are over."""
        parts = [Webhooks(self.driver).start(lab), Housekeeping(self.driver).start(lab)]
        lab.wait_quiet(lambda: all(done() for done in parts), quiet=QUIET)


@dataclass(frozen=True)
class Recording:
    """A meeting's recording appears in S3 and is announced in the queue; all follows, down to the webhook."""

    driver: Driver
    audio: Path
    name: str = "recording"

    def __call__(self, lab: Lab) -> None:
        """Run it, and return when the room's webhook has arrived and all is quiet."""
        with api_client(lab) as api:
            room = ask(api, "POST", "/rooms", json=room_settings(lab))
        self.driver.ask("meeting", room["id"])
        key = "planning-1/talk.wav"
        lab.aws.put(RECORDING_BUCKET, key, self.audio.read_bytes())
        created = {"bucket": {"name": RECORDING_BUCKET}, "object": {"key": key}}
        event = {"eventName": "ObjectCreated:Put", "s3": created}
        lab.aws.send(RECORDING_QUEUE, json.dumps({"Records": [event]}))
        self.driver.call([(PROCESS_MESSAGES, [], {})])
        lab.wait_quiet(lambda: ended(lab, {PROCESS_RECORDING: 1, WEBHOOK: 1}), quiet=QUIET)


def two_events(lab: Lab) -> str:
    """A calendar with two events of tomorrow, one of them in the room."""
    day = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y%m%d")
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//lab//EN"]
    for name, place in (("review", f"{lab.api_url}/planning"), ("lunch", "the canteen")):
        lines += ["BEGIN:VEVENT", f"UID:{name}@lab", f"DTSTAMP:{day}T000000Z", f"SUMMARY:{name}"]
        lines += [f"DTSTART:{day}T100000Z", f"DTEND:{day}T110000Z", f"LOCATION:{place}", "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])
