"""What runs when: the application's periodic tasks.

    beat_schedule = {
        "cleanup": {"task": "app.tasks.cleanup", "schedule": crontab(hour=3, minute=0)},
        "poll": {"task": "app.tasks.poll", "schedule": 2.5, "options": {"queue": "fast", "expires": 10}},
    }

The entries have the form of Celery's setting of that name (`schedule_entries`).
"""

from typing import Any

beat_schedule: dict[str, dict[str, Any]] = {}

timezone = "UTC"
"""The zone in which crontabs and relative intervals are read."""

starting_deadline: float | None = None
"""Seconds after which a missed crontab slot is not made up any more (`beat_cron_starting_deadline`)."""
