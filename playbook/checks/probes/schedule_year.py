"""Due times of every entry, by Celery's beat and by the new scheduler: `... APP WORKER_PACKAGE PLAN`.

APP is `module:attribute` of the Celery app. PLAN is JSON: for each window its time zone (null: each system's
own), start and end (ISO 8601), how many slots of an interval are enough, and further crontabs. Prints, for
each window and entry, the due times of both systems (Unix times in seconds, to a tenth).
"""

import importlib
import json
import sys
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery, beat
from celery.schedules import crontab

STEP = timedelta(milliseconds=10)
"""How far the clock moves when beat does not sleep: it wakes so much too early."""

LONG = 10**9
"""Seconds that beat may sleep, so that it does not wake for nothing every five minutes of the year."""


class SimulatedBeat(beat.Scheduler):
    """Beat's own scheduler with one entry; time passes only when it sleeps."""

    def __init__(self, fields: dict[str, Any], zone: str, start: datetime) -> None:
        self.clock = start
        self.sent: list[datetime] = []
        self._zone = ZoneInfo(zone)
        app: Any = Celery(set_as_current=False)
        app.conf.timezone = zone
        app.conf.result_expires = None
        when = fields["schedule"]
        if hasattr(when, "nowfun"):
            when.nowfun = self.now
            when.__dict__.pop("tz", None)
        else:
            app.now = self.now
        app.conf.beat_schedule = {"entry": {**fields, "schedule": when}}
        super().__init__(app, max_interval=LONG)

    def now(self) -> datetime:
        """Return the simulated time."""
        return self.clock.astimezone(self._zone)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Note the time instead of sending."""
        self.sent.append(self.clock)

    @property
    def producer(self) -> Any:
        """Nothing is published."""
        return None

    def run(self, end: datetime, most: int) -> list[datetime]:
        """Run until `end`, or until so many slots were due."""
        while self.clock < end and len(self.sent) < most:
            sent = len(self.sent)
            pause = self.tick()
            if len(self.sent) == sent:
                self.clock += max(timedelta(seconds=pause), STEP)
        return self.sent


def ours(entry: Any, zone: str, start: datetime, end: datetime, most: int) -> list[datetime]:
    """Return the due times of the new scheduler."""
    found: list[datetime] = []
    due = entry.schedule.following(start, ZoneInfo(zone))
    while due < end and len(found) < most:
        found.append(due)
        due = entry.schedule.following(due, ZoneInfo(zone))
    return found


def main() -> None:
    """Compute both sides."""
    module, _, name = sys.argv[1].partition(":")
    package, plan = sys.argv[2], json.loads(sys.argv[3])
    app = getattr(importlib.import_module(module), name)
    schedule = importlib.import_module(f"{package}.beat_schedule")
    table = schedule.beat_schedule
    read_entries = importlib.import_module(f"{package}.schedule_entries").read_entries
    our_crontab = importlib.import_module(f"{package}.crontab").crontab
    entries = read_entries(table)
    report: dict[str, dict[str, Any]] = {}
    for window, given in plan.items():
        theirs, own = given["zone"] or str(app.timezone), given["zone"] or schedule.timezone
        most = given["intervals"]
        start, end = (datetime.fromisoformat(given[side]) for side in ("start", "end"))
        report[window] = {}
        given_entries = dict(app.conf.beat_schedule)
        for number, extra in enumerate(given["extra"]):
            shown = f"crontab {number}: {extra}"
            given_entries[shown] = {"task": "t", "schedule": crontab(**extra)}
            entries |= read_entries({shown: {"task": "t", "schedule": our_crontab(**extra)}})
        for entry_name, fields in given_entries.items():
            cron = type(fields["schedule"]).__name__ == "crontab"
            limit = sys.maxsize if cron else most
            celery = SimulatedBeat(dict(fields), theirs, start).run(end, limit)
            taskiq = ours(entries[entry_name], own, start, end, limit) if entry_name in entries else []
            report[window][entry_name] = {
                "kind": "crontab" if cron else "interval",
                "celery": [round(at.timestamp(), 1) for at in celery],
                "taskiq": [round(at.timestamp(), 1) for at in taskiq],
            }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
