"""A Celery application in dual mode with a schedule, for the tests of the scheduler.

Its schedule comes from the environment: SCHEDULE is JSON, entry -> seconds or fields of a crontab.
"""

import json
import os
import time
from typing import Any

from celery import Celery
from celery.schedules import crontab as celery_crontab
from celery.signals import before_task_publish
from redis import Redis

from playbook.scaffold.worker import beat_schedule, schedule_routes
from playbook.scaffold.worker.broker import broker
from playbook.scaffold.worker.crontab import crontab
from playbook.scaffold.worker.twins import twin

__all__ = ("schedule_routes",)

LOG = "tests:log"
URL = os.environ["CELERY_BROKER_URL"]
redis = Redis.from_url(URL, decode_responses=True)
given: dict[str, Any] = json.loads(os.environ.get("SCHEDULE", "{}"))

app = Celery("scheduled", broker=URL, backend=URL)
app.set_default()
app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"], timezone="UTC")
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
app.conf.result_expires = None
app.conf.beat_schedule = {
    name: {
        "task": "schedule_app.run",
        "schedule": when if isinstance(when, (int, float)) else celery_crontab(**when),
        "args": [name],
        "options": {"serializer": "none such"} if "BAD_OPTIONS" in os.environ else {},
    }
    for name, when in given.items()
}
if "PLAIN_BEAT" not in os.environ:
    app.conf.beat_scheduler = "playbook.scaffold.worker.beat:SharedScheduler"

beat_schedule.beat_schedule.update(
    {
        name: {
            "task": "schedule_app.run",
            "schedule": when if isinstance(when, (int, float)) else crontab(**when),
            "args": [name],
        }
        for name, when in given.items()
    }
)
if "OTHER_SCHEDULE" in os.environ:
    app.conf.beat_schedule["half"]["schedule"] = 5.0
if "DEADLINE" in os.environ:
    beat_schedule.starting_deadline = float(os.environ["DEADLINE"])


@before_task_publish.connect
def stamp(headers: dict[str, Any], **_: Any) -> None:
    """Say in the message when Celery sent it; TaskIQ's messages have the time in their id."""
    headers["sent_at"] = time.time()


@app.task(expires=3600, queue="celery")
def run(name: str) -> None:
    redis.rpush(LOG, name)


run_taskiq = twin(run, "schedule_app.run")


@broker.task("schedule_app.labelled", schedule=[{"interval": 1, "args": ["labelled"]}])
async def labelled(name: str) -> None:
    redis.rpush(LOG, name)
