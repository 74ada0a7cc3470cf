"""The guide's broker with its pipeline middleware, and tasks shaped like the application's: keywords only.

Each task notes its start and its end in Redis, under the key that `LOG` names.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from redis.asyncio import Redis
from taskiq_pipelines import PipelineMiddleware

from playbook.checks.probes.stock_broker import QUEUE, URL, broker

LOG = f"{QUEUE}:log"
WORK = 0.4
"""Seconds that the work of a step takes."""

broker.add_middlewares(PipelineMiddleware())


@contextlib.asynccontextmanager
async def noted(task: str, of: str) -> AsyncIterator[None]:
    """Note start and end of a task that works for a transcript."""
    async with Redis.from_url(URL) as redis:
        await redis.rpush(LOG, f"{of} {task} start")
        await asyncio.sleep(WORK)
        yield
        await redis.rpush(LOG, f"{of} {task} end")


@broker.task(task_name="guide.consent")
async def consent(*, transcript_id: str) -> None:
    """A step."""
    async with noted("consent", transcript_id):
        pass


@broker.task(task_name="guide.broken")
async def broken(*, transcript_id: str) -> None:
    """A step that fails."""
    async with noted("broken", transcript_id):
        raise ValueError("planned")


@broker.task(task_name="guide.title")
async def title(*, transcript_id: str) -> None:
    """A step."""
    async with noted("title", transcript_id):
        pass


@broker.task(task_name="guide.summaries")
async def summaries(*, transcript_id: str) -> None:
    """The callback."""
    async with noted("summaries", transcript_id):
        pass


@broker.task(task_name="guide.zulip")
async def zulip(*, transcript_id: str) -> None:
    """What comes last."""
    async with noted("zulip", transcript_id):
        pass
