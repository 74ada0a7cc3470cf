"""Twins: a Celery task's function, registered on TaskIQ under the same name (dual mode; cutover deletes
this).

Invariant: the Celery task stays as it was. A twin looks at it for the first time when TaskIQ wants to run
it, and TaskIQ gets a function object of its own.
"""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

from celery import current_task as celery_task
from celery import exceptions as celery_exceptions
from taskiq.decor import AsyncTaskiqDecoratedTask

from . import context
from .broker import broker
from .context import current_task
from .errors import Ignore, Reject
from .executors import place
from .middleware import MEANINGS
from .processes import Limits
from .retries import RetryPolicy
from .signals import CelerySignals
from .wire import on_the_wire

logger = logging.getLogger(__name__)

broker.add_middlewares(CelerySignals())
MEANINGS[celery_exceptions.Ignore] = lambda error: Ignore()
MEANINGS[celery_exceptions.Reject] = lambda error: Reject(error.reason, error.requeue)
# A task that runs on Celery finds itself in `current_task` as well.
context.fallback = celery_task._get_current_object  # type: ignore[attr-defined]


class Twin(AsyncTaskiqDecoratedTask[..., Any]):
    """A TaskIQ task that takes its function from a Celery task, when it is first needed.

    Looking at a `shared_task` makes Celery finalize the current app and freeze options from its configuration
    (celery/app/__init__.py, `shared_task`; celery/app/task.py, `Task.bind`). At import that would be too
    early: the application may not have configured its app yet.
    """

    def __init__(self, celery_task: Any, task_name: str, executor: str | None = None) -> None:
        # The parent's __init__ is not called: it renames the function it is given (taskiq/decor.py), and
        # Celery, which names a task after its function, would register the task under another name.
        self.broker = broker
        self.task_name = task_name
        self.labels = {}
        self.return_type = None
        self.celery_task = celery_task
        self._executor = executor

    @functools.cached_property
    def original_func(self) -> Callable[..., Any]:  # type: ignore[override]
        """The function that TaskIQ runs."""
        task = self.celery_task
        # Where Celery retries by itself it has replaced `run` (celery/app/autoretry.py).
        run: Any = getattr(task, "_orig_run", task.run)
        first = (current_task,) if inspect.ismethod(run) else ()
        function: Callable[..., Any] = run.__func__ if first else run
        limits = Limits(task.soft_time_limit, task.time_limit, celery_exceptions.SoftTimeLimitExceeded)
        if not limits and (task.app.conf.task_time_limit or task.app.conf.task_soft_time_limit):
            logger.warning("task %s: only Celery keeps the time limits of all tasks", self.task_name)
        # A child process runs what Celery's child process runs, loop bridge included.
        return place(
            native(function, *first),
            self.task_name,
            self._executor,
            limits,
            child=on_the_wire(function, *first),
        )

    @functools.cached_property
    def retry_policy(self) -> RetryPolicy:
        """The Celery task's retry options."""
        return RetryPolicy.of(self.celery_task)


def twin(celery_task: Any, name: str, executor: str | None = None) -> Twin:
    """Register the twin of a Celery task.

    Args:
        celery_task: the object that `shared_task` or `app.task` returned. Not touched here.
        name: the name under which Celery knows the task.
        executor: `process` or `thread`; None: a process if the task has time limits (`executors`).
    """
    result = Twin(celery_task, name, executor)
    broker.local_task_registry[name] = result
    return result


def native(function: Callable[..., Any], *first: Any) -> Callable[..., Any]:
    """Return a new function that does what `function` does, for TaskIQ.

    A synchronous function that wraps a coroutine function is a loop bridge: TaskIQ runs the coroutine on
    its own loop instead.

    Args:
        function: the function.
        first: arguments that it gets before those of the message, such as `self`.
    """
    inner: Any = getattr(function, "__wrapped__", None)
    bridged = inspect.iscoroutinefunction(inner)
    return on_the_wire(inner if bridged else function, *first)
