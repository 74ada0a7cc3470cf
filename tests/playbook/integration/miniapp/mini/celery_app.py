"""The Celery side."""

import os
import time

from celery import Celery

app = Celery("mini", broker=os.environ["MINI_REDIS_URL"], backend=os.environ["MINI_REDIS_URL"])
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    beat_schedule={"tick": {"task": "mini.tick", "schedule": 0.5}},
)


@app.task(name="mini.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="mini.tick")
def tick() -> None:
    pass


@app.task(name="mini.fail")
def fail() -> None:
    raise ValueError("on purpose")


@app.task(name="mini.flaky", bind=True, max_retries=3)
def flaky(self, failures: int) -> int:
    if self.request.retries < failures:
        raise self.retry(exc=OSError("not yet"), countdown=0.2)
    return self.request.retries


@app.task(name="mini.sleep")
def sleep(seconds: float) -> None:
    time.sleep(seconds)
