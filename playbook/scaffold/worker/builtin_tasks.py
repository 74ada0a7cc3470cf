"""The tasks that every worker knows: those that apply another task to each item of a list; and one of
Celery's, for messages that came from there (`transfer`)."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from taskiq import AsyncBroker

from .canvas import MAP, STARMAP
from .errors import NotRegistered
from .running import running

ACCUMULATE = "celery.accumulate"
"""With this task Celery collects the results of a group that takes a task's place."""


def register(broker: AsyncBroker) -> None:
    """Register them with a broker."""

    async def call(task: Mapping[str, Any], args: Sequence[Any]) -> Any:
        found = broker.find_task(task["task"])
        if found is None:
            raise NotRegistered(task["task"])
        # It is called, not sent: as under Celery it is in no task of its own.
        here = running.set(None)
        try:
            if inspect.iscoroutinefunction(found.original_func):
                return await found.original_func(*args)
            return await asyncio.to_thread(found.original_func, *args)
        finally:
            running.reset(here)

    @broker.task(MAP)
    async def xmap(task: Mapping[str, Any], it: Sequence[Any]) -> list[Any]:
        """Call a task with each item, one after the other (celery/app/builtins.py, `xmap`)."""
        return [await call(task, (item,)) for item in it]

    @broker.task(STARMAP)
    async def xstarmap(task: Mapping[str, Any], it: Sequence[Sequence[Any]]) -> list[Any]:
        """Call a task with each item as its arguments, one after the other."""
        return [await call(task, items) for items in it]

    @broker.task(ACCUMULATE)
    async def accumulate(*args: Any, index: int | None = None, **_: Any) -> Any:
        """Return its arguments, or the one that `index` names (celery/app/builtins.py, `accumulate`)."""
        return list(args) if index is None else args[index]
