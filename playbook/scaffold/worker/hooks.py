"""Functions that are called around each attempt of a task.

    @task_postrun.connect
    def log_outcome(sender, task_id, state, **_): ...

    @task_failure.connect(sender=rename)
    def tell(exception, **_): ...

Handlers get keyword arguments, those of Celery's signals of the same names (celery/signals.py,
celery/app/trace.py); `sender` is the task, `einfo` and `traceback` are None. They are called on the worker's
loop, so they must be quick.

Invariant: a handler that fails is logged, and changes nothing for the task or for other handlers.
"""

import logging
from collections.abc import Callable
from typing import Any

from taskiq import NoResultError, TaskiqMessage, TaskiqMiddleware, TaskiqResult

from .broker import broker
from .running import running
from .sent import FAILURE, SUCCESS

logger = logging.getLogger(__name__)

Handler = Callable[..., Any]
RETRY = "RETRY"


class Hook:
    """A moment in the life of a task, and the functions that are called then."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._handlers: list[tuple[Handler, Any]] = []

    def connect(self, handler: Handler | None = None, sender: Any = None) -> Any:
        """Call `handler` from now on; a decorator, with or without `sender`.

        Args:
            handler: takes keyword arguments.
            sender: the task that it is for; None: all.
        """
        if handler is None:
            return lambda decorated: self.connect(decorated, sender)
        self._handlers.append((handler, sender))
        return handler

    def disconnect(self, handler: Handler) -> None:
        """Call `handler` no more."""
        self._handlers = [pair for pair in self._handlers if pair[0] is not handler]

    def send(self, sender: Any, **given: Any) -> None:
        """Call the handlers for a task."""
        for handler, wanted in self._handlers:
            if wanted is None or wanted is sender:
                try:
                    handler(signal=self, sender=sender, **given)
                except Exception:
                    logger.exception("a handler of %s has failed: %r", self.name, handler)


task_prerun = Hook("task_prerun")
task_postrun = Hook("task_postrun")
task_success = Hook("task_success")
task_failure = Hook("task_failure")
task_retry = Hook("task_retry")


class HooksMiddleware(TaskiqMiddleware):
    """Calls the handlers around each attempt."""

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Say that a task begins."""
        task = self.broker.find_task(message.task_name)
        task_prerun.send(task, task=task, **_call(message))
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Say that it has ended, and how."""
        task = self.broker.find_task(message.task_name)
        error, call = result.error, _call(message)
        state = SUCCESS
        if error is None:
            task_success.send(task, result=result.return_value, runtime=result.execution_time)
        elif isinstance(error, NoResultError):
            state, here = RETRY, running.get()
            task_retry.send(task, request=here and here.request, reason=error, einfo=None)
        else:
            state = FAILURE
            task_failure.send(task, exception=error, traceback=None, einfo=None, **call)
        value = result.return_value if error is None else error
        task_postrun.send(task, task=task, retval=value, state=state, **call)


def _call(message: TaskiqMessage) -> dict[str, Any]:
    return {"task_id": message.task_id, "args": tuple(message.args), "kwargs": message.kwargs}


broker.add_middlewares(HooksMiddleware())
