"""Celery's task signals for tasks on TaskIQ (dual mode; cutover deletes this).

Invariant: a handler of `task_prerun`, `task_postrun`, `task_success`, `task_failure` or `task_retry` hears
of a twin what it hears of the Celery task (celery/signals.py, celery/app/trace.py), which is the sender. It
is called on the worker's loop; `einfo` and `traceback` are None. Other signals are Celery's alone.
"""

from typing import Any

from celery import signals, states
from taskiq import NoResultError, TaskiqMessage, TaskiqMiddleware, TaskiqResult

from .running import running


class CelerySignals(TaskiqMiddleware):
    """Sends Celery's signals around each attempt of a twin."""

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Say that a task begins."""
        if (task := self._task(message)) is not None:
            signals.task_prerun.send(sender=task, task=task, **_call(message))
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Say that it has ended, and how."""
        if (task := self._task(message)) is None:
            return
        error, call = result.error, _call(message)
        state: str = states.SUCCESS
        if error is None:
            signals.task_success.send(sender=task, result=result.return_value, runtime=result.execution_time)
        elif isinstance(error, NoResultError):
            state = states.RETRY
            here = running.get()
            signals.task_retry.send(sender=task, request=here and here.request, reason=error, einfo=None)
        else:
            state = states.FAILURE
            signals.task_failure.send(sender=task, exception=error, traceback=None, einfo=None, **call)
        value = result.return_value if error is None else error
        signals.task_postrun.send(sender=task, task=task, retval=value, state=state, **call)

    def _task(self, message: TaskiqMessage) -> Any:
        """The Celery task that a message's task is the twin of; None for other tasks."""
        return getattr(self.broker.find_task(message.task_name), "celery_task", None)


def _call(message: TaskiqMessage) -> dict[str, Any]:
    return {"task_id": message.task_id, "args": tuple(message.args), "kwargs": message.kwargs}
