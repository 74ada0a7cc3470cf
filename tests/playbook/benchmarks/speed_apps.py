"""One task, on stock taskiq-redis, on our broker and on Celery: each on a Redis database of its own."""

import os
import time

from celery import Celery
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from playbook.scaffold.worker.broker import equip
from playbook.scaffold.worker.streams import StreamBroker

URL = os.environ.get("SPEED_REDIS_URL", "redis://localhost:6379")
TTL = 3600


def database(number: int) -> str:
    """URL of one database of the Redis."""
    return f"{URL}/{number}"


stock = RedisStreamBroker(database(1), consumer_id="0", socket_timeout=None).with_result_backend(
    RedisAsyncResultBackend(database(1), result_ex_time=TTL, serializer=JSONSerializer())
)
ours = StreamBroker(database(2), result_ttl=TTL)
equip(ours)
app = Celery("speed", broker=database(3), backend=database(3), set_as_current=False)
app.conf.result_expires = TTL


@stock.task("speed")
async def stock_speed(sent: float) -> float:
    """Return the seconds since it was sent."""
    return time.time() - sent


@ours.task("speed")
async def our_speed(sent: float) -> float:
    """Return the seconds since it was sent."""
    return time.time() - sent


@app.task(name="speed", shared=False)
def celery_speed(sent: float) -> float:
    """Return the seconds since it was sent."""
    return time.time() - sent
