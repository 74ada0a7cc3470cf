"""What the migration cannot convert by itself: options of tasks and of calls, parts of Celery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TASK_OPTIONS = {
    "rate_limit": "TaskIQ has no rate limits; limit the rate in the task or at the service it calls",
    "time_limit": "TaskIQ cannot kill a running task; give the work in it time-outs of its own",
    "soft_time_limit": "TaskIQ raises no SoftTimeLimitExceeded; give the work in it time-outs of its own",
    "priority": "a Redis stream has no priorities; use a broker of its own for urgent tasks",
    "expires": "a TaskIQ message does not expire; check its age in the task",
    "base": "a Task class can override anything; move its behaviour to a decorator or a middleware",
    "cls": "a Task class can override anything; move its behaviour to a decorator or a middleware",
    "**": "the options are computed at run time; write them out",
    "run_every": "`periodic_task` left Celery with version 5; put the entry into beat_schedule",
}
CALL_OPTIONS = {
    "priority": TASK_OPTIONS["priority"],
    "expires": TASK_OPTIONS["expires"],
    "time_limit": TASK_OPTIONS["time_limit"],
    "soft_time_limit": TASK_OPTIONS["soft_time_limit"],
    "shadow": "TaskIQ knows a task by one name only; drop the shadow name",
}
PARTS = (
    (
        r"\.control\.revoke$|\.revoke$",
        "revoke",
        "TaskIQ cannot take back or stop a task; let the task check a flag",
    ),
    (
        r"control\.(?:terminate|shutdown|pool_\w+|rate_limit|time_limit|add_consumer|cancel_consumer|broadcast|purge)$",
        "remote control",
        "TaskIQ workers take no commands; use the process manager",
    ),
    (
        r"celery\.Task\.(?:replace|add_to_chord|add_trail)$",
        "task replacement",
        "a TaskIQ task cannot put another in its place; return the work as a step of a chain",
    ),
    (r"bootsteps?\b|\.steps$", "bootstep", "TaskIQ workers have no blueprints; use broker event handlers"),
    (r"\.events\.|celery\.events\b", "event stream", "TaskIQ sends no worker events; use the metrics"),
    (
        r"AbortableTask|AbortableAsyncResult",
        "abortable task",
        "TaskIQ cannot abort; let the task check a flag",
    ),
    (
        r"^(?:django_celery_beat|redbeat|celery_redbeat)",
        "stored schedule",
        "these schedules live in a database or in Redis, not in the code; move them into beat_schedule",
    ),
    (
        r"^celery_once|^celery_singleton|^celery_batches",
        "extension",
        "this extension of Celery has no counterpart",
    ),
)
SERIALISERS = frozenset({"pickle", "application/x-python-serialize", "yaml", "application/x-yaml", "msgpack"})
ROUTES = re.compile(r"(?:CELERY_(?:TASK_)?|TASK_)ROUTES", re.IGNORECASE)
POOL = re.compile(r"(?:-P|pool)['\",\s=:]*(eventlet|gevent)\b", re.IGNORECASE)


def of_task(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield construct and reason for each option of a task that cannot be converted."""
    for option, value in options.items():
        if option in TASK_OPTIONS and value is not None:
            yield option if option != "**" else "computed options", TASK_OPTIONS[option]
    if options.get("serializer") in SERIALISERS:
        yield "serialiser", "only JSON is kept; make the arguments JSON values"
    if str(options.get("name", "")).startswith("<"):
        yield "dynamic task name", f"the name {options['name']} exists only at run time; write it out"


def of_call(keywords: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield construct and reason for each keyword of a call (name to source) that cannot be converted."""
    for keyword, text in keywords.items():
        if keyword in CALL_OPTIONS and text != "None":
            yield keyword, CALL_OPTIONS[keyword]


def of_name(name: str) -> tuple[str, str] | None:
    """Construct and reason if this part of Celery has no counterpart, else None."""
    for pattern, construct, reason in PARTS:
        if re.search(pattern, name):
            return construct, reason
    return None
