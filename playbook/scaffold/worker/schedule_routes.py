"""Slots go to the system that the flags name (dual mode; cutover deletes this).

Importing it makes both schedulers ask: the claim of a slot reads the live routes in Redis in the same step
(`schedule_store`). What stands in the environment counts where Redis says nothing; give all schedulers, beat
included, the same.
"""

from typing import Any

from ..settings import settings
from . import scheduler_loop
from .flags import ALL, Routes
from .scheduler_loop import own_labels

_environment = Routes.of({ALL: settings.TASKIQ_ROUTE, **settings.TASKIQ_ROUTES})


def taskiq_share(task: str) -> int:
    """Return TaskIQ's percentage of a task's slots, by the environment."""
    return _environment.share(task) or 0


def task_labels(task: Any) -> dict[str, Any]:
    """Return the labels of a task's messages; a twin's are the options of its Celery task."""
    celery_task = getattr(task, "celery_task", None)
    if celery_task is None:
        return own_labels(task)
    own = {name: getattr(celery_task, name, None) for name in ("queue", "routing_key", "exchange")}
    given = {name: value for name, value in own.items() if value is not None}
    app = celery_task.app
    routed = app.amqp.router.route(given, celery_task.name, (), {}, celery_task).get("queue")
    queue = getattr(routed, "name", routed)
    labels = {
        "queue_name": None if queue == app.conf.task_default_queue else queue,
        "expires": getattr(celery_task, "expires", None),
    }
    return {name: value for name, value in labels.items() if value is not None}


scheduler_loop.taskiq_share = taskiq_share
scheduler_loop.task_labels = task_labels
