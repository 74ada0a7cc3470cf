"""The TaskIQ runtime: its broker with the oracle's tasks, and a client that waits for results as callers do.

The runtime is used as applications receive it, with the stand-in of their settings. Workers are started with
`taskiq worker playbook.oracle.taskiq_side:broker`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

from redis import Redis
from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult

from playbook.oracle import events
from playbook.oracle.bodies import BLOCKING, NAMES, OPTIONS, Tasks
from playbook.oracle.system import REDIS_VARIABLE, TASK_MODULE, StillWaitingError, TaskSide
from playbook.oracle.tags import bind
from playbook.scaffold.worker.broker import broker
from playbook.scaffold.worker.canvas import MAP, STARMAP
from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.errors import Ignore, Reject
from playbook.scaffold.worker.keys import Keys
from playbook.scaffold.worker.running import running
from playbook.scaffold.worker.workflow import chain, chord, group

BUILT_IN = {MAP: "celery.map", STARMAP: "celery.starmap"}
"""Tasks of the runtime itself -> what Celery calls them."""

redis: Redis = Redis.from_url(os.environ[REDIS_VARIABLE], decode_responses=True)


class TaskiqTasks:
    """The runtime's half of `TaskSide`."""

    current: Any = current_task
    chain: Any = staticmethod(chain)
    group: Any = group
    chord: Any = chord
    ignore: Any = Ignore
    reject: Any = Reject

    def task(self, name: str) -> Any:
        return broker.find_task(f"{TASK_MODULE}.{name}")

    def start(self, canvas: Any) -> None:
        canvas.apply_async_sync()


class TaskiqClient:
    """The runtime's half of `ClientSide`. Results are awaited in a loop of its own."""

    def __init__(self) -> None:
        self.tasks: TaskSide = side
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def apply(self, canvas: Any, call: dict[str, Any]) -> Any:
        args, kwargs, options = call.get("args", ()), call.get("kwargs"), call.get("options", {})
        return self._await(canvas.apply_async(args, kwargs, **options))

    def result(self, handle: Any, timeout: float) -> Any:
        try:
            return self._await(handle.aget(timeout=timeout))
        except TimeoutError:
            raise StillWaitingError from None

    def ids(self, handle: Any) -> list[str]:
        return [handle.id]

    def idle(self) -> bool:
        keys = Keys("{taskiq}")
        streams = keys.stream("default"), keys.suspects("default")
        return not any(map(redis.xlen, streams)) and not redis.zcard(keys.delayed("default"))

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class Witness(TaskiqMiddleware):
    """Notes the attempts of tasks."""

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Note a start. The runtime's own middleware, which comes first, has set what runs here."""
        here = running.get()
        assert here is not None
        name = BUILT_IN.get(message.task_name, message.task_name)
        events.started(redis, name, message.task_id, here.request, message.args, message.kwargs)
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Note an end."""
        events.ended(redis)


def asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coroutine function that does what a function does."""

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    del run.__wrapped__
    return run


side = TaskiqTasks()
_tasks = Tasks(side, redis)
for _name in sorted(NAMES):
    _function = bind(getattr(_tasks, _name), _tasks.note_error)
    _function = _function if _name in BLOCKING else asynchronous(_function)
    broker.task(f"{TASK_MODULE}.{_name}", **OPTIONS.get(_name, {}))(_function)
broker.add_middlewares(Witness())
