"""Trace a Celery worker: `celery worker -I playbook.lab.tracing.celery_trace`.

Hangs on Celery's signals (docs: userguide/signals). `task_postrun` carries the state in which an attempt
ended, also RETRY, IGNORED and REJECTED; the delay of a retry is known to `task_retry` only, which is sent
just before, in the same process and thread. By the time of `task_postrun` the tasks that follow have been
sent and may be running (celery/app/trace.py). An end is therefore dated by a wrapper around the task's
body, or no step of a chain would ever seem to end before the next one starts.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from celery import signals, states
from celery.exceptions import TaskPredicate

from playbook.lab.tracing.trace_file import plain, worker_name, write_event
from playbook.models import TaskEvent

Outcome = Literal["success", "failure", "retry", "ignored", "rejected"]

OUTCOMES: dict[str, Outcome] = {
    states.SUCCESS: "success",
    states.FAILURE: "failure",
    states.RETRY: "retry",
    states.IGNORED: "ignored",
    states.REJECTED: "rejected",
}
# What is known of an attempt before `task_postrun`, by task id.
_ends: dict[str, float] = {}
_delays: dict[str, float | None] = {}
_errors: dict[str, str] = {}


@signals.worker_init.connect(weak=False)
def _wrap_tasks(sender: Any = None, **_: Any) -> None:
    """Date the end of every task's body. Sent when all tasks are known and before any process runs them."""
    sender.app.finalize()
    for task in sender.app.tasks.values():
        task.run = _dated(task, task.run)


def _dated(task: Any, run: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run)
    def dated(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except TaskPredicate:
            raise
        except Exception as error:
            # The error that `task_failure` is given is one that can be pickled, maybe of another class.
            if task.request.id is not None:
                _errors[task.request.id] = repr(error)
            raise
        finally:
            # Called by another task as a plain function, it runs within that one's attempt.
            if task.request.id is not None:
                _ends[task.request.id] = time.time()

    return dated


def _event(kind: Literal["start", "end"], at: float, task: Any, **fields: Any) -> TaskEvent:
    request = task.request
    return TaskEvent(
        at=at,
        kind=kind,
        system="celery",
        task=task.name,
        id=request.id,
        attempt=request.retries,
        worker=worker_name(),
        root_id=request.root_id,
        parent_id=request.parent_id,
        **fields,
    )


@signals.task_prerun.connect(weak=False)
def _started(task: Any = None, args: Any = (), kwargs: Any = None, **_: Any) -> None:
    write_event(_event("start", time.time(), task, args=plain(list(args)), kwargs=plain(dict(kwargs or {}))))


@signals.task_retry.connect(weak=False)
def _retried(request: Any = None, reason: Any = None, **_: Any) -> None:
    when = reason.when
    if isinstance(when, datetime):
        when = (when - datetime.now(when.tzinfo or UTC)).total_seconds()
    _delays[request.id] = when
    # `exc` may have become another class on the way to where it can be pickled (celery/exceptions.py).
    _errors[request.id] = reason.excs


@signals.task_failure.connect(weak=False)
def _failed(task_id: str = "", exception: Any = None, **_: Any) -> None:
    _errors.setdefault(task_id, repr(exception))


@signals.task_postrun.connect(weak=False)
def _ended(task: Any = None, task_id: str = "", state: Any = None, **_: Any) -> None:
    event = _event(
        "end",
        _ends.pop(task_id, time.time()),
        task,
        # A task that set a state of its own ends without an outcome that is known here.
        outcome=OUTCOMES.get(str(state)),
        error=_errors.pop(task_id, None),
        delay=_delays.pop(task_id, None),
    )
    write_event(event)


@signals.worker_ready.connect(weak=False)
def _ready(**_: Any) -> None:
    """Tell the lab that the worker consumes: make the file that PLAYBOOK_READY names."""
    if path := os.environ.get("PLAYBOOK_READY"):
        Path(path).touch()
