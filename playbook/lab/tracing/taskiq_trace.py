"""Trace a TaskIQ worker: name this module on the command line of `taskiq worker`, after the broker.

Adds a middleware to the broker that the environment variable PLAYBOOK_TRACE_BROKER names
(`module:attribute`). From a message's labels are read: `_retries` (attempts before this one, as TaskIQ's own
retry middlewares set it), `root_id`, `parent_id` (the workflow that the task belongs to) and `retry_delay`
(seconds until the next attempt, set by whoever schedules it). An attempt whose result is replaced by
`NoResultError` was sent again: a retry (taskiq/middlewares/simple_retry_middleware.py).
"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from typing import Any, Literal

from taskiq import AsyncBroker, NoResultError, TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.cli.utils import import_object

from playbook.lab.tracing.trace_file import plain, worker_name, write_event
from playbook.models import TaskEvent

BROKER_VARIABLE = "PLAYBOOK_TRACE_BROKER"


# Of the attempt that this coroutine runs; a retry middleware changes the labels before it has ended.
_attempt: ContextVar[int] = ContextVar("attempt")
_error: ContextVar[str | None] = ContextVar("error")


class TraceMiddleware(TaskiqMiddleware):
    """Writes one event when an attempt starts and one when it ends."""

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Write the start."""
        _attempt.set(int(message.labels.get("_retries", 0)))
        _error.set(None)
        write_event(_event("start", message, args=plain(message.args), kwargs=plain(message.kwargs)))
        return message

    def on_error(self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException) -> None:
        """Remember the error: a retry replaces it in the result. One that is asked for names its reason."""
        _error.set(repr(getattr(exception, "exc", None) or exception))

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Write the end."""
        outcome: Literal["success", "failure", "retry"] = "failure" if result.is_err else "success"
        delay = None
        if isinstance(result.error, NoResultError):
            outcome = "retry"
            delay = message.labels.get("retry_delay")
        write_event(_event("end", message, outcome=outcome, error=_error.get(), delay=delay))


def _event(kind: Literal["start", "end"], message: TaskiqMessage, **fields: Any) -> TaskEvent:
    labels = message.labels
    return TaskEvent(
        at=time.time(),
        kind=kind,
        system="taskiq",
        task=message.task_name,
        id=message.task_id,
        attempt=_attempt.get(),
        worker=worker_name(),
        root_id=labels.get("root_id"),
        parent_id=labels.get("parent_id"),
        **fields,
    )


def install() -> None:
    """Add the middleware to the broker named by PLAYBOOK_TRACE_BROKER."""
    broker = import_object(os.environ[BROKER_VARIABLE])
    if not isinstance(broker, AsyncBroker):
        raise TypeError(f"{os.environ[BROKER_VARIABLE]} is not a TaskIQ broker")
    broker.add_middlewares(TraceMiddleware())


if BROKER_VARIABLE in os.environ:
    install()
