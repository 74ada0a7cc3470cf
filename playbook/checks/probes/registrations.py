"""What is registered: `registrations.py CELERY_APP_MODULE:NAME [BROKER_MODULE:NAME]`.

Celery's tasks with the options that decide how they behave, and TaskIQ's with the signature that it will
read.
"""

import importlib
import inspect
import json
import sys
from typing import Any

OPTIONS = (
    "max_retries default_retry_delay acks_late ignore_result rate_limit time_limit soft_time_limit",
    "serializer queue priority autoretry_for retry_backoff retry_backoff_max retry_jitter retry_kwargs",
)


def named(path: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def plain(value: Any) -> Any:
    """A value as JSON, classes by name."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


app = named(sys.argv[1])
app.loader.import_default_modules()
celery = {
    name: {
        "signature": str(inspect.signature(task.run)),
        **{key: plain(getattr(task, key)) for key in " ".join(OPTIONS).split() if hasattr(task, key)},
    }
    for name, task in app.tasks.items()
    if not name.startswith("celery.")
}
taskiq = {}
if len(sys.argv) > 2:
    tasks = named(sys.argv[2]).get_all_tasks()
    taskiq = {name: str(inspect.signature(task.original_func)) for name, task in tasks.items()}
beat = {entry: options["task"] for entry, options in app.conf.beat_schedule.items()}
print(json.dumps({"celery": celery, "beat": beat, "taskiq": taskiq}, default=str))
