"""Stand-in for the application's settings: the fields that the worker modules read.

The fields marked below are added to the application's own `Settings`; the others are expected there already.
"""

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Values from the environment, under the same names."""

    ENVIRONMENT: str = "production"
    CELERY_BROKER_URL: str = "redis://localhost:6379/1"

    # TaskIQ: which Redis (None: the one Celery uses), the prefix of every key (its braces keep all keys
    # together on a cluster), how long results are kept, and workflows in which nothing happens (seconds), and
    # the queues that workers read.
    TASKIQ_REDIS_URL: str | None = None
    TASKIQ_KEY_PREFIX: str = "{taskiq}"
    TASKIQ_RESULT_TTL: int = 86_400
    TASKIQ_WORKFLOW_TTL: int = 604_800
    TASKIQ_QUEUES: str = "default"
    # TaskIQ workers: seconds after a worker's last heartbeat until others take over its tasks; how many
    # workers may die over one message; seconds that running tasks have when a worker stops (keep it below the
    # time after which your supervisor kills).
    TASKIQ_LEASE: float = 30.0
    TASKIQ_MAX_DELIVERIES: int = 5
    TASKIQ_STOP_TIMEOUT: float = 25.0
    # Child processes of a TaskIQ worker for tasks that run in processes (None: one for each core).
    TASKIQ_PROCESSES: int | None = None
    # Where workers and the scheduler answer /livez, /readyz and /metrics (None: nowhere). Each process needs
    # a port of its own; in a container let them listen on 0.0.0.0.
    TASKIQ_HTTP_HOST: str = "127.0.0.1"
    TASKIQ_HTTP_PORT: int | None = None
    # While both systems run: which one gets a call of a task that is on both (celery, taskiq or TaskIQ's
    # percentage), and the same for single tasks by name. Routes in Redis count more (worker/flags.py).
    TASKIQ_ROUTE: str = "celery"
    TASKIQ_ROUTES: dict[str, str] = {}


settings = Settings()
