"""Tasks that note what reaches them, and where: one line of JSON per run in the file PLAYBOOK_CALLS."""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import shared_task
from reflector.worker.context import current_task
from reflector.worker.routing import dispatch_sync
from reflector.worker.running import running
from reflector.worker.twins import twin


def described(value: Any) -> Any:
    """A value with its types, as JSON. Lists and tuples are the same: JSON has one of them."""
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    return f"{type(value).__name__} {value!r}"


def write(case: str, args: Any, kwargs: Any) -> None:
    """Note a run of the task that runs here."""
    request = current_task.request
    line = {
        "case": case,
        "args": described(args),
        "kwargs": described(kwargs),
        "at": time.time(),
        "id": request.id,
        "parent": request.parent_id,
        "retries": request.retries,
        "system": "celery" if running.get() is None else "taskiq",
    }
    with Path(os.environ["PLAYBOOK_CALLS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@shared_task(name="calls.note")
def note(case: str, *args: Any, **kwargs: Any) -> Any:
    """Return what came."""
    write(case, args, kwargs)
    return [*args, kwargs]


@shared_task(name="calls.pinned")
def pinned(case: str) -> None:
    """The same, for a route of its own."""
    write(case, (), {})


@shared_task(name="calls.annotated")
def annotated(case: str, number: int, flag: bool = True, text: str = "") -> None:
    """Has annotations that the arguments need not fit."""
    write(case, (number, flag, text), {})


@shared_task(name="calls.failing")
def failing(case: str) -> None:
    """Fail."""
    write(case, (), {})
    raise ValueError("on purpose")


@shared_task(name="calls.sender")
def sender(case: str) -> None:
    """Send another task."""
    write(case, (), {})
    dispatch_sync(note, "sent by a task")


note_taskiq = twin(note, "calls.note")
pinned_taskiq = twin(pinned, "calls.pinned")
annotated_taskiq = twin(annotated, "calls.annotated")
failing_taskiq = twin(failing, "calls.failing")
sender_taskiq = twin(sender, "calls.sender")
