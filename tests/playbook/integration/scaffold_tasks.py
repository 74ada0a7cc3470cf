"""Tasks that the tests of the scaffold run in real workers. What they did goes to a list in Redis."""

import asyncio
import os
import signal
import time
from pathlib import Path

from redis import Redis

from playbook.scaffold.worker.broker import broker
from playbook.scaffold.worker.context import current_task

LOG = "tests:log"
redis = Redis.from_url(os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/1"), decode_responses=True)


def note(what: object) -> None:
    """Append `what` and the time (s) to the log."""
    redis.rpush(LOG, f"{what} {time.time()}")


@broker.task("tests.note")
async def note_task(what: str) -> str:
    note(what)
    return what


@broker.task("tests.sleep")
async def sleep(what: str, seconds: float) -> None:
    note(f"start:{what}")
    await asyncio.sleep(seconds)
    note(f"end:{what}")


@broker.task("tests.block")
async def block(what: str, seconds: float) -> None:
    """Blocks the event loop."""
    note(f"start:{what}")
    time.sleep(seconds)  # noqa: ASYNC251
    note(f"end:{what}")


@broker.task("tests.kill")
async def kill(what: str) -> None:
    note(f"start:{what}")
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


@broker.task("tests.retry", bind=True, max_retries=2, default_retry_delay=0.3)
async def retrying(self: object) -> None:
    note(f"attempt:{current_task.request.retries}")
    raise current_task.retry(exc=ValueError("again"))


@broker.task("tests.sync")
def sync(what: str) -> str:
    note(f"{what}:{current_task.request.id}")
    return what


@broker.task("tests.work")
async def work(number: int, seconds: float) -> int:
    note(f"start:{number}:{os.getpid()}")
    await asyncio.sleep(seconds)
    note(f"end:{number}:{os.getpid()}")
    return number


@broker.task("tests.touch")
async def touch(path: str, seconds: float) -> None:
    """Leaves its trace in a file, for tests in which Redis is away."""
    await asyncio.sleep(seconds)
    with Path(path).open("a") as file:  # noqa: ASYNC230
        file.write("once\n")


@broker.task("tests.nothing")
async def nothing(number: int) -> int:
    return number
