"""The broker for those who send tasks and look at results from outside of a worker's loop.

Invariant: a client of Redis is used by the background loop alone, and by no process but the one that made
it. A broker that runs tasks in place is used in the caller's own loop: its tasks belong there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from taskiq import AsyncBroker, InMemoryBroker

from .broker import broker, create_broker
from .loops import in_background, run_sync, submit

T = TypeVar("T")
Use = Callable[[AsyncBroker], Awaitable[T]]

_client: tuple[asyncio.AbstractEventLoop, AsyncBroker] | None = None


async def with_client(use: Use[T]) -> T:
    """Await `use(broker)`, from any loop."""
    if isinstance(broker, InMemoryBroker):
        return await use(broker)
    return await in_background(_use_client(use))


def with_client_sync(use: Use[T]) -> T:
    """Run `use(broker)` to its end from synchronous code, below a running loop or not."""
    if isinstance(broker, InMemoryBroker):
        return run_sync(_use(use, broker))
    return submit(_use_client(use)).result()


async def _use_client(use: Use[T]) -> T:
    global _client
    loop = asyncio.get_running_loop()
    if _client is None or _client[0] is not loop:
        _client = (loop, create_broker())
    return await use(_client[1])


async def _use(use: Use[T], used: AsyncBroker) -> T:
    return await use(used)
