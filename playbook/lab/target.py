"""What the lab has to know of the application that it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playbook.lab.aws import Aws


@dataclass(frozen=True)
class Services:
    """Where the lab's services are. All addresses are known before anything runs.

    `redis_prefix` is what the names of keys must begin with; it is empty for a Redis of the lab's own.
    """

    redis_url: str
    redis_prefix: str
    database_url: str
    world_url: str
    api_url: str
    aws: Aws
    data_dir: Path


@dataclass(frozen=True)
class Target:
    """An application: how its parts are named, what it expects to find, how it learns where that is.

    Attributes:
        celery_app: `module:attribute` of the Celery application.
        asgi_app: `module:attribute` of the HTTP application.
        broker: `module:attribute` of the TaskIQ broker, once there is one.
        scheduler: the same for the TaskIQ scheduler.
        health_path: what the HTTP application answers with 200 when it is ready.
        setup: arguments for Python that create the database's tables.
        buckets: S3 buckets.
        queues: SQS queues.
        settings: makes the application's environment variables from the services.
    """

    celery_app: str
    asgi_app: str
    broker: str
    scheduler: str
    health_path: str
    setup: tuple[str, ...]
    buckets: tuple[str, ...]
    queues: tuple[str, ...]
    settings: Callable[[Services], dict[str, str]]
