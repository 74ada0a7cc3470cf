"""The guide's broker, as it stands there, with one task: what becomes of messages sent before the first
worker?"""

import os

from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["CELERY_BROKER_URL"]
PREFIX = os.environ["TASKIQ_KEY_PREFIX"] + ":stock"

results: RedisAsyncResultBackend[object] = RedisAsyncResultBackend(
    redis_url=URL, result_ex_time=86400, prefix_str=f"{PREFIX}:result", serializer=JSONSerializer()
)
broker = RedisStreamBroker(
    url=URL, queue_name=f"{PREFIX}:queue", max_connection_pool_size=10, socket_timeout=None
).with_result_backend(results)


@broker.task(task_name="probe.echo")
async def echo(value: object) -> object:
    """Return what was sent."""
    return value
