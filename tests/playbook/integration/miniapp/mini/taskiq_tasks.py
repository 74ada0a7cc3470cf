"""The tasks of the TaskIQ side, apart from the broker so that a worker must be told of them."""

import asyncio
from typing import Annotated

from taskiq import Context, TaskiqDepends

from mini.broker import broker


@broker.task(task_name="mini.add")
async def add(x: int, y: int) -> int:
    return x + y


@broker.task(task_name="mini.fail")
async def fail() -> None:
    raise ValueError("on purpose")


@broker.task(task_name="mini.flaky", retry_on_error=True, max_retries=4)
async def flaky(failures: int, context: Annotated[Context, TaskiqDepends()]) -> int:
    attempt = int(context.message.labels.get("_retries", 0))
    if attempt < failures:
        raise OSError("not yet")
    return attempt


@broker.task(task_name="mini.tick", schedule=[{"interval": 1}])
async def tick() -> None:
    await asyncio.sleep(0)
