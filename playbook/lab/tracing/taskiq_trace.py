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
from typing import Any, Literal

from taskiq import AsyncBroker, NoResultError, TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.cli.utils import import_object

from playbook.lab.tracing.trace_file import plain, worker_name, write_event
from playbook.models import TaskEvent

BROKER_VARIABLE = "PLAYBOOK_TRACE_BROKER"


class TraceMiddleware(TaskiqMiddleware):
    """Writes one event when an attempt starts and one when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self._errors: dict[str, str] = {}

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Write the start."""
        write_event(_event("start", message, args=plain(message.args), kwargs=plain(message.kwargs)))
        return message

    def on_error(self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException) -> None:
        """Remember the error: a retry replaces it in the result."""
        self._errors[message.task_id] = repr(exception)

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Write the end."""
        outcome: Literal["success", "failure", "retry"] = "failure" if result.is_err else "success"
        delay = None
        if isinstance(result.error, NoResultError):
            outcome = "retry"
            delay = message.labels.get("retry_delay")
        error = self._errors.pop(message.task_id, None)
        write_event(_event("end", message, outcome=outcome, error=error, delay=delay))


def _event(kind: Literal["start", "end"], message: TaskiqMessage, **fields: Any) -> TaskEvent:
    labels = message.labels
    return TaskEvent(
        at=time.time(),
        kind=kind,
        system="taskiq",
        task=message.task_name,
        id=message.task_id,
        attempt=int(labels.get("_retries", 0)),
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
