"""Celery: its application with the oracle's tasks, and a client that waits for results as callers do.

Workers are started with `celery -A playbook.oracle.celery_side worker`.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, chain, chord, current_task, group, signals
from celery.exceptions import Ignore, Reject, TimeoutError
from celery.result import AsyncResult, GroupResult, ResultBase
from redis import Redis

from playbook.oracle import events
from playbook.oracle.bodies import NAMES, OPTIONS, Tasks
from playbook.oracle.system import REDIS_VARIABLE, TASK_MODULE, StillWaitingError, TaskSide
from playbook.oracle.tags import bind

URL = os.environ[REDIS_VARIABLE]

app = Celery("oracle", broker=URL, backend=URL)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
redis: Redis = Redis.from_url(URL, decode_responses=True)


class CeleryTasks:
    """Celery's half of `TaskSide`."""

    current: Any = current_task
    chain: Any = chain
    group: Any = group
    chord: Any = chord
    ignore: Any = Ignore
    reject: Any = Reject

    def task(self, name: str) -> Any:
        return app.tasks[f"{TASK_MODULE}.{name}"]

    def start(self, canvas: Any) -> None:
        canvas.delay()


class CeleryClient:
    """Celery's half of `ClientSide`. Backends are per thread: a handle stays in the one that made it."""

    def __init__(self) -> None:
        self.tasks: TaskSide = side

    def apply(self, canvas: Any, call: dict[str, Any]) -> Any:
        return canvas.apply_async(call.get("args"), call.get("kwargs"), **call.get("options", {}))

    def result(self, handle: Any, timeout: float) -> Any:
        try:
            return handle.get(timeout=timeout)
        except TimeoutError:
            raise StillWaitingError from None

    def ids(self, handle: Any) -> list[str]:
        return sorted(_ids(handle))

    def idle(self) -> bool:
        return not redis.llen("celery") and not redis.hlen("unacked")


def _ids(result: ResultBase | None) -> set[str]:
    if result is None:
        return set()
    members = (result.results or []) if isinstance(result, GroupResult) else []
    own = {str(result.id)} if isinstance(result, AsyncResult) else set()
    return own.union(_ids(result.parent), *map(_ids, members))


side = CeleryTasks()
_tasks = Tasks(side, redis)
for _name in sorted(NAMES):
    _register: Any = app.task(name=f"{TASK_MODULE}.{_name}", **OPTIONS.get(_name, {}))
    _register(bind(getattr(_tasks, _name), _tasks.note_error))


@signals.task_prerun.connect(weak=False)
def _started(task: Any = None, task_id: str = "", args: Any = (), kwargs: Any = None, **_: Any) -> None:
    events.started(redis, task.name, task_id, task.request, args, kwargs or {})


@signals.task_postrun.connect(weak=False)
def _ended(**_: Any) -> None:
    events.ended(redis)
