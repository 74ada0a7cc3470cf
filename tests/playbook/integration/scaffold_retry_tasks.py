"""The same twelve tasks on Celery and on TaskIQ, with the same retry options. Each notes its attempts."""

import json
import os
import time
from typing import Any

from celery import Celery
from redis import Redis

from playbook.scaffold.worker.broker import broker

URL = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/1")
app = Celery("tests", broker=URL, backend=URL, set_as_current=False)
redis = Redis.from_url(URL, decode_responses=True)

AUTO = {"autoretry_for": (ValueError,)}
POLICIES: dict[str, dict[str, Any]] = {
    "defaults, without autoretry": {"retry_backoff": True, "max_retries": 5},
    "explicit, fixed delay": {"default_retry_delay": 0.4, "max_retries": 2, "explicit": {}},
    "explicit, back-off options are inert": {
        "default_retry_delay": 0.3,
        "max_retries": 2,
        "retry_backoff": 30,
        "explicit": {},
    },
    "explicit, countdown": {"max_retries": 2, "explicit": {"countdown": 0.5}},
    "explicit, its own limit": {"max_retries": 5, "explicit": {"countdown": 0.2, "max_retries": 1}},
    "explicit, no retries": {"max_retries": 0, "explicit": {}},
    "automatic, fixed delay": {**AUTO, "default_retry_delay": 0.3, "max_retries": 3},
    "automatic, countdown": {**AUTO, "retry_kwargs": {"countdown": 0.4, "max_retries": 2}},
    "automatic, back-off": {**AUTO, "retry_backoff": True, "retry_jitter": False, "max_retries": 2},
    "automatic, capped back-off": {
        **AUTO,
        "retry_backoff": 5,
        "retry_backoff_max": 1,
        "retry_jitter": False,
        "max_retries": 2,
    },
    "automatic, jitter": {**AUTO, "retry_backoff": True, "retry_backoff_max": 2, "max_retries": 2},
    "automatic, excluded": {**AUTO, "dont_autoretry_for": (UnicodeError,)},
}


def make(name: str, system: str, options: dict[str, Any]) -> Any:
    """The function of a policy's task."""
    explicit = options.get("explicit")
    error = UnicodeError("no") if "dont_autoretry_for" in options else ValueError("no")

    def task(self: Any) -> None:
        redis.rpush(f"tests:{system}", json.dumps([name, self.request.retries, time.time()]))
        if explicit is None:
            raise error
        raise self.retry(exc=error, **explicit)

    task.__name__ = f"task_{system}_{list(POLICIES).index(name)}"
    return task


for policy, options in POLICIES.items():
    known = {key: value for key, value in options.items() if key != "explicit"}
    app.task(name=policy, bind=True, shared=False, **known)(make(policy, "celery", options))
    broker.register_task(make(policy, "taskiq", options), policy, bind=True, **known)
