"""Reads the streams for one worker.

Invariant: a worker reads no more than it can start at once, or, by what it has ended lately, within a
hundredth of a second, so that work waits where any worker can take it; and what Redis has given to this
worker is run by it or given back, even if the answer was lost on the way.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .connections import ERRORS, TIMEOUT, is_outage
from .keeper import SUSPECT_DEATHS
from .keys import GROUP, Keys
from .messages import Delivery, Entry

BLOCK = 0.5
"""Seconds that one read waits for a message."""

HORIZON = 0.01
"""Seconds of work that a worker may read ahead."""

WINDOW = 0.02
"""Seconds over which it is counted how many tasks end; an idle time counts, too."""

MOST_AHEAD = 50

GROUP_IS_GONE = ("NOGROUP", "UNBLOCKED")
"""How answers begin when Redis came back without its data. Redis 7.0 says the latter to a read that waits."""


class Reader:
    """Reads for the worker `name` from `queues`."""

    def __init__(
        self,
        redis: Any,
        keys: Keys,
        queues: Sequence[str],
        name: str,
        declare: Callable[[], Awaitable[Any]],
    ) -> None:
        """Create a reader.

        Args:
            redis: the client.
            keys: names of the keys.
            queues: the queues to read.
            name: the worker's name.
            declare: declares the consumer groups; called when Redis came back without its data.
        """
        self._redis = redis
        self._streams = [keys.stream(queue) for queue in queues]
        self._suspects = [keys.suspects(queue) for queue in queues]
        self._name = name
        self._declare = declare
        self._capacity = 0
        self._answer_lost = False
        self._ended, self._since, self._ahead = 0, time.monotonic(), 0

    def ended(self) -> None:
        """Count a task that has ended."""
        self._ended += 1

    def _look_ahead(self) -> int:
        """Return how many tasks end in the time of `HORIZON`, as it was in the last window."""
        now = time.monotonic()
        if (elapsed := now - self._since) >= WINDOW:
            self._ahead = min(MOST_AHEAD, int(self._ended / elapsed * HORIZON))
            self._ended, self._since = 0, now
        return self._ahead

    async def fetch(self, running: Mapping[str, Delivery], suspects: bool) -> list[Entry]:
        """Return entries that the worker can start soon; none if none came within half a second.

        TaskIQ asks for a message when it can run one more. So a worker that has once asked while n tasks ran
        may run n + 1, and it may read as many as are missing to the most that it has asked for. Of short
        tasks it may read as many more as end in a hundredth of a second: a call for each would cost more
        than they do.

        Args:
            running: what the worker runs, by handle.
            suspects: whether there are messages that have seen workers die. One of them runs at a time.
        """
        if self._answer_lost:
            return await self._recover(running)
        self._capacity = max(self._capacity, len(running) + 1)
        free = self._capacity - len(running) + self._look_ahead()
        if suspects and not any(delivery.deaths >= SUSPECT_DEATHS for delivery in running.values()):
            for stream in self._suspects:
                if found := await self._read([stream], 1):
                    return found
        if len(self._streams) == 1:
            return await self._read(self._streams, free, BLOCK)
        # One read of several streams may return `count` of each. So each is asked by itself, another one
        # first each time, and all together only to wait.
        self._streams = self._streams[1:] + self._streams[:1]
        for stream in self._streams:
            if found := await self._read([stream], free):
                return found
        return await self._read(self._streams, 1, BLOCK)

    async def _recover(self, running: Mapping[str, Delivery]) -> list[Entry]:
        """Return what Redis has given to this worker in an answer that never came."""
        # Noted before: what is finished while the answer is on its way is in the answer, and runs no more.
        known = set(running)
        found = await self._read([*self._streams, *self._suspects], None, start="0")
        return [entry for entry in found if entry.handle not in known]

    async def _read(
        self, streams: Sequence[str], count: int | None, block: float = 0, start: str = ">"
    ) -> list[Entry]:
        """Read streams; nothing if Redis is away.

        Args:
            streams: which.
            count: at most so many of each.
            block: seconds to wait for a first message.
            start: ">" for new entries, "0" for those that are this worker's already.
        """
        try:
            async with asyncio.timeout(TIMEOUT + block):
                reply = await self._redis.xreadgroup(
                    GROUP,
                    self._name,
                    dict.fromkeys(streams, start),
                    count=count,
                    block=int(block * 1000) or None,
                )
        except ERRORS as error:
            if str(error).startswith(GROUP_IS_GONE):
                await self._declare()
            elif is_outage(error):
                self._answer_lost = True
                await asyncio.sleep(BLOCK)
            else:
                raise
            return []
        if start == "0":
            self._answer_lost = False
        return [
            Entry(stream.decode(), id.decode(), fields) for stream, found in reply for id, fields in found
        ]
