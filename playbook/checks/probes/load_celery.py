"""The load on Celery, configured as the application configures it (`reflector/worker/app.py`)."""

import os
import time
from typing import Any

from celery import Celery, chord

from playbook.checks.probes import load_work
from reflector.asynctask import asynctask

RESULT = "celery-task-meta-"
app = Celery(
    "load",
    broker=os.environ["CELERY_BROKER_URL"],
    backend=os.environ["CELERY_BROKER_URL"],
    set_as_current=False,
)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    enable_utc=True,
    broker_connection_retry_on_startup=True,
)
FUNCTIONS = {
    "noop": load_work.noop,
    "cpu": load_work.cpu,
    "io_sync": load_work.io_sync,
    "io_async": asynctask(load_work.io_async),
    "body": load_work.body,
}
tasks = {name: app.task(name=name, shared=False)(function) for name, function in FUNCTIONS.items()}


async def send(kind: str) -> str:
    """Send a task; return its id."""
    return str(tasks[kind].delay(time.time()).id)


async def send_later(kind: str, delay: float) -> str:
    """Send a task that is due in `delay` seconds."""
    return str(tasks[kind].apply_async((time.time() + delay,), countdown=delay).id)


async def fan_in(size: int, waiting: bool = True) -> Any:
    """Run a chord; return what its body returns. Without `waiting`, only send it."""
    sent = time.time()
    header = [tasks["noop"].s(sent) for _ in range(size)]
    result = chord(header, tasks["body"].s()).apply_async()
    return result.get(timeout=300) if waiting else None
