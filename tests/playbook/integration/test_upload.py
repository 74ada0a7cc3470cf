"""The bundled application on Celery, from the uploaded recording to the last notification."""

import hashlib
import hmac
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from playbook.lab import Lab, scenarios
from playbook.lab.reflector_env import TRANSCRIPT_BUCKET
from playbook.lab.surroundings import PLAYBOOK_ROOT
from playbook.models import Observation, Request

# Every day notebook 01 uploads as well, in its check `upload`.
pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("workspace")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PLAYBOOK_ROOT / "reflector", workspace / "reflector", ignore=ignored)
    return workspace


@pytest.fixture(scope="module")
def lab(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(workspace, tmp_path_factory.mktemp("run")) as lab:
        lab.api()
        lab.celery_worker()
        yield lab


@pytest.fixture(scope="module")
def uploaded(lab: Lab) -> Observation:
    return lab.observe(scenarios.upload(), "A", "celery")


@pytest.fixture(scope="module")
def live(lab: Lab) -> Observation:
    return lab.observe(scenarios.live(), "A", "celery")


def only(observation: Observation, service: str) -> Request:
    (request,) = [request for request in observation.effects.requests if request.service == service]
    return request


def messages(observation: Observation, event: str) -> list[object]:
    return [
        message.data["data"] for message in observation.effects.messages if message.data["event"] == event
    ]


def names(observation: Observation) -> list[str]:
    return [event.task.rsplit(".", 1)[1] for event in observation.trace if event.kind == "start"]


def test_the_database_says_ended_with_topics_words_and_summaries(uploaded: Observation):
    rows = uploaded.effects.rows
    (transcript,) = rows["transcript"]
    assert transcript["status"] == "ended"
    assert transcript["title"]
    assert transcript["short_summary"]
    assert transcript["long_summary"]
    assert 15_000 <= transcript["duration"] <= 25_000
    words = [word for topic in rows["transcript_topic"] for word in topic["words"]]
    assert len(words) > 20
    assert {word["speaker"] for word in words} == {0, 1}


def test_the_browser_hears_of_everything_in_order(uploaded: Observation):
    assert messages(uploaded, "STATUS") == [
        {"value": "uploaded"},
        {"value": "processing"},
        {"value": "ended"},
    ]
    events = [message.data["event"] for message in uploaded.effects.messages]
    assert {"DURATION", "WAVEFORM", "TRANSCRIPT", "TOPIC", "FINAL_TITLE", "FINAL_SHORT_SUMMARY"} <= set(
        events
    )
    assert events.index("TRANSCRIPT") < events.index("TOPIC") < events.index("FINAL_TITLE")
    stored = [(row["event"], row["data"]) for row in uploaded.effects.rows["transcript_event"]]
    sent = [(message.data["event"], message.data["data"]) for message in uploaded.effects.messages]
    assert sorted(map(str, sent)) == sorted(map(str, stored))


def test_the_chat_is_told_with_the_title(uploaded: Observation):
    post = only(uploaded, "zulip")
    (transcript,) = uploaded.effects.rows["transcript"]
    assert (post.body["to"], post.body["topic"]) == ("meetings", "planning")
    assert transcript["title"] in post.body["content"]
    assert transcript["zulip_message_id"] is not None


def test_the_webhook_is_signed_and_comes_last(uploaded: Observation):
    hook = only(uploaded, "webhooks")
    assert hook.path == "/webhooks/planning"
    assert uploaded.effects.requests[-1] == hook
    assert hook.headers["x-webhook-retry"] == "0"
    at, digest = (part.split("=", 1)[1] for part in hook.headers["x-webhook-signature"].split(","))
    secret = scenarios.WEBHOOK_SECRET.encode()
    candidates = [json.dumps(hook.body), json.dumps(hook.body, separators=(",", ":"))]
    digests = [hmac.new(secret, f"{at}.{body}".encode(), hashlib.sha256).hexdigest() for body in candidates]
    assert digest in digests


def test_the_audio_is_in_s3_as_mp3(uploaded: Observation):
    (stored,) = uploaded.effects.objects
    assert stored.container == TRANSCRIPT_BUCKET
    assert stored.key.endswith("audio.mp3")
    assert stored.size > 10_000


def test_the_tasks_ran_in_the_order_of_the_chain(uploaded: Observation):
    assert names(uploaded) == [
        "task_pipeline_file_process",
        "task_cleanup_consent",
        "task_pipeline_post_to_zulip",
        "task_send_webhook_if_needed",
        "send_transcript_webhook",
    ]
    assert {event.outcome for event in uploaded.trace if event.kind == "end"} == {"success"}
    chain = [event for event in uploaded.trace if event.task.rsplit(".", 1)[1] in names(uploaded)[1:4]]
    assert [event.kind for event in chain] == ["start", "end"] * 3


def test_no_credential_is_recorded(uploaded: Observation, lab: Lab):
    text = uploaded.model_dump_json()
    assert "Bearer" not in text
    assert "Basic " not in text


def test_the_live_pipeline_runs_its_ten_tasks_behind_the_barrier(live: Observation):
    assert live.effects.rows["transcript"][0]["status"] == "ended"
    started = names(live)
    assert sorted(started) == sorted(
        [
            "task_pipeline_process",
            "task_pipeline_waveform",
            "task_pipeline_convert_to_mp3",
            "task_pipeline_upload_mp3",
            "task_pipeline_remove_upload",
            "task_pipeline_diarization",
            "task_cleanup_consent",
            "task_pipeline_title",
            "task_pipeline_final_summaries",
            "task_pipeline_post_to_zulip",
        ]
    )
    assert started[-2:] == ["task_pipeline_final_summaries", "task_pipeline_post_to_zulip"]
    assert [event.kind for event in live.trace[-4:]] == ["start", "end"] * 2
    assert only(live, "zulip").status == 200


def test_on_postgresql_the_same_tasks_run_and_the_same_is_left(
    workspace: Path, uploaded: Observation, tmp_path: Path
):
    with Lab(workspace, tmp_path, database_url="postgres") as lab:
        lab.api()
        lab.celery_worker()
        observation = lab.observe(scenarios.upload(), "A", "celery")
    assert names(observation) == names(uploaded)
    assert kinds(observation) == kinds(uploaded)


def kinds(observation: Observation) -> dict[str, object]:
    """What an observation holds, without values."""
    effects = observation.effects
    return {
        "rows": {table: len(rows) for table, rows in effects.rows.items()},
        "requests": sorted(request.path for request in effects.requests),
        "messages": sorted(message.data["event"] for message in effects.messages),
        "objects": [stored.container for stored in effects.objects],
    }
