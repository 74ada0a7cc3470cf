"""Tasks in child processes of a worker.

Invariant: a process that is killed for its time, or that dies, ends one task and no other: the pool puts a
new one in its place. A process does not outlive its worker.

The pool is pebble's: it gives a task a time limit of its own and outlives the processes that it kills, which
`concurrent.futures` and loky do not.
"""

import asyncio
import contextlib
import functools
import importlib
import inspect
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from taskiq import TaskiqEvents, TaskiqState

from ..settings import settings
from .canvas import Signature
from .retries import NextAttempt, RetryPolicy
from .running import Request, Running, entered

if TYPE_CHECKING:
    from pebble import ProcessPool


class SoftTimeLimitExceededError(Exception):
    """Raised inside a task whose soft time limit is over, so that it can clean up."""


class TimeLimitExceededError(Exception):
    """The task was killed, because its time limit was over."""


class ProcessLostError(Exception):
    """The process that ran the task died."""


@dataclass(frozen=True)
class Limits:
    """Seconds that a task may run; None: as long as it likes.

    Attributes:
        soft: after these, `soft_error` is raised inside it.
        hard: after these, its process is killed.
        soft_error: a class that the task's code expects.
    """

    soft: float | None = None
    hard: float | None = None
    soft_error: type[Exception] = SoftTimeLimitExceededError

    def __bool__(self) -> bool:
        return self.soft is not None or self.hard is not None


@dataclass(frozen=True)
class Job:
    """An attempt for a child process, and the module that defines its task."""

    module: str
    request: Request
    policy: RetryPolicy


@dataclass(frozen=True)
class Ended:
    """What a child process has to say about an attempt, and what the task asked for: see `Running`."""

    value: Any
    error: BaseException | None
    attempts: list[NextAttempt]
    override_max_retries: int | None
    joiners: list[Signature]


async def in_child(job: Job, limit: float | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ended:
    """Run an attempt in a child process of this worker.

    Args:
        job: the attempt.
        limit: seconds after which the process is killed; None: never.
        args: positional arguments.
        kwargs: keyword arguments.

    Raises:
        TimeLimitExceededError: it was killed.
        ProcessLostError: the process died of something else.
    """
    from pebble import ProcessExpired

    future = pool().schedule(run_job, args=(job, args, kwargs), timeout=limit)
    try:
        return await asyncio.wrap_future(future)
    except TimeoutError:
        raise TimeLimitExceededError(f"{job.request.task} was killed after {limit} s") from None
    except ProcessExpired as error:
        raise ProcessLostError(f"the process that ran {job.request.task} died: {error}") from None


@functools.cache
def pool() -> "ProcessPool":
    """Return this worker's pool; its processes are started with the first task.

    They are new interpreters, not forks: a fork of a process with threads may inherit locks that nobody
    releases.
    """
    # Not at the top: most applications have no such task, and pay for it with memory otherwise.
    from pebble import ProcessPool

    # Neither this one: the broker needs this module for its tasks.
    from .broker import broker

    started = ProcessPool(
        max_workers=settings.TASKIQ_PROCESSES or os.cpu_count() or 1,
        initializer=_end_with_parent,
        context=multiprocessing.get_context("spawn"),
    )

    def end(_state: TaskiqState) -> None:
        started.stop()  # type: ignore[no-untyped-call]
        started.join()

    # Python waits for a worker's child processes before it ends; nothing runs in them by then.
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, end)
    return started


def _end_with_parent() -> None:
    """End this process when the worker is gone, or a lost worker's task would run on beside its next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def run_job(job: Job, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ended:
    """Run an attempt in this child process."""
    from .broker import broker

    importlib.import_module(job.module)
    task = broker.find_task(job.request.task or "")
    assert task is not None
    function, limits = task.original_func.in_child  # type: ignore[attr-defined]
    value, error = None, None
    with entered(Running(job.request, job.policy, signature=inspect.signature(function))) as here:
        try:
            with soft_limit(limits):
                value = function(*args, **kwargs)
                if inspect.isawaitable(value):
                    value = asyncio.run(_result(value))
        except Exception as raised:
            error = _picklable(raised)
    return Ended(value, error, here.attempts, here.override_max_retries, here.joiners)


async def _result(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@contextlib.contextmanager
def soft_limit(limits: Limits) -> Iterator[None]:
    """Raise the soft limit's error in the block when its time is over. For a process's main thread."""
    if limits.soft is None:
        yield
        return

    def over(_number: int, _frame: object) -> None:
        raise limits.soft_error(limits.soft)

    former = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limits.soft)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _picklable(error: Exception) -> Exception:
    """Return an error that can cross to the parent: many exceptions cannot be made again from their `args`.

    Between a process and its own child, nothing else travels that way than what they give each other.
    """
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return RuntimeError(f"{type(error).__qualname__}: {error}")
    return error
