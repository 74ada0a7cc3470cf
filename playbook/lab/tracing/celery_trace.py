"""Trace a Celery worker: `celery worker -I playbook.lab.tracing.celery_trace`.

Hangs on Celery's signals (docs: userguide/signals). `task_postrun` carries the state in which an attempt
ended, also RETRY, IGNORED and REJECTED (celery/app/trace.py); the delay of a retry is known to `task_retry`
only, which is sent just before in the same process and thread.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from celery import signals, states

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
# What the signals before `task_postrun` told of the attempt that ends, by task id.
_delays: dict[str, float | None] = {}
_errors: dict[str, str] = {}


def _event(kind: Literal["start", "end"], task: Any, **fields: Any) -> TaskEvent:
    request = task.request
    return TaskEvent(
        at=time.time(),
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
    write_event(_event("start", task, args=plain(list(args)), kwargs=plain(dict(kwargs or {}))))


@signals.task_retry.connect(weak=False)
def _retried(request: Any = None, reason: Any = None, **_: Any) -> None:
    when = reason.when
    if isinstance(when, datetime):
        when = (when - datetime.now(when.tzinfo or UTC)).total_seconds()
    _delays[request.id] = when
    _errors[request.id] = repr(reason.exc)


@signals.task_failure.connect(weak=False)
def _failed(task_id: str = "", exception: Any = None, **_: Any) -> None:
    _errors[task_id] = repr(exception)


@signals.task_postrun.connect(weak=False)
def _ended(task: Any = None, task_id: str = "", state: Any = None, **_: Any) -> None:
    # A task that set a state of its own ends without one that is known here.
    outcome = OUTCOMES.get(str(state))
    write_event(
        _event(
            "end", task, outcome=outcome, error=_errors.pop(task_id, None), delay=_delays.pop(task_id, None)
        )
    )


@signals.worker_ready.connect(weak=False)
def _ready(**_: Any) -> None:
    """Tell the lab that the worker consumes: make the file that PLAYBOOK_READY names."""
    if path := os.environ.get("PLAYBOOK_READY"):
        Path(path).touch()
