"""Tasks on taskiq-redis as it comes, for the traps that need a worker process.

`STOCK_OPTIONS` holds options of the broker, as JSON.
"""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from redis import Redis
from taskiq_redis import RedisStreamBroker

from tests.playbook.integration.scaffold import GROUP, LOG, QUEUE

URL = os.environ["CELERY_BROKER_URL"]
redis = Redis.from_url(URL)
options: dict[str, Any] = {"consumer_id": "0", **json.loads(os.environ.get("STOCK_OPTIONS", "{}"))}
broker = RedisStreamBroker(URL, queue_name=QUEUE, consumer_group_name=GROUP, **options)


def note(what: object) -> None:
    """Append `what` and the time (s) to the log."""
    redis.rpush(LOG, f"{what} {time.time()}")


@broker.task("tests.note")
async def note_task(what: str) -> None:
    note(what)


@broker.task("tests.sleep")
async def sleep(what: str, seconds: float) -> None:
    note(f"start:{what}")
    await asyncio.sleep(seconds)
    note(f"end:{what}")


@broker.task("tests.touch")
async def touch(path: str, seconds: float) -> None:
    """Leaves its trace in a file, for tests in which Redis is away."""
    await asyncio.sleep(seconds)
    with Path(path).open("a") as file:  # noqa: ASYNC230
        file.write("once\n")


@broker.task("tests.kill")
async def kill(what: str) -> None:
    note(f"start:{what}")
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
