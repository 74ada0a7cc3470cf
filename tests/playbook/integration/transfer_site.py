"""An application on both systems, for transfers under load: tasks, a producer that follows a route, and beat.

    celery -A transfer_site worker | beat
    taskiq worker playbook.scaffold.worker.broker:broker transfer_site
    python transfer_site.py TASKS_PER_SECOND     sends until the key `site:stop` is there

Each task that is sent is noted in `site:sent`, as "id retries" of its last attempt; each attempt that starts
in `site:starts`, and that ends in `site:ends`.
"""

import asyncio
import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import celery
from celery import Celery, signals
from celery import current_task as celery_task
from redis import Redis

from playbook.scaffold.worker import context, workflow
from playbook.scaffold.worker.broker import broker
from playbook.scaffold.worker.context import current_task

URL = os.environ["CELERY_BROKER_URL"]
SENT, STARTS, ENDS, ROUTE, STOP = "site:sent", "site:starts", "site:ends", "site:route", "site:stop"
TICK = "transfer_site.tick"
RETRIES = 2
redis: Redis = Redis.from_url(URL, decode_responses=True)

app = Celery("transfer_site", broker=URL, backend=URL)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    beat_schedule={"tick": {"task": TICK, "schedule": 0.25}},
)
context.fallback = celery_task._get_current_object  # type: ignore[attr-defined]


def attempt(pause: float = 0.005) -> int:
    """Note an attempt's start and end; return its number."""
    request = current_task.request
    noted = f"{request.id} {request.retries}"
    redis.rpush(STARTS, noted)
    time.sleep(pause)
    redis.rpush(ENDS, noted)
    return int(request.retries)


def step(*args: Any, number: int = 0) -> int:
    """Do something short."""
    attempt()
    return number


def again(delay: float) -> int:
    """Ask for another attempt, `RETRIES` times."""
    if attempt() < RETRIES:
        raise current_task.retry(countdown=delay)
    return 0


def total(numbers: list[int]) -> int:
    """Be the body of a chord."""
    attempt()
    return sum(numbers)


def tick() -> None:
    """Be sent by beat."""
    attempt()


for function in (step, again, total, tick):
    name = f"transfer_site.{function.__name__}"
    app.task(name=name, max_retries=5)(function)
    broker.task(name, max_retries=5)(function)


@signals.after_task_publish.connect(weak=False)
def note_tick(sender: str = "", headers: Any = None, **_: Any) -> None:
    """Note what beat has sent; before that, it may be stopped."""
    if sender == TICK:
        redis.sadd(SENT, f"{headers['id']} 0")


class Side:
    """How to make canvases and to send them, on one system."""

    def __init__(self, route: str) -> None:
        canvases: Any = celery if route == "celery" else workflow
        self.chain, self.group, self.chord = canvases.chain, canvases.group, canvases.chord
        self._find: Callable[[str], Any] = app.tasks.get if route == "celery" else broker.find_task
        self.sent: list[str] = []

    def sig(self, name: str, *args: Any, immutable: bool = False, **kwargs: Any) -> Any:
        """Return a signature with an id that is noted."""
        task_id = str(uuid.uuid4())
        self.sent.append(f"{task_id} {RETRIES if name == 'again' else 0}")
        task = self._find(f"transfer_site.{name}")
        return task.signature(args, kwargs, immutable=immutable).set(task_id=task_id)

    async def send(self, canvas: Any) -> None:
        """Note what it comes to, and send it."""
        await asyncio.to_thread(redis.sadd, SENT, *self.sent)
        if isinstance(canvas, workflow.Signature):
            await canvas.apply_async()
        else:
            await asyncio.to_thread(canvas.apply_async)


def alone(side: Side) -> Any:
    return side.sig("step", number=1)


def later(side: Side) -> Any:
    return side.sig("step", number=1).set(countdown=random.uniform(1, 12))


def retried(side: Side) -> Any:
    return side.sig("again", random.uniform(0.5, 4))


def chained(side: Side) -> Any:
    return side.chain(*(side.sig("step", number=n) for n in range(4)))


def linked(side: Side) -> Any:
    first = side.sig("step", number=1)
    first.link(side.chain(side.sig("step"), side.sig("step")))
    return first


def fanned_in(side: Side) -> Any:
    inner = side.chord([side.sig("step", number=n) for n in range(2)], side.sig("total"))
    chained = side.chain(side.sig("step", number=1), side.sig("again", 1.0, immutable=True), side.sig("step"))
    header = [side.sig("step", number=1).set(countdown=random.uniform(0, 4)), chained, inner]
    return side.chord(header, side.sig("total")) | side.sig("step") | side.sig("step")


KINDS = [alone] * 20 + [later] * 4 + [retried] * 2 + [chained] * 3 + [fanned_in] * 2


async def produce(rate: float) -> None:
    """Send at a rate (tasks/s), by the route that Redis names, until told to stop."""
    began, sent = time.monotonic(), 0
    while not redis.exists(STOP):
        side = Side(redis.get(ROUTE) or "celery")
        kind = random.choice(KINDS)
        await side.send(kind(side))
        sent += len(side.sent)
        await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
    print(f"{sent / (time.monotonic() - began):.0f} tasks/s")


if __name__ == "__main__":
    asyncio.run(produce(float(sys.argv[1])))
