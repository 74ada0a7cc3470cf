"""Let retries come sooner than planned: load this module into the workers of both systems.

What a task asks for stays what it is, and is traced as planned; only the waiting is cut. The environment
variable PLAYBOOK_HURRY is the part of a planned delay that is really waited, for instance 0.01.
PLAYBOOK_PATIENCE is the longest time-out (seconds) of the HTTP clients in a worker. They also share the
certificates that they trust: each client would read all of them again, which takes longer than a task.

Under Celery the due time is changed when the next attempt is published (docs: userguide/signals,
`before_task_publish`), under TaskIQ when the attempt has been planned and is not sent yet. Calls with a
countdown of their own wait as they would.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from celery import signals
from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.cli.utils import import_object

from playbook.lab.programs import BROKER_VARIABLE

HURRY_VARIABLE = "PLAYBOOK_HURRY"
PATIENCE_VARIABLE = "PLAYBOOK_PATIENCE"


def hurried(planned: float) -> float:
    """Return the seconds that are waited for a delay of so many seconds."""
    return planned * float(os.environ[HURRY_VARIABLE])


def hurried_eta(eta: datetime) -> datetime:
    """Return the time that a due time becomes."""
    now = datetime.now(eta.tzinfo or UTC)
    return now + (eta - now) * float(os.environ[HURRY_VARIABLE])


def hurry_celery(headers: Any = None, **_: Any) -> None:
    """Receive `before_task_publish`: a message with retries behind it is a further attempt."""
    if headers and headers.get("retries") and headers.get("eta"):
        headers["eta"] = hurried_eta(datetime.fromisoformat(headers["eta"])).isoformat()


class HurryMiddleware(TaskiqMiddleware):
    """Shortens the delays of planned attempts. Added last, so that it acts before they are sent: TaskIQ calls
    `post_execute` in reverse order (taskiq/receiver/receiver.py)."""

    def __init__(self, running: Any) -> None:
        super().__init__()
        self._running = running

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Change what the running task has asked for."""
        task = self._running.get()
        task.attempts[:] = [
            dataclasses.replace(
                attempt,
                countdown=None if attempt.countdown is None else hurried(attempt.countdown),
                eta=None if attempt.eta is None else hurried_eta(attempt.eta),
            )
            for attempt in task.attempts
        ]


def impatient(initialise: Callable[..., None]) -> Callable[..., None]:
    """Wrap the constructor of an HTTP client so that its time-out in seconds is cut to PLAYBOOK_PATIENCE, and
    no certificates are read."""
    trusted = httpx.create_ssl_context()

    @functools.wraps(initialise)
    def wrapper(self: Any, *args: Any, **options: Any) -> None:
        if isinstance(options.get("timeout"), int | float):
            options["timeout"] = min(options["timeout"], float(os.environ[PATIENCE_VARIABLE]))
        initialise(self, *args, **{"verify": trusted, **options})

    return wrapper


def install() -> None:
    """Do it for the system whose worker this is, as the environment asks."""
    if PATIENCE_VARIABLE in os.environ:
        httpx.AsyncClient.__init__ = impatient(httpx.AsyncClient.__init__)  # type: ignore[method-assign]
    if HURRY_VARIABLE not in os.environ:
        return
    if BROKER_VARIABLE in os.environ:
        broker = os.environ[BROKER_VARIABLE]
        package = broker.partition(":")[0].rpartition(".")[0]
        running = importlib.import_module(f"{package}.running").running
        import_object(broker).add_middlewares(HurryMiddleware(running))
    else:
        signals.before_task_publish.connect(hurry_celery, weak=False)


install()
