"""The TaskIQ side."""

import os

from taskiq import SimpleRetryMiddleware, TaskiqScheduler
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = (
    RedisStreamBroker(url=os.environ["MINI_REDIS_URL"], consumer_id="0", socket_timeout=None)
    .with_result_backend(RedisAsyncResultBackend(os.environ["MINI_REDIS_URL"], result_ex_time=60))
    .with_middlewares(SimpleRetryMiddleware())
)
scheduler = TaskiqScheduler(broker, sources=[LabelScheduleSource(broker)])
