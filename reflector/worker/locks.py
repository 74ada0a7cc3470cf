"""Locks in Redis for tasks that must not overlap with themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import LockNotOwnedError

from reflector.logger import logger
from reflector.settings import settings

LOCK_TIMEOUT_SECONDS = 120


@asynccontextmanager
async def single_run(name: str) -> AsyncIterator[bool]:
    """Yield True if this is the only run of `name`, False if another one is at it.

    The lock ends by itself after LOCK_TIMEOUT_SECONDS, so that a killed worker does not block the task for
    ever.
    """
    async with Redis.from_url(settings.REDIS_URL) as redis:
        lock = redis.lock(f"reflector:lock:{name}", timeout=LOCK_TIMEOUT_SECONDS, blocking=False)
        if not await lock.acquire():
            logger.info("Another run is in progress", task=name)
            yield False
            return
        try:
            yield True
        finally:
            try:
                await lock.release()
            except LockNotOwnedError:
                logger.warning("The run outlived its lock", task=name, seconds=LOCK_TIMEOUT_SECONDS)
