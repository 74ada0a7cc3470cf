"""An entry of the schedule: which task, when, with what.

Celery's form is `{"task", "schedule", "args", "kwargs", "options", "relative"}` (celery/beat.py,
`ScheduleEntry`). Of its options `queue`, `expires` and `countdown` are kept, those that only say how Celery
sends are dropped, and any other is refused: it would be lost.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from taskiq import ScheduledTask

from .crontab import Due, crontab
from .schedules import Schedule, as_json, from_json, maybe_schedule
from .serialization import Serializer

FIELDS = {"task", "schedule", "args", "kwargs", "options", "relative"}
KEPT = {"queue": "queue_name", "expires": "expires", "countdown": "countdown"}
"""Options of an entry and the labels they become."""

TRANSPORT = {"retry", "retry_policy", "ignore_result"}

NEVER = datetime.max.replace(tzinfo=UTC)
"""After every due time."""


class ScheduleError(ValueError):
    """An entry makes no sense, or needs what the runtime does not have."""


@dataclass(frozen=True)
class Once:
    """A single due time, which is past after its run."""

    at: datetime

    def following(self, last_run: datetime, zone: tzinfo) -> datetime:
        """Return the time if it is after `last_run`, else `NEVER`."""
        return self.at if self.at > last_run else NEVER

    def is_due(self, last_run: datetime, now: datetime, zone: tzinfo, deadline: float | None = None) -> Due:
        """Tell whether the time has come."""
        left = (self.following(last_run, zone) - now).total_seconds()
        return Due(left <= 0, max(0.0, left))


@dataclass(frozen=True)
class Entry:
    """An entry.

    Attributes:
        name: its name, which is that of its last run in Redis as well.
        task: name of the task.
        schedule: when it is due.
        args, kwargs: arguments of the task.
        labels: labels of the message, as `kiq` takes them.
        zone: zone in which the schedule is read; None: the application's.
        stored: whether it was added at run time.
        routed: whether Celery has it as well, in dual mode: those of the `beat_schedule` module.
    """

    name: str
    task: str
    schedule: Schedule
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    zone: str | float | None = None
    stored: bool = False
    routed: bool = False

    @classmethod
    def of(cls, name: str, fields: Mapping[str, Any], stored: bool = False) -> "Entry":
        """Read an entry in Celery's form.

        Raises:
            ScheduleError: something is missing, unknown, or cannot be sent as JSON.
        """
        if unknown := set(fields) - FIELDS:
            raise ScheduleError(f"schedule entry {name!r}: unknown field {', '.join(sorted(unknown))}")
        if not isinstance(fields.get("task"), str) or "schedule" not in fields:
            raise ScheduleError(f"schedule entry {name!r} needs the name of a task and a schedule")
        options = {k: v for k, v in (fields.get("options") or {}).items() if k not in TRANSPORT}
        if foreign := set(options) - set(KEPT):
            raise ScheduleError(
                f"schedule entry {name!r}: the option {', '.join(sorted(foreign))} has no meaning here; "
                f"there are {', '.join(KEPT)}"
            )
        try:
            entry = cls(
                name=name,
                task=fields["task"],
                schedule=maybe_schedule(fields["schedule"], bool(fields.get("relative"))),
                args=tuple(fields.get("args") or ()),
                kwargs=dict(fields.get("kwargs") or {}),
                labels={KEPT[k]: _label(v) for k, v in options.items() if v is not None},
                stored=stored,
                routed=not stored,
            )
            Serializer().dumpb([entry.args, entry.kwargs])
        except (TypeError, ValueError) as error:
            raise ScheduleError(f"schedule entry {name!r}: {error}") from error
        return entry

    @classmethod
    def of_taskiq(cls, task: ScheduledTask, stored: bool = True) -> "Entry":
        """Read one of TaskIQ's schedules. A cron without an offset is in UTC, as TaskIQ has it.

        Raises:
            ScheduleError: the cron is none (six fields, for instance).
        """
        offset = task.cron_offset
        zone = offset.total_seconds() if isinstance(offset, timedelta) else offset or "UTC"
        try:
            when: Schedule
            if task.cron is not None:
                when = crontab.from_string(task.cron)
            elif task.interval is not None:
                when = maybe_schedule(task.interval)
            else:
                assert task.time is not None  # TaskIQ's model makes sure of one of the three
                when = Once(task.time if task.time.tzinfo else task.time.replace(tzinfo=UTC))
            zone_of(zone)
        except Exception as error:
            raise ScheduleError(f"schedule of {task.task_name}: {error}") from error
        labels = {name: value for name, value in task.labels.items() if name != "schedule"}
        kept = (tuple(task.args), dict(task.kwargs), labels, zone, stored)
        return cls(task.schedule_id, task.task_name, when, *kept)

    def dumps(self) -> bytes:
        """Return the entry as JSON."""
        once = isinstance(self.schedule, Once)
        when = {"at": self.schedule.at.isoformat()} if isinstance(self.schedule, Once) else None
        stored = {
            "task": self.task,
            "schedule": when if once else as_json(self.schedule),
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            "labels": dict(self.labels),
            "zone": self.zone,
        }
        return Serializer().dumpb(stored)

    @classmethod
    def loads(cls, name: str, text: bytes) -> "Entry":
        """Read what `dumps` wrote; raise `ScheduleError` if it is something else."""
        try:
            stored = Serializer().loadb(text)
            when = stored["schedule"]
            schedule = Once(datetime.fromisoformat(when["at"])) if "at" in when else from_json(when)
            rest = (tuple(stored["args"]), stored["kwargs"], stored["labels"], stored["zone"])
            return cls(name, stored["task"], schedule, *rest, stored=True)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ScheduleError(f"stored schedule entry {name!r} cannot be read: {error!r}") from error

    @property
    def once(self) -> bool:
        """Whether it is over after one run."""
        return isinstance(self.schedule, Once)


def read_entries(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Entry]:
    """Read a schedule in Celery's form; raise `ScheduleError` with the name of the first bad entry."""
    return {name: Entry.of(name, fields) for name, fields in entries.items()}


def zone_of(name: str | float) -> tzinfo:
    """Return a zone by its name, or by its distance from UTC (s).

    Raises:
        ScheduleError: there is no such zone.
    """
    if not isinstance(name, str):
        return timezone(timedelta(seconds=name))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"there is no time zone {name!r}") from error


def _label(value: Any) -> Any:
    """Return an option as a label: a time as ISO 8601, in UTC if it names no zone; a duration in seconds."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value
