"""Hold tasks at a chosen place, so that their worker can be killed there: load this module into a worker.

The folder that PLAYBOOK_GATES names holds one file for each closed gate, called `TASK@POINT`. A task that
arrives at a closed gate writes `TASK@POINT.PID` beside it and waits until the gate is gone. The points are

    start     the task is about to begin
    request   it is about to send an HTTP request
    commit    it has done its work, and is about to commit its transaction

Waiting does not block the worker's loop: its heartbeat goes on, and so do other tasks. TaskIQ only.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx
from sqlalchemy.ext.asyncio import AsyncSession
from taskiq import TaskiqMessage, TaskiqMiddleware
from taskiq.cli.utils import import_object

from playbook.lab.programs import BROKER_VARIABLE

GATES_VARIABLE = "PLAYBOOK_GATES"
INTERVAL = 0.02

Point: TypeAlias = Literal["start", "request", "commit"]

# The task that this coroutine runs.
_task: ContextVar[str | None] = ContextVar("task", default=None)


def gate(folder: Path, task: str, point: Point) -> Path:
    """Return the file that closes a gate while it exists."""
    return folder / f"{task}@{point}"


def waiting_at(folder: Path, task: str, point: Point) -> set[int]:
    """Return the ids of the processes in which the task has come to the closed gate."""
    return {int(path.suffix[1:]) for path in folder.glob(f"{gate(folder, task, point).name}.*")}


async def pass_gate(point: Point) -> None:
    """Wait as long as the gate of the running task is closed at this point."""
    task = _task.get()
    if task is None:
        return
    closed = gate(Path(os.environ[GATES_VARIABLE]), task, point)
    if not closed.exists():
        return
    closed.with_name(f"{closed.name}.{os.getpid()}").touch()
    while closed.exists():  # noqa: ASYNC110 - another process removes the file
        await asyncio.sleep(INTERVAL)


class GateMiddleware(TaskiqMiddleware):
    """Remembers the running task, and holds it at its start."""

    async def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Hold the task before its body."""
        _task.set(message.task_name)
        await pass_gate("start")
        return message


def gated(method: Callable[..., Awaitable[Any]], point: Point) -> Any:
    """Wrap a method so that it waits at the gate first."""

    @functools.wraps(method)
    async def wrapper(*args: Any, **options: Any) -> Any:
        await pass_gate(point)
        return await method(*args, **options)

    return wrapper


def install() -> None:
    """Put gates around this worker's requests and commits, and before its tasks."""
    httpx.AsyncClient.send = gated(httpx.AsyncClient.send, "request")  # type: ignore[method-assign]
    AsyncSession.commit = gated(AsyncSession.commit, "commit")  # type: ignore[method-assign]
    import_object(os.environ[BROKER_VARIABLE]).add_middlewares(GateMiddleware())


if GATES_VARIABLE in os.environ:
    install()
