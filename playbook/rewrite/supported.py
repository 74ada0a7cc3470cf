"""What the migrated application's runtime offers of Celery's objects, as far as rules must know it.

Tests hold this against `playbook/scaffold/worker`.
"""

from __future__ import annotations

HANDLE = frozenset(
    {"id", "task_id", "ready", "get", "wait", "state", "status", "result", "successful", "failed"}
)
"""Attributes of a call's result (`handles.Handle`)."""

AWAITED = {"get": "aget", "wait": "aget", "ready": "aready"}
"""Those that look into Redis, and what async code awaits instead."""

WAIT_OPTIONS = frozenset({"timeout", "propagate"})
"""Arguments of a wait."""

CURRENT_TASK = frozenset({"request", "name", "max_retries", "retry", "replace", "add_to_chord"})
"""Attributes of the running task, and of `self` in a bound one (`context.CurrentTask`)."""

REQUEST = frozenset(
    {
        *("id", "task", "args", "kwargs", "retries", "eta", "expires", "hostname"),
        *("root_id", "parent_id", "group", "in_chord", "delivery_info", "called_directly"),
        "is_eager",
    }
)
"""Attributes of its request (`running.Request`)."""

RETRY = frozenset({"args", "kwargs", "exc", "throw", "eta", "countdown", "max_retries", "queue", "expires"})
"""Arguments of its `retry`."""

TASK_OPTIONS = frozenset(
    {
        *("name", "bind", "queue", "expires", "ignore_result", "shared", "lazy"),
        *("max_retries", "default_retry_delay", "autoretry_for", "dont_autoretry_for", "retry_kwargs"),
        *("retry_backoff", "retry_backoff_max", "retry_jitter"),
        *("time_limit", "soft_time_limit", "acks_late", "reject_on_worker_lost", "throws", "track_started"),
    }
)
"""Options of a task's decorator that its twin keeps, or that make no difference to it."""

SIGNALS = frozenset({"task_prerun", "task_postrun", "task_success", "task_failure", "task_retry"})
"""Signals whose handlers are called for twins as well (`signals.CelerySignals`)."""
