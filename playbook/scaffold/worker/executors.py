"""Where the function of a task runs, and for how long at most.

    @broker.task("app.tasks.crunch", executor="process", soft_time_limit=50, time_limit=60)
    def crunch(n: int) -> int: ...

An `async def` runs on the worker's loop, a plain `def` in one of its threads. With `executor="process"`
either runs in a child process of the worker: Python code there does not wait for the worker's interpreter
lock, as under Celery's prefork pool, and its time can be limited. A task with a time limit gets a process by
itself.

Invariant: a time limit is kept, or a warning says that it is not.
"""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

from .processes import Job, Limits, in_child
from .running import running
from .wire import on_the_wire

logger = logging.getLogger(__name__)


def place(
    function: Callable[..., Any],
    name: str,
    executor: str | None = None,
    limits: Limits | None = None,
    child: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Return the function that TaskIQ is to run for a task.

    Args:
        function: the task's function.
        name: the task's name.
        executor: `process`, `thread`, or None: a process if there are limits, else a thread.
        limits: how long it may run.
        child: what to run in a process instead of `function`.

    Raises:
        ValueError: there is no such executor.
    """
    limits = limits or Limits()
    if executor not in ("process", "thread", None):
        raise ValueError(f"task {name}: executor is {executor!r}; use process or thread")
    if executor == "process" or (executor is None and limits):
        return in_process(child or function, limits)
    if limits:
        logger.warning("task %s: time limits are not kept in a thread; use executor='process'", name)
    return function


def in_process(function: Callable[..., Any], limits: Limits) -> Callable[..., Any]:
    """Return a coroutine function that runs `function` in a child process of the worker.

    Outside of a worker it runs where it is called.
    """

    async def run(*args: Any, **kwargs: Any) -> Any:
        here = running.get()
        if here is None or here.request.is_eager:
            done = function(*args, **kwargs)
            return await done if inspect.isawaitable(done) else done
        job = Job(function.__module__, here.request, here.policy)
        ended = await in_child(job, limits.hard, args, kwargs)
        here.attempts.extend(ended.attempts)
        here.joiners.extend(ended.joiners)
        if ended.override_max_retries is not None:
            here.override_max_retries = ended.override_max_retries
        if ended.error is not None:
            raise ended.error
        return ended.value

    shown = on_the_wire(function)
    for attribute in (*functools.WRAPPER_ASSIGNMENTS, "__signature__"):
        setattr(run, attribute, getattr(shown, attribute))
    run.in_child = (function, limits)  # type: ignore[attr-defined]
    return run
