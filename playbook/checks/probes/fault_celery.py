"""The tasks of the fault tests on Celery, with the application's own settings (PLAYBOOK_CELERY_APP)."""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

from celery import current_task, shared_task

from playbook.checks.probes import fault_bodies as bodies

# Makes it the current app. Without one, Celery's defaults hold.
importlib.import_module(os.environ["PLAYBOOK_CELERY_APP"].partition(":")[0])
bodies.retries = lambda: int(current_task.request.retries)


def task(body: Callable[..., Any], **options: Any) -> Any:
    """Register a coroutine function as the application does: each call has a loop of its own."""

    @functools.wraps(body)
    def run(*args: Any) -> Any:
        return asyncio.run(body(*args))

    register: Any = shared_task(name=f"faults.{body.__name__}", **options)
    return register(run)


work = task(bodies.work)
stumble = task(bodies.stumble, **bodies.RETRIED)
follow = task(bodies.follow)
join = task(bodies.join)
lethal = task(bodies.lethal)
write = task(bodies.write, **bodies.RETRIED)
post = task(bodies.post, **bodies.RETRIED)
