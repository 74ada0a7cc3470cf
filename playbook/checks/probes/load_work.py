"""What the tasks of the load do: the same on every system. Times are Unix times (s), all of one machine."""

import asyncio
import time

import reflector.settings  # noqa: F401 - whatever system its tasks run on, the application reads its settings

WAIT = 0.1
"""Seconds that a task waits for something outside."""

LOOPS = 60_000
"""How much a task computes: a few milliseconds."""

Times = list[float]
"""When a task was sent (or due), when it started and when it ended."""


def noop(sent: float) -> Times:
    """Do nothing."""
    started = time.time()
    return [sent, started, time.time()]


def cpu(sent: float) -> Times:
    """Compute, in Python."""
    started = time.time()
    total = 0
    for number in range(LOOPS):
        total += number * number
    return [sent, started, time.time()]


def io_sync(sent: float) -> Times:
    """Wait in a thread."""
    started = time.time()
    time.sleep(WAIT)
    return [sent, started, time.time()]


async def io_async(sent: float) -> Times:
    """Wait on a loop."""
    started = time.time()
    await asyncio.sleep(WAIT)
    return [sent, started, time.time()]


async def noop_async(sent: float) -> Times:
    """Do nothing, on a loop."""
    return noop(sent)


def body(members: list[Times]) -> Times:
    """The body of a chord: when the first member was sent, when the last ended, and when this started."""
    return [members[0][0], max(ended for _, _, ended in members), time.time()]
