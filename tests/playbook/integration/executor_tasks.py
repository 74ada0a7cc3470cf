"""Celery tasks in dual mode that run in processes, for the tests of executors. Notes go to Redis."""

import asyncio
import functools
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from redis import Redis

from playbook.scaffold.worker.broker import broker
from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.twins import twin

LOG = "tests:log"
URL = os.environ["CELERY_BROKER_URL"]
redis = Redis.from_url(URL, decode_responses=True)
app = Celery("executors", broker=URL, backend=URL)
app.set_default()


def note(what: object) -> None:
    """Append `what` and the time (s) to the log."""
    redis.rpush(LOG, f"{what} {time.time()}")


def bridge(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return wrapper


@app.task(name="crunch")
def crunch(seconds: float) -> int:
    """Keeps a core busy for so much of its own time."""
    note("start:crunch")
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        sum(range(1000))
    note("end:crunch")
    return os.getpid()


twin(crunch, "crunch", executor="process")


@app.task(name="soft", soft_time_limit=0.5, time_limit=20)
def soft() -> str:
    try:
        time.sleep(15)
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "too late"


twin(soft, "soft")


@app.task(name="softly", soft_time_limit=0.5)
@bridge
async def softly() -> str:
    await asyncio.sleep(15)
    return "too late"


twin(softly, "softly")


@app.task(name="hard", time_limit=0.5)
def hard() -> None:
    note(f"pid:{os.getpid()}")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    time.sleep(15)


twin(hard, "hard")


@app.task(name="dies", time_limit=20)
def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


twin(dies, "dies")


class OddError(Exception):
    """Cannot be made again from its `args`."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")


@app.task(name="odd", time_limit=20)
def odd() -> None:
    raise OddError(1, why="because")


twin(odd, "odd")


@app.task(name="again", bind=True, max_retries=5, default_retry_delay=0.1, time_limit=20)
def again(self: Any) -> list[Any]:
    note(f"again:{self.request.retries}")
    if self.request.retries < 2:
        raise self.retry(exc=ValueError("again"))
    return [self.request.id, current_task.name, self.request.retries]


twin(again, "again")


@app.task(
    name="by_itself",
    autoretry_for=(ValueError,),
    retry_kwargs={"max_retries": 2, "countdown": 0.1},
    time_limit=20,
)
def by_itself() -> None:
    note(f"by_itself:{current_task.request.retries}")
    raise ValueError("always")


twin(by_itself, "by_itself")


@app.task(name="threaded", time_limit=60)
def threaded() -> str:
    return current_task.name or ""


twin(threaded, "threaded", executor="thread")


@broker.task("ping")
async def ping() -> int:
    note("ping")
    return os.getpid()


@broker.task("sleeps", executor="process")
def sleeps(seconds: float) -> None:
    """Note the process and sleep."""
    note(f"pid:{os.getpid()}")
    time.sleep(seconds)
    note("end:sleeps")


@broker.task("native", time_limit=20, bind=True)
async def native(self: Any) -> list[Any]:
    """An `async def` in a child process, in a loop of its own there."""
    await asyncio.sleep(0)
    return [self.name, os.getpid()]
