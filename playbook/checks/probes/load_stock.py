"""The load on TaskIQ as the guide sets it up, without its mistakes that lose messages (docs/traps.md)."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from taskiq import SimpleRetryMiddleware, TaskiqScheduler, gather
from taskiq.serializers import JSONSerializer
from taskiq_pipelines import PipelineMiddleware
from taskiq_redis import ListRedisScheduleSource, RedisAsyncResultBackend, RedisStreamBroker

from playbook.checks.probes import load_work

URL = os.environ["CELERY_BROKER_URL"]
RESULT = ""
broker = (
    RedisStreamBroker(url=URL, consumer_id="0", socket_timeout=None)
    .with_result_backend(
        RedisAsyncResultBackend(redis_url=URL, result_ex_time=86400, serializer=JSONSerializer())
    )
    .with_middlewares(PipelineMiddleware(), SimpleRetryMiddleware(default_retry_count=3))
)
source = ListRedisScheduleSource(URL, serializer=JSONSerializer())
scheduler = TaskiqScheduler(broker, sources=[source])
FUNCTIONS: dict[str, Any] = {
    "noop": load_work.noop_async,
    "cpu": load_work.cpu,
    "io_sync": load_work.io_sync,
    "io_async": load_work.io_async,
    "body": load_work.body,
}
tasks: dict[str, Any] = {name: broker.task(name)(function) for name, function in FUNCTIONS.items()}


async def send(kind: str) -> str:
    """Send a task; return its id."""
    return str((await tasks[kind].kiq(time.time())).task_id)


async def send_later(kind: str, delay: float) -> str:
    """Leave a task with the scheduler that is due in `delay` seconds."""
    task_id = os.urandom(16).hex()
    due = datetime.now(UTC) + timedelta(seconds=delay)
    await tasks[kind].kicker().with_task_id(task_id).schedule_by_time(source, due, due.timestamp())
    return task_id


async def fan_in(size: int, waiting: bool = True) -> Any:
    """Run tasks, and a callback when all have ended, as the guide does. Without `waiting`, only send them."""
    now = time.time()
    sent = [await tasks["noop"].kiq(now) for _ in range(size)]
    if not waiting:
        return None
    found = await gather(*sent, timeout=300)
    called = await tasks["body"].kiq([result.return_value for result in found])
    return (await called.wait_result(timeout=300)).return_value
