"""The guide's broker, as it stands there, without any task."""

import os

from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["CELERY_BROKER_URL"]
QUEUE = os.environ["PLAYBOOK_STOCK_QUEUE"]

results: RedisAsyncResultBackend[object] = RedisAsyncResultBackend(
    redis_url=URL, result_ex_time=86400, prefix_str=f"{QUEUE}:result", serializer=JSONSerializer()
)
broker = RedisStreamBroker(
    url=URL,
    queue_name=QUEUE,
    consumer_group_name=QUEUE,
    max_connection_pool_size=10,
    socket_timeout=None,
).with_result_backend(results)
