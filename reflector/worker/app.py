"""The Celery application and what beat starts when."""

from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import task_postrun

from reflector.logger import logger
from reflector.settings import settings

app = Celery(
    "reflector",
    broker=settings.CELERY_BROKER_URL,
    backend=settings.CELERY_RESULT_BACKEND,
    include=[
        "reflector.pipelines.main_file_pipeline",
        "reflector.pipelines.main_live_pipeline",
        "reflector.worker.cleanup",
        "reflector.worker.healthcheck",
        "reflector.worker.ics_sync",
        "reflector.worker.process",
        "reflector.worker.webhook",
    ],
)
# The API sends tasks from several threads; a current app alone would be known in this one only.
app.set_default()

app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    enable_utc=True,
    broker_connection_retry_on_startup=True,
)

app.conf.beat_schedule = {
    "process_messages": {
        "task": "reflector.worker.process.process_messages",
        "schedule": float(settings.SQS_POLLING_TIMEOUT_SECONDS),
    },
    "process_meetings": {
        "task": "reflector.worker.process.process_meetings",
        "schedule": float(settings.SQS_POLLING_TIMEOUT_SECONDS),
    },
    "reprocess_failed_recordings": {
        "task": "reflector.worker.process.reprocess_failed_recordings",
        "schedule": crontab(hour=5, minute=0),
    },
    "sync_all_ics_calendars": {
        "task": "reflector.worker.ics_sync.sync_all_ics_calendars",
        "schedule": 60.0,
    },
    "create_upcoming_meetings": {
        "task": "reflector.worker.ics_sync.create_upcoming_meetings",
        "schedule": 30.0,
    },
}

if settings.PUBLIC_MODE:
    app.conf.beat_schedule["cleanup_old_public_data"] = {
        "task": "reflector.worker.cleanup.cleanup_old_public_data_task",
        "schedule": crontab(hour=3, minute=0),
    }

if settings.HEALTHCHECK_URL:
    app.conf.beat_schedule["healthcheck_ping"] = {
        "task": "reflector.worker.healthcheck.healthcheck_ping",
        "schedule": 60.0 * 10,
    }


@task_postrun.connect
def log_outcome(sender: Any, task_id: str, state: str | None, **_: Any) -> None:
    """Leave one line in the log for each attempt of a task."""
    logger.info("Task done", task=sender.name, task_id=task_id, state=state)
