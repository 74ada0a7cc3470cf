"""What stands in the application's runtime for Celery's names; what has no counterpart, and why.

Tests hold this against `playbook/scaffold/worker`.
"""

from __future__ import annotations

ROOTS = ("celery", "kombu", "billiard", "flower", "vine", "amqp")
"""Packages that go."""

SIGNALS = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry")
CANVASES = ("chain", "chord", "group", "chunks", "xmap", "starmap", "signature")
STATES = ("PENDING", "SUCCESS", "FAILURE")

COUNTERPARTS = {
    **{f"celery.{name}": (".workflow", name) for name in CANVASES if name != "starmap"},
    **{f"celery.canvas.{name}": (".workflow", name) for name in (*CANVASES, "Signature")},
    "celery.xstarmap": (".workflow", "starmap"),
    "celery.Signature": (".workflow", "Signature"),
    "celery.subtask": (".workflow", "signature"),
    "celery.maybe_signature": (".workflow", "signature"),
    **{f"celery.signals.{name}": (".hooks", name) for name in SIGNALS},
    **{f"celery.states.{name}": (".sent", name) for name in STATES},
    "celery.schedules.crontab": (".schedules", "crontab"),
    "celery.schedules.schedule": (".schedules", "schedule"),
    "celery.exceptions.Retry": (".retries", "Retry"),
    "celery.exceptions.MaxRetriesExceededError": (".retries", "MaxRetriesExceededError"),
    "celery.exceptions.Ignore": (".errors", "Ignore"),
    "celery.exceptions.Reject": (".errors", "Reject"),
    "celery.exceptions.ImproperlyConfigured": (".errors", "ImproperlyConfigured"),
    "celery.exceptions.NotRegistered": (".errors", "NotRegistered"),
    "celery.exceptions.ChordError": (".errors", "ChordError"),
    "celery.exceptions.TaskRevokedError": (".errors", "TaskRevokedError"),
    "celery.exceptions.WorkerLostError": (".errors", "WorkerLostError"),
    "celery.exceptions.SoftTimeLimitExceeded": (".processes", "SoftTimeLimitExceededError"),
    "celery.exceptions.TimeLimitExceeded": (".processes", "TimeLimitExceededError"),
    "billiard.exceptions.SoftTimeLimitExceeded": (".processes", "SoftTimeLimitExceededError"),
    "billiard.exceptions.TimeLimitExceeded": (".processes", "TimeLimitExceededError"),
    "billiard.exceptions.WorkerLostError": (".errors", "WorkerLostError"),
    "celery.exceptions.TimeoutError": (".sent", "ResultTimeoutError"),
    "celery.utils.log.get_task_logger": ("logging", "getLogger"),
}
"""Module and name of what takes a name's place; a module that begins with a dot is one of the worker
package."""

IN_ANNOTATIONS = {
    "celery.Task": (".context", "CurrentTask"),
    "celery.app.task.Task": (".context", "CurrentTask"),
    "celery.result.AsyncResult": (".sent", "Handle"),
    "celery.result.EagerResult": (".sent", "Handle"),
}
"""The same, where a name only says of what type something is."""

ELSEWHERE = ("celery.shared_task", "celery.app.shared_task", "celery.Celery", "celery.current_task")
"""Names that another rule changes or refuses."""

REASONS = {
    "celery.signals": "Celery alone sent this signal; do the same in a TaskIQ event or middleware by hand",
    "celery.current_app": "there is no Celery app any more; ask the broker by hand (PACKAGE.worker.broker)",
    "celery.Task": "there is no class of Celery's tasks any more; write a TaskIQ middleware by hand",
    "celery.result": "results are looked for by Handle(task_id) now; do it by hand",
    "celery.bootsteps": "a worker has no boot steps now; use a TaskIQ event by hand",
    "celery.exceptions": "nothing raises this any more; take it out, or name what is raised now, by hand",
    "kombu.exceptions": "sending raises taskiq's SendTaskError, a canvas redis' RedisError; name these",
    "kombu": "queues are Redis streams by name now (TASKIQ_QUEUES, queue_name); change this by hand",
    "billiard": "processes of tasks are pebble's now; change this by hand",
}
"""Why a name is refused, by the longest beginning that fits."""

UNKNOWN = "it has no counterpart in the application's runtime; replace it by hand"


def reason_for(name: str) -> str:
    """Return why a dotted name is refused."""
    parts = name.split(".")
    beginnings = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((REASONS[found] for found in beginnings if found in REASONS), UNKNOWN)
