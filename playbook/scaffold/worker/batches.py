"""Calls to Redis that are due at the same time, made as one.

Invariant: an item is written by one call only, and whoever gave it learns what came of it. An item is written
at once, unless more are said to come soon; what comes while a call is on its way goes together in the next.
So an idle worker waits for nothing, and a busy one makes a call for many.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MOST = 50
"""Most items of one call: Redis does nothing else while it runs a script."""

PATIENCE = 0.002
"""Seconds that an item waits for others at most."""


class Batches(Generic[T]):
    """Writes items, of which many may be given at the same time."""

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[Any]]]) -> None:
        """Create it; `write` writes items in one call, all or none, and returns an answer for each."""
        self._write = write
        self._waiting: list[tuple[T, asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._complete = asyncio.Event()
        self._complete.set()

    def expect(self, more: bool) -> None:
        """Say whether more items are about to come."""
        if more:
            self._complete.clear()
        else:
            self._complete.set()

    async def put(self, item: T) -> Any:
        """Write an item; return its answer, or raise the error of `write`."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        return await answer

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                if not self._complete.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._complete.wait(), PATIENCE)
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._write_batch(batch)
        finally:
            self._writing = None

    async def _write_batch(self, batch: list[tuple[T, asyncio.Future[Any]]]) -> None:
        try:
            found = await self._write([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                # One of them is to blame; the others must not suffer.
                for single in batch:
                    await self._write_batch([single])
                return
            _settle(batch[0][1], error)
        else:
            for (_, answer), value in zip(batch, found, strict=True):
                _settle(answer, value)


def _settle(answer: "asyncio.Future[Any]", value: Any) -> None:
    if answer.done():  # whoever gave it no longer waits
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)
