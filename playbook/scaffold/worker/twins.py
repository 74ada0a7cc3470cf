"""Twins: a Celery task's function, registered on TaskIQ under the same name (dual mode; cutover deletes
this).

Invariant: the Celery task stays as it was. A twin looks at it for the first time when TaskIQ wants to run
it, and TaskIQ gets a function object of its own.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from taskiq.decor import AsyncTaskiqDecoratedTask

from .broker import broker
from .wire import on_the_wire


class Twin(AsyncTaskiqDecoratedTask[..., Any]):
    """A TaskIQ task that takes its function from a Celery task, when it is first needed.

    Looking at a `shared_task` makes Celery finalize the current app and freeze options from its configuration
    (celery/app/__init__.py, `shared_task`; celery/app/task.py, `Task.bind`). At import that would be too
    early: the application may not have configured its app yet.
    """

    def __init__(self, celery_task: Any, task_name: str) -> None:
        # The parent's __init__ is not called: it renames the function it is given (taskiq/decor.py), and
        # Celery, which names a task after its function, would register the task under another name.
        self.broker = broker
        self.task_name = task_name
        self.labels = {}
        self.return_type = None
        self._celery_task = celery_task

    @functools.cached_property
    def original_func(self) -> Callable[..., Any]:  # type: ignore[override]
        """The function that TaskIQ runs."""
        return native(self._celery_task.run)


def twin(celery_task: Any, name: str) -> Twin:
    """Register the twin of a Celery task.

    Args:
        celery_task: the object that `shared_task` or `app.task` returned. Not touched here.
        name: the name under which Celery knows the task.
    """
    result = Twin(celery_task, name)
    broker.local_task_registry[name] = result
    return result


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a new function that does what `function` does, for TaskIQ.

    A synchronous function that wraps a coroutine function is a loop bridge: TaskIQ runs the coroutine on
    its own loop instead.
    """
    inner = getattr(function, "__wrapped__", None)
    return on_the_wire(inner if inner is not None and inspect.iscoroutinefunction(inner) else function)
