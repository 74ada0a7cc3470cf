"""The Celery application, the schedule, and the small tasks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import Celery
from celery.schedules import crontab

from reflector.db import Session
from reflector.db.base import utcnow
from reflector.db.recordings import recordings_controller
from reflector.db.transcripts import transcripts_controller
from reflector.settings import settings
from reflector.worker.app import app
from reflector.worker.cleanup import cleanup_old_public_data_task
from reflector.worker.healthcheck import healthcheck_ping
from tests.reflector.audio import write_tone
from tests.reflector.aws import Aws
from tests.reflector.environment import WORLD_URL
from tests.reflector.world import World


def entries_with(**environment: str) -> dict[str, str]:
    """Names and tasks of the beat entries in a process with these variables."""
    script = (
        "import json; from reflector.worker.app import app;"
        "print(json.dumps({name: e['task'] for name, e in app.conf.beat_schedule.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_every_entry_of_the_schedule_names_a_task() -> None:
    app.loader.import_default_modules()
    entries = entries_with(PUBLIC_MODE="true", HEALTHCHECK_URL="http://monitor")
    assert len(entries) == 7
    assert set(entries.values()) <= set(app.tasks)


def test_some_entries_depend_on_settings() -> None:
    assert set(entries_with(PUBLIC_MODE="false", HEALTHCHECK_URL="")) == {
        "process_messages",
        "process_meetings",
        "reprocess_failed_recordings",
        "sync_all_ics_calendars",
        "create_upcoming_meetings",
    }


def test_schedules() -> None:
    schedule = app.conf.beat_schedule
    assert schedule["process_messages"]["schedule"] == float(settings.SQS_POLLING_TIMEOUT_SECONDS)
    assert schedule["reprocess_failed_recordings"]["schedule"] == crontab(hour=5, minute=0)


def test_there_are_22_tasks_and_only_json_is_accepted() -> None:
    app.loader.import_default_modules()
    assert len([name for name in app.tasks if name.startswith("reflector.")]) == 22
    assert app.conf.accept_content == ["json"]


@pytest.mark.usefixtures("celery_session_worker")
class TestHealthcheck:
    """The ping."""

    @pytest.fixture(autouse=True)
    def url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "HEALTHCHECK_URL", f"{WORLD_URL}/health-ping/x")

    async def test_pings(self, world: World) -> None:
        assert healthcheck_ping.delay().get(timeout=30) == {"status": "healthy", "code": 200}
        assert [request.method for request in world.sent_to("health-ping")] == ["GET"]

    async def test_tells_an_unhappy_monitor(self, world: World) -> None:
        world.fail("health-ping", 500)
        assert healthcheck_ping.delay().get(timeout=30) == {"status": "unhealthy", "code": 500}

    async def test_survives_a_monitor_that_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "HEALTHCHECK_URL", "http://127.0.0.1:1/")
        assert healthcheck_ping.delay().get(timeout=30) == {"status": "unhealthy", "code": None}

    async def test_does_nothing_without_a_monitor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "HEALTHCHECK_URL", None)
        assert healthcheck_ping.delay().get(timeout=30) == {"status": "skipped", "code": None}


@pytest.mark.usefixtures("celery_session_worker", "data_dir")
class TestCleanup:
    """Old public data."""

    @pytest.fixture
    def fast_retries(self, celery_session_app: Celery) -> Iterator[None]:
        """Retries at once in place of five minutes."""
        task = celery_session_app.tasks[cleanup_old_public_data_task.name]
        before = dict(task.retry_kwargs)
        task.retry_kwargs["countdown"] = 0.01
        yield
        task.retry_kwargs.update(before)

    async def add_old(self, session: Session, **values: object) -> str:
        transcript = await transcripts_controller.add(
            session, name="", created_at=utcnow() - timedelta(days=8), **values
        )
        await session.commit()
        write_tone(transcript.data_path / "upload.wav")
        return transcript.id

    async def test_removes_old_anonymous_transcripts_with_everything(
        self, db_session: Session, aws: Aws
    ) -> None:
        recording = await recordings_controller.add(
            db_session, bucket_name="recordings", object_key="m/1.wav"
        )
        aws.s3.put_object(Bucket="recordings", Key="m/1.wav", Body=b"audio")
        old = await self.add_old(db_session, recording_id=recording.id, audio_location="storage")
        aws.s3.put_object(Bucket="transcripts", Key=f"{old}/audio.mp3", Body=b"audio")
        owned = await self.add_old(db_session, user_id="ann")
        plain = await self.add_old(db_session)

        result = cleanup_old_public_data_task.delay()

        assert result.get(timeout=30) == {"transcripts_deleted": 2, "recordings_deleted": 1}
        assert aws.keys("recordings") == aws.keys("transcripts") == []
        assert [path.name for path in settings.DATA_DIR.iterdir()] == [owned]
        await db_session.commit()
        db_session.expire_all()
        for transcript_id in (old, plain):
            assert await transcripts_controller.get_by_id(db_session, transcript_id) is None
        assert await recordings_controller.get_by_object_key(db_session, "recordings", "m/1.wav") is None

    async def test_the_age_can_be_given(self, db_session: Session) -> None:
        await self.add_old(db_session)
        removed = {"transcripts_deleted": 1, "recordings_deleted": 0}
        nothing = {"transcripts_deleted": 0, "recordings_deleted": 0}
        assert cleanup_old_public_data_task.delay(days=9).get(timeout=30) == nothing
        assert cleanup_old_public_data_task.delay(8).get(timeout=30) == removed

    @pytest.mark.usefixtures("fast_retries")
    async def test_one_that_cannot_be_removed_is_tried_again_and_saves_no_other(
        self, db_session: Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stuck = await self.add_old(db_session, audio_location="storage")
        await self.add_old(db_session)
        monkeypatch.setattr(settings, "TRANSCRIPT_STORAGE_BUCKET", "missing-bucket")

        result = cleanup_old_public_data_task.delay()
        with pytest.raises(Exception, match="1 of 1 transcripts were not removed"):
            result.get(timeout=30)

        await db_session.commit()
        left = await transcripts_controller.get_all(db_session)
        assert [transcript.id for transcript in left] == [stuck]

    def test_retries_are_configured_as_promised(self) -> None:
        assert cleanup_old_public_data_task.retry_kwargs == {"max_retries": 3, "countdown": 300}
