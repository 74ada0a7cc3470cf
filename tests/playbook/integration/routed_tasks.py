"""A Celery application in dual mode, for the tests of routing. What ran where goes to a list in Redis."""

import os
import time
from typing import Any

from celery import Celery
from redis import Redis

from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.routing import dispatch, dispatch_sync
from playbook.scaffold.worker.twins import twin

LOG = "tests:log"
URL = os.environ["CELERY_BROKER_URL"]
redis = Redis.from_url(URL, decode_responses=True)

app = Celery("routed", broker=URL, backend=URL)
app.set_default()
app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


def note(what: object) -> None:
    """Append `what` and the time (s) to the log."""
    redis.rpush(LOG, f"{what} {time.time()}")


def system() -> str:
    """Where this runs: a TaskIQ worker is named by its broker, a Celery worker `celery@...`."""
    return "celery" if "@" in str(current_task.request.hostname) else "taskiq"


@app.task
def work(what: str, again: int = 0, seconds: float = 0) -> list[Any]:
    note(f"{system()}:{what}")
    time.sleep(seconds)
    return [what, system(), again]


work_taskiq = twin(work, "routed_tasks.work")


@app.task
def untwinned(what: str) -> str:
    note(f"{system()}:{what}")
    return what


@app.task
def fail(message: str) -> None:
    raise ValueError(message)


fail_taskiq = twin(fail, "routed_tasks.fail")


@app.task(bind=True, max_retries=2, default_retry_delay=0.1)
def bound(self: Any, what: str) -> list[Any]:
    note(f"{system()}:{what}:{self.request.retries}")
    if self.request.retries < 1:
        raise self.retry(exc=ValueError("again"))
    return [self.name, self.request.id, current_task.request.retries, bool(current_task)]


bound_taskiq = twin(bound, "routed_tasks.bound")


@app.task
def parent(children: int) -> list[str]:
    """Sends from a worker: Celery's child process, or a thread of TaskIQ's."""
    return [dispatch_sync(lineage).id for _ in range(children)]


parent_taskiq = twin(parent, "routed_tasks.parent")


@app.task
def lineage() -> list[Any]:
    return [system(), current_task.request.root_id, current_task.request.parent_id]


lineage_taskiq = twin(lineage, "routed_tasks.lineage")


@app.task
def waits() -> Any:
    """Waits for a task in a task, which Celery refuses."""
    return dispatch_sync(work, "inner").get(timeout=5)


waits_taskiq = twin(waits, "routed_tasks.waits")

__all__ = ("dispatch",)
