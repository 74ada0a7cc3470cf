"""The TaskIQ broker of this application.

Workers are started with `python -m PACKAGE.worker MODULE ...`: name every module that defines tasks. A
message whose task no module has defined becomes a dead letter.
"""

from taskiq import AsyncBroker, InMemoryBroker

from ..settings import settings
from . import builtin_tasks
from .middleware import ContextMiddleware, RetryMiddleware
from .serialization import MessageFormatter
from .streams import StreamBroker
from .tasks import DurableTask


def create_broker() -> AsyncBroker:
    """Return the broker that the settings ask for.

    With `ENVIRONMENT=pytest` tasks run in place, inside `kiq`, and arguments arrive as they were sent.
    Otherwise messages go through a Redis stream, and results are kept in Redis as JSON.
    """
    broker: AsyncBroker
    if settings.ENVIRONMENT == "pytest":
        broker = InMemoryBroker(await_inplace=True, cast_types=False)
        broker.formatter = MessageFormatter()
    else:
        broker = StreamBroker(
            settings.TASKIQ_REDIS_URL or settings.CELERY_BROKER_URL,
            prefix=settings.TASKIQ_KEY_PREFIX,
            queues=[name.strip() for name in settings.TASKIQ_QUEUES.split(",")],
            lease=settings.TASKIQ_LEASE,
            max_deliveries=settings.TASKIQ_MAX_DELIVERIES,
            stop_timeout=settings.TASKIQ_STOP_TIMEOUT,
            result_ttl=settings.TASKIQ_RESULT_TTL,
            workflow_ttl=settings.TASKIQ_WORKFLOW_TTL,
        )
    return equip(broker)


def equip(broker: AsyncBroker) -> AsyncBroker:
    """Give a broker the tasks and middlewares that the worker modules rely on; return it."""
    broker.decorator_class = DurableTask
    broker.add_middlewares(ContextMiddleware(), RetryMiddleware())
    builtin_tasks.register(broker)
    return broker


broker = create_broker()
