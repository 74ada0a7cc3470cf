"""Observations to compare, built by a small model of the upload scenario and of the live one.

`upload(seed)` and `live(seed)` return an observation as plain data, ready to be damaged. Two seeds give the
same run with other identifiers, times, ports, folders and with the noise that the real scenario has.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from random import Random
from typing import Any

from playbook.models import Observation

FILE = "reflector.pipelines.main_file_pipeline."
LIVE = "reflector.pipelines.main_live_pipeline."
WEBHOOK = "reflector.worker.webhook.send_transcript_webhook"
POLL = "reflector.worker.process.process_messages"
RETRY_DELAY = 60.0

Data = dict[str, Any]


def observation(data: Data) -> Observation:
    """Return the data as an observation."""
    return Observation.model_validate(data)


class Run:
    """Writes down one run; the clock moves with every step."""

    def __init__(self, seed: int, scenario: str, system: str) -> None:
        self.random = Random(seed)
        self.now = 1_790_000_000.0 + seed * 1000 + self.random.random()
        self.port = 20_000 + seed % 9000
        self.folder = f"/srv/run-{seed}"
        effects: Data = {name: [] for name in ("requests", "messages", "objects", "queue_messages", "files")}
        self.data: Data = {
            "scenario": scenario,
            "label": f"{system} {seed}",
            "system": system,
            "effects": {"rows": {}, **effects},
            "trace": [],
        }
        self.transcript, self.room, self.root = self.id(), self.id(), self.id()
        self.sequence = 0

    def id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds * (1 + 0.1 * self.random.random())

    def iso(self) -> str:
        return datetime.fromtimestamp(self.now, UTC).isoformat()

    def row(self, table: str, **columns: Any) -> None:
        self.data["effects"]["rows"].setdefault(table, []).append(columns)

    def request(
        self, service: str, method: str, path: str, body: Any, status: int = 200, **headers: str
    ) -> None:
        headers = {"content-length": str(len(str(body))), "host": f"127.0.0.1:{self.port}", **headers}
        self.data["effects"]["requests"].append(
            {"at": self.now, "service": service, "method": method, "path": path, "headers": headers}
            | {"body": body, "status": status}
        )
        self.pass_time(0.2)

    def event(self, name: str, data: Data) -> None:
        self.sequence += 1
        self.row("transcript_event", id=self.id(), transcript_id=self.transcript, sequence=self.sequence)
        self.data["effects"]["rows"]["transcript_event"][-1].update(
            event=name, data=data, created_at=self.iso()
        )
        channel, message = f"ts:{self.transcript}", {"event": name, "data": data}
        self.data["effects"]["messages"].append({"at": self.now + 0.004, "channel": channel, "data": message})
        self.pass_time(0.1)

    def status(self, value: str) -> None:
        self.row("transcript_status", id=len(self.data["effects"]["rows"].get("transcript_status", [])) + 1)
        self.data["effects"]["rows"]["transcript_status"][-1].update(
            transcript_id=self.transcript, status=value, created_at=self.iso()
        )
        self.event("STATUS", {"value": value})

    def start(
        self, task: str, parent: str | None = None, attempt: int = 0, id_: str = "", **kwargs: Any
    ) -> str:
        id_ = id_ or self.id()
        self.data["trace"].append(
            {"at": self.now, "kind": "start", "system": self.data["system"], "task": task, "id": id_}
            | {"attempt": attempt, "worker": f"worker@{self.port}", "kwargs": kwargs, "parent_id": parent}
            | {"root_id": self.root if self.data["system"] == "celery" else None}
        )
        self.pass_time(0.1)
        return id_

    def end(self, outcome: str = "success", delay: float | None = None, **changes: Any) -> None:
        self.pass_time(0.1)
        started = self.data["trace"][-1] | changes
        self.data["trace"].append(
            started | {"kind": "end", "at": self.now, "outcome": outcome, "delay": delay}
        )
        self.pass_time(0.3)

    def task(self, task: str, parent: str | None = None, **kwargs: Any) -> str:
        id_ = self.start(task, parent, **kwargs)
        self.end()
        return id_


def upload(seed: int, system: str = "celery") -> Data:
    """An uploaded file: processing, consent, Zulip, and a webhook whose first attempt gets a 503."""
    run = Run(seed, "upload", system)
    run.row("room", id=run.room, name="lobby", zulip_stream="notes", created_at=run.iso())
    run.status("uploaded")
    first = run.start(FILE + "task_pipeline_file_process", transcript_id=run.transcript)
    run.status("processing")
    run.request("transcription", "POST", "/transcription/v1/audio/transcriptions", {"language": "en"})
    for number, title in enumerate(("Opening", "Budget")):
        run.request("llm", "POST", "/llm/v1/chat/completions", {"messages": [f"TASK: topics {title}"]})
        topic = run.id()
        words = [{"text": title.lower(), "start": number * 5.0, "end": number * 5.0 + 1}]
        run.row("topic", id=topic, transcript_id=run.transcript, title=title, words=words)
        run.event("TOPIC", {"id": topic, "title": title, "timestamp": number * 5.0})
    run.event("WAVEFORM", {"waveform": [0.1, 0.9, 0.4]})
    run.event("FINAL_TITLE", {"title": "Budget talk"})
    run.status("ended")
    run.row("transcript", id=run.transcript, room_id=run.room, title="Budget talk", status="ended")
    run.data["effects"]["rows"]["transcript"][0].update(
        duration=12_000,
        processing_seconds=round(run.random.random(), 6),
        data_path=f"{run.folder}/data/{run.transcript}",
        created_at=run.iso(),
        expires_at=datetime.fromtimestamp(run.now + 7 * 86400, UTC).isoformat(),
    )
    run.end(id=first)
    second = run.task(LIVE + "task_cleanup_consent", first, transcript_id=run.transcript)
    third = run.start(LIVE + "task_pipeline_post_to_zulip", second, transcript_id=run.transcript)
    link = f"http://localhost:{run.port}/transcripts/{run.transcript}"
    run.request("zulip", "POST", "/zulip/api/v1/messages", {"to": "notes", "content": f"Budget talk {link}"})
    run.row("zulip_message", id=run.id(), transcript_id=run.transcript, message_id=1000 + seed)
    run.request("zulip", "PATCH", f"/zulip/api/v1/messages/{1000 + seed}", {"content": "Budget talk (done)"})
    run.end()
    run.start(FILE + "task_send_webhook_if_needed", third, transcript_id=run.transcript)
    fourth = run.data["trace"][-1]["id"]
    event = run.id()
    run.end()
    webhook = run.id()
    for attempt, status in enumerate((503, 200)):
        run.start(
            WEBHOOK, fourth, attempt, webhook, transcript_id=run.transcript, room_id=run.room, event_id=event
        )
        signature = f"t={int(run.now)},v1={run.random.getrandbits(256):064x}"
        run.request(
            "webhook",
            "POST",
            "/webhooks/lobby",
            {
                "event_id": event,
                "transcript": {"id": run.transcript, "title": "Budget talk"},
                "timestamp": run.iso(),
            },
            status,
            **{
                "X-Webhook-Retry": str(attempt),
                "X-Webhook-Signature": signature,
                "X-Webhook-Event": "completed",
            },
        )
        run.end(*(("retry", RETRY_DELAY) if status == 503 else ("success", None)))
        if status == 503:
            run.now += RETRY_DELAY - 0.3
    for _ in range(3):
        run.task(POLL)
        run.now += 60
    digest = run.random.getrandbits(256)
    run.data["effects"]["objects"] += [
        {"container": "media", "key": f"{run.transcript}/audio.mp3", "size": 48_000, "sha256": "ab" * 32},
        {
            "container": "media",
            "key": f"{run.transcript}/report.json",
            "size": 120,
            "sha256": f"{digest:064x}",
        },
    ]
    run.data["effects"]["files"] += [
        {"container": "data", "key": f"{run.transcript}/waveform.json", "size": 30, "sha256": "cd" * 32}
    ]
    run.data["effects"]["queue_messages"] += [{"queue": "recordings", "body": {"key": "later.wav"}}]
    run.random.shuffle(run.data["effects"]["rows"]["topic"])
    return run.data


def live(seed: int, system: str = "celery") -> Data:
    """The live post-processing: a chord of a chain and the title, then summaries, then Zulip."""
    run = Run(seed, "live", system)
    kwargs = {"transcript_id": run.transcript}
    title_first = bool(seed % 2)

    def title() -> None:
        run.request("llm", "POST", "/llm/v1/chat/completions", {"messages": ["TASK: title"]})
        run.event("FINAL_TITLE", {"title": "Budget talk"})

    def waveform() -> None:
        run.event("WAVEFORM", {"waveform": [0.1, 0.9]})

    one = run.start(LIVE + "task_pipeline_waveform", **kwargs)
    two = run.start(LIVE + "task_pipeline_title", **kwargs)
    for step in (title, waveform) if title_first else (waveform, title):
        step()
    run.end(id=one, task=LIVE + "task_pipeline_waveform")
    three = run.start(LIVE + "task_pipeline_upload_mp3", one, **kwargs)
    run.end(id=two, task=LIVE + "task_pipeline_title")
    run.end(id=three, task=LIVE + "task_pipeline_upload_mp3")
    four = run.start(LIVE + "task_pipeline_final_summaries", three, **kwargs)
    run.request("llm", "POST", "/llm/v1/chat/completions", {"messages": ["TASK: short_summary"]})
    run.event("FINAL_SHORT_SUMMARY", {"short_summary": "Money."})
    run.end(id=four)
    run.start(LIVE + "task_pipeline_post_to_zulip", four, **kwargs)
    run.request("zulip", "POST", "/zulip/api/v1/messages", {"content": f"Money. {run.transcript}"})
    run.end()
    return run.data
