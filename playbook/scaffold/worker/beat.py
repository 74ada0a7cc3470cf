"""Celery's beat, sharing its slots with the TaskIQ scheduler (dual mode; cutover deletes this).

    app.conf.beat_scheduler = "PACKAGE.worker.beat:SharedScheduler"

The entries stay Celery's own. Those that the application's `beat_schedule` module has as well are claimed in
Redis before they are sent, in the same step as the scheduler's, and the claim heeds the flags. All others
(Celery's own clean-up, schedules that TaskIQ does not know) run as always.

Invariant: beat sends a shared slot only after it has claimed it. If the message cannot be sent, the claim is
taken back. Beat's file has the last runs of both systems, so that a plain beat can go on with it.
"""

import copy
import logging
from typing import Any

from celery import schedules as celery_schedules
from celery.beat import PersistentScheduler, ScheduleEntry

from ..settings import settings
from . import beat_schedule
from .connections import ERRORS, client, is_outage
from .crontab import crontab
from .keys import Keys
from .schedule_entries import Entry, ScheduleError, read_entries, zone_of
from .schedule_routes import taskiq_share
from .schedule_store import (
    CLAIM,
    LOOK,
    RELEASE,
    Answer,
    Claim,
    ScheduleKeys,
    Slot,
    View,
    claim_call,
    instant,
    microseconds,
)
from .scheduler_agenda import AGAIN, Agenda
from .schedules import Schedule, schedule

logger = logging.getLogger(__name__)

FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


class SharedScheduler(PersistentScheduler):
    """Beat's own scheduler; the slots that the TaskIQ scheduler knows are claimed first."""

    def setup_schedule(self) -> None:
        """Load beat's file, and tell Redis the last runs that only the file knows.

        Raises:
            ScheduleError: an entry of the `beat_schedule` module is not the same here.
        """
        super().setup_schedule()
        entries = read_entries(beat_schedule.beat_schedule)
        zone = zone_of(beat_schedule.timezone)
        if zone != self.app.timezone:
            raise ScheduleError(
                f"Celery's time zone is {self.app.timezone}, beat_schedule.timezone is {zone}"
            )
        for entry in entries.values():
            compare(self.schedule.get(entry.name), entry)
        self._agenda = Agenda(entries, zone, self.app.conf.beat_cron_starting_deadline)
        self._names = ScheduleKeys(Keys(settings.TASKIQ_KEY_PREFIX))
        self._redis = client(settings.TASKIQ_REDIS_URL or settings.CELERY_BROKER_URL)
        self._scripts = {
            name: self._redis.register_script(text)
            for name, text in (("claim", CLAIM), ("look", LOOK), ("release", RELEASE))
        }
        self._seeded = False
        self._reachable = True

    def populate_heap(self, *args: Any, **kwargs: Any) -> None:
        """Leave the shared entries out of Celery's own queue."""
        super().populate_heap(*args, **kwargs)
        everything: list[Any] = self._heap  # type: ignore[has-type]
        self._heap = [event for event in everything if event.entry.name not in self._agenda.entries]

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until the next call. Without Redis, shared entries wait."""
        own: float = super().tick(*args, **kwargs)
        try:
            if not self._seeded:
                self._seed()
            if self._agenda.stale:
                self._look()
            for slot in self._agenda.due():
                self._claim(slot)
            if not self._reachable:
                logger.warning("Redis is back, the schedule goes on")
            self._reachable = True
            return min(own, self._agenda.pause())
        except ERRORS as error:
            if not is_outage(error):
                raise
            if self._reachable:
                logger.warning("the schedule waits for Redis: %s", error)
            self._reachable = False
            return min(own, AGAIN)

    def _seed(self) -> None:
        for name in self._agenda.entries:
            entry: Any = self.schedule[name]
            self._redis.hsetnx(self._names.last, name, microseconds(entry.last_run_at))
        self._seeded = True

    def _look(self) -> None:
        view = View.of(self._scripts["look"](self._names.seen))
        self._agenda.see(view, stored=False)
        for name in self._agenda.entries:
            if name in view.last:
                self._note(name, view.last[name])

    def _claim(self, slot: Slot) -> None:
        # Connects to Celery's broker, and waits for it, while nothing is claimed.
        producer = self.producer
        late = self._agenda.is_too_late(slot)
        share = taskiq_share(slot.task)
        keys, args = claim_call(self._names, [Claim(slot, "celery", share, counts=not late)])
        (answer,) = Answer.all(self._scripts["claim"](keys, args))
        self._agenda.heed(slot, answer)
        if answer.status == "other":
            return
        entry = self._note(slot.entry, answer.last)
        if answer.status != "sent":
            return
        at = instant(slot.due).isoformat()
        if late:
            logger.warning("schedule: %s, due at %s, is too late and was let go", slot.entry, at)
            return
        logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        entry.total_run_count += 1
        sent = copy.copy(entry)
        options = entry.options or {}
        sent.options = {**options, "headers": {**options.get("headers", {}), "scheduled_for": at}}
        try:
            self.apply_async(sent, producer=producer, advance=False)
        except Exception:
            logger.exception("schedule: %s cannot be sent by Celery, the claim is taken back", slot.entry)
            self._scripts["release"]([self._names.last], [slot.entry, answer.last, slot.last])
            self._agenda.hold(slot, AGAIN)

    def _note(self, name: str, last: int) -> ScheduleEntry:
        """Write a last run to beat's own entry, if it is another; return the entry."""
        entry: ScheduleEntry = self.schedule[name]
        last_run_at = instant(last).astimezone(self.app.timezone)
        if entry.last_run_at != last_run_at:
            entry = copy.copy(entry)
            entry.last_run_at = last_run_at
            self.schedule[name] = entry
        return entry

    def close(self) -> None:
        """Write beat's file and close the connections."""
        super().close()
        self._redis.close()


def compare(theirs: ScheduleEntry | None, ours: Entry) -> None:
    """Raise `ScheduleError` if an entry is not the same under Celery and in the `beat_schedule` module."""
    if theirs is None:
        raise ScheduleError(f"schedule entry {ours.name!r} is in beat_schedule, but Celery does not have it")
    pairs = {
        "task": (theirs.task, ours.task),
        "schedule": (of_celery(theirs.schedule), ours.schedule),
        "args": (tuple(theirs.args or ()), ours.args),
        "kwargs": (dict(theirs.kwargs or {}), dict(ours.kwargs)),
    }
    for field, (celery, taskiq) in pairs.items():
        if celery != taskiq:
            raise ScheduleError(
                f"schedule entry {ours.name!r}: its {field} is {celery!r} for Celery and {taskiq!r} in "
                "beat_schedule; make both the same"
            )


def of_celery(given: Any) -> Schedule | None:
    """Return one of Celery's schedules as ours; None for kinds that only Celery has."""
    if type(given) is celery_schedules.crontab:
        return crontab(**{name: getattr(given, f"_orig_{name}") for name in FIELDS})
    if type(given) is celery_schedules.schedule:
        interval: Any = given
        return schedule(interval.run_every, interval.relative)
    return None
