"""The TaskIQ broker of this application.

Workers are started with `taskiq worker PACKAGE.worker.broker:broker MODULE ...`: name every module that
defines tasks after the broker. TaskIQ acknowledges and drops a message whose task no module has defined.
"""

from taskiq import AsyncBroker, InMemoryBroker
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend

from ..settings import settings
from .streams import StreamBroker


def create_broker() -> AsyncBroker:
    """Return the broker that the settings ask for.

    With `ENVIRONMENT=pytest` tasks run in place, inside `kiq`, and arguments arrive as they were sent.
    Otherwise messages go through a Redis stream, and results are kept in Redis as JSON for
    `TASKIQ_RESULT_TTL` seconds.
    """
    if settings.ENVIRONMENT == "pytest":
        return InMemoryBroker(await_inplace=True, cast_types=False)
    url = settings.TASKIQ_REDIS_URL or settings.CELERY_BROKER_URL
    prefix = settings.TASKIQ_KEY_PREFIX
    results: RedisAsyncResultBackend[object] = RedisAsyncResultBackend(
        redis_url=url,
        result_ex_time=settings.TASKIQ_RESULT_TTL,
        prefix_str=f"{prefix}:result",
        serializer=JSONSerializer(),
    )
    return StreamBroker(url=url, queue_name=f"{prefix}:queue").with_result_backend(results)


broker = create_broker()
