"""What is done to the pipelines, the same on either system: recordings are uploaded, and all follows.

Which system runs them, the live route says. A browser listens to the transcript's events, and another one to
its user's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import httpx

from playbook.checks.driver import Driver
from playbook.lab import Lab, LabError, wait_until
from playbook.lab.audio import generated
from playbook.lab.reflector_env import RECORDING_BUCKET
from playbook.lab.scenarios import api_client, ask, room_settings

LIVE, FILE = "reflector.pipelines.main_live_pipeline.", "reflector.pipelines.main_file_pipeline."
PROCESS, PROCESS_FILE = f"{LIVE}task_pipeline_process", f"{FILE}task_pipeline_file_process"
TITLE, SUMMARIES = f"{LIVE}task_pipeline_title", f"{LIVE}task_pipeline_final_summaries"
DIARIZATION = f"{LIVE}task_pipeline_diarization"
CONSENT, ZULIP = f"{LIVE}task_cleanup_consent", f"{LIVE}task_pipeline_post_to_zulip"
IF_NEEDED = f"{FILE}task_send_webhook_if_needed"
WEBHOOK = "reflector.worker.webhook.send_transcript_webhook"
LIVE_TASKS = (
    PROCESS,
    TITLE,
    f"{LIVE}task_pipeline_waveform",
    f"{LIVE}task_pipeline_convert_to_mp3",
    f"{LIVE}task_pipeline_upload_mp3",
    f"{LIVE}task_pipeline_remove_upload",
    DIARIZATION,
    CONSENT,
    SUMMARIES,
    ZULIP,
)
"""The ten tasks of the live pipeline."""

QUIET = 1.0
"""Seconds without any event after which a pipeline that failed is taken to be over."""

TIMEOUT = 120.0
Mode = Literal["file", "live"]


@dataclass(frozen=True)
class Recording:
    """One recording that is uploaded.

    Attributes:
        name: of the transcript and of its room.
        mode: the pipeline.
        audio: the bytes of the file.
        suffix: of the file's name.
        consent: `denied`: somebody denied the recording, so that the audio is removed. `stuck`: the same, and
            S3 refuses to remove the meeting's recording. None: there was no meeting.
    """

    name: str
    mode: Mode
    audio: bytes = field(repr=False)
    suffix: str = ".wav"
    consent: Literal["denied", "stuck"] | None = None

    def upload(self, lab: Lab, driver: Driver, chunks: int = 3) -> str:
        """Upload it, with browsers that listen; return the transcript's id."""
        with api_client(lab) as api:
            room = ask(api, "POST", "/rooms", json={**room_settings(lab), "name": self.name})
            transcript = self._transcript(lab, api, driver, room["id"])
            lab.listen(f"/v1/transcripts/{transcript}/events", channel=f"transcript {self.name}")
            size = -(-len(self.audio) // chunks)
            for number in range(chunks):
                part = self.audio[number * size : (number + 1) * size]
                ask(
                    api,
                    "POST",
                    f"/transcripts/{transcript}/record/upload",
                    params={"chunk_number": number, "total_chunks": chunks, "mode": self.mode},
                    files={"chunk": (f"{self.name}{self.suffix}", part, "application/octet-stream")},
                )
        return transcript

    def _transcript(self, lab: Lab, api: httpx.Client, driver: Driver, room_id: str) -> str:
        if self.consent is None:
            # A user of this run alone: two labs may share a Redis, and its channels.
            user = uuid4().hex
            lab.listen(f"/v1/events?user_id={user}", channel=f"user {self.name}")
            body = {"name": self.name, "room_id": room_id}
            made = ask(api, "POST", "/transcripts", json=body, headers={"X-User-Id": user})
        else:
            wanted = {"room_id": room_id, "name": self.name, "failing": self.consent == "stuck"}
            made = driver.ask("consent", wanted)
        return str(made["id"])


@dataclass(frozen=True)
class Upload:
    """Recordings that are uploaded, and all that follows.

    Attributes:
        name: under which observations are compared.
        driver: makes meetings.
        recordings: what is uploaded.
        last: the tasks that end each pipeline, and how often each ends for all recordings together.
        fails: whether a task fails, after which nothing else may come.
        faults: what the outside world is told to do wrong, in order.
        again: the recording for which the canvas of the live pipeline is sent once more when all has been
            observed, by a caller who waits for its result.
    """

    name: str
    driver: Driver
    recordings: tuple[Recording, ...]
    last: Mapping[str, int]
    fails: bool = False
    faults: tuple[Mapping[str, Any], ...] = ()
    again: str | None = None

    def __call__(self, lab: Lab) -> None:
        """Run it, and return when all is quiet.

        Raises:
            LabError: it did not come to an end in time.
        """
        for fault in self.faults:
            lab.world.fail(**fault)
        for recording in self.recordings:
            if recording.consent == "denied":
                lab.aws.put(RECORDING_BUCKET, f"{recording.name}/talk.wav", recording.audio)
            recording.upload(lab, self.driver)
        if self.fails:
            # What never comes cannot be waited for: all that can come has, when nothing comes any more.
            if not wait_until(lambda: ended(lab, self.last), TIMEOUT):
                raise LabError(f"{self.name} did not fail as planned; see {lab.logs_dir}")
            lab.wait_quiet(lambda: False, quiet=QUIET)
        else:
            lab.wait_quiet(lambda: ended(lab, self.last), timeout=TIMEOUT)


def ended(lab: Lab, expected: Mapping[str, int]) -> bool:
    """Whether so many tasks of each name have come to their end, retries included."""
    ends = Counter(event.task for event in lab.trace() if event.outcome in ("success", "failure"))
    return all(ends[task] >= count for task, count in expected.items())


def scenarios(driver: Driver, audio: Path) -> tuple[Upload, ...]:
    """Return what is compared, with `audio` as the recording that everybody speaks in."""
    bundled, suffix = audio.read_bytes(), audio.suffix
    stereo = generated.turns(2.0, 3.0, 1.5, rate=44_100, channels=2)
    nobody = generated.silence(4.0)
    return (
        Upload(
            "file",
            driver,
            (Recording("private", "file", bundled, suffix, consent="denied"),),
            {ZULIP: 1, WEBHOOK: 1},
            faults=({"service": "webhooks", "status": 503}, {"service": "webhooks", "drop": True}),
        ),
        Upload(
            "live",
            driver,
            (Recording("planning", "live", bundled, suffix),),
            {ZULIP: 1},
            again="planning",
        ),
        Upload(
            "failing",
            driver,
            (
                Recording("stuck-live", "live", stereo, consent="stuck"),
                Recording("stuck-file", "file", stereo, consent="stuck"),
                Recording("nobody", "file", nobody),
            ),
            {CONSENT: 3, TITLE: 1, PROCESS_FILE: 2, ZULIP: 1},
            fails=True,
            again="stuck-live",
        ),
    )
