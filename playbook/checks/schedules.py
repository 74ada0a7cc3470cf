"""What 04_scheduler proves: the same due times, and each slot sent once, whatever happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from playbook.checks.once import once
from playbook.checks.schedule_lab import EVERY, Fired, Ledger, ScheduleLab, ledger
from playbook.config import Application
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.inventory import inventory
from playbook.lab.children import Children
from playbook.models import Model
from playbook.phases import SchedulerParameters
from playbook.tree import Tree
from playbook.workspace import Workspace

PROBE = "playbook.checks.probes.schedule_year"
OFTEN = ("process_messages", "process_meetings")
MINUTELY = "sync_all_ics_calendars"
DAILY = ("reprocess_failed_recordings", "cleanup_old_public_data")
CHANGES = {
    "spring": {"Europe/Berlin": "2026-03-28T23:00Z", "America/New_York": "2026-03-08T05:00Z"},
    "autumn": {"Europe/Berlin": "2026-10-24T22:00Z", "America/New_York": "2026-11-01T04:00Z"},
}
"""Midnights (local) of the days on which clocks are set, in two zones."""

ENOUGH = 100
"""Slots of an interval on such a day: clocks do not matter to it."""

HOURLY = [{"minute": "*/30"}, {"minute": 30, "hour": 2}, {"minute": 15, "hour": "1,3"}]
"""Crontabs that these days are hard for; the application's own entries are computed as well."""


class Due(Model):
    """Due times of one entry in one window, by both systems (Unix times, s)."""

    window: str
    entry: str
    kind: str
    celery: list[float]
    taskiq: list[float]

    @property
    def same(self) -> bool:
        """Whether both have the same, and there are any in a window of a year."""
        return self.celery == self.taskiq


class Seen(Model):
    """All that was computed and seen."""

    year: list[Due]
    changes: list[Due]
    situations: list[Ledger]
    listing: list[dict[str, str]]


@once
def look(context: CheckContext) -> Seen:
    """Compute and run everything that the phase looks at, once.

    Raises:
        PlaybookError: something could not be done.
    """
    options = context.parameters
    assert isinstance(options, SchedulerParameters)
    with ScheduleLab(context) as lab:
        due = due_times(context, lab.lab, options)
        lab.tasks = {item["task"]: item["entry"] for item in lab.listing()}
        situations = [situation(lab) for situation in SITUATIONS]
        return Seen(
            year=[one for one in due if one.window == "year"],
            changes=[one for one in due if one.window != "year"],
            situations=situations,
            listing=lab.listing(),
        )


def due_times(context: CheckContext, children: Children, options: SchedulerParameters) -> list[Due]:
    """Compute the due times of both systems, in the year and on the days on which clocks are set.

    Args:
        context: names the application.
        children: where the migrated source is, and its settings.
        options: how much of the year.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    windows: dict[str, dict[str, Any]] = {
        # Each system keeps its own time zone here: that is compared as well.
        "year": {"zone": None, "start": start, "end": start + timedelta(days=options.days), "extra": []}
    }
    for season, midnights in CHANGES.items():
        for zone, text in midnights.items():
            midnight = datetime.fromisoformat(text)
            window = {"zone": zone, "start": midnight, "end": midnight + timedelta(days=1), "extra": HOURLY}
            windows[f"{season}, {zone}"] = window
    plan = {
        name: {
            **window,
            "start": str(window["start"]),
            "end": str(window["end"]),
            "intervals": options.slots if name == "year" else ENOUGH,
        }
        for name, window in windows.items()
    }
    package = context.application.broker.partition(".broker:")[0]
    found = children.probe(PROBE, context.application.celery_app, package, json.dumps(plan), timeout=300)
    return [
        Due(window=window, entry=entry, **given)
        for window, entries in found.items()
        for entry, given in entries.items()
    ]


# Situations


def _together(*functions: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor() as threads:
        return [future.result() for future in [threads.submit(function) for function in functions]]


def hand_over(lab: ScheduleLab) -> Ledger:
    """From beat to the scheduler and back, with flips faster than the slots, while all run."""
    lab.route("celery")
    processes = _together(lab.beat, lab.scheduler, lab.scheduler)
    _begin_to_count(lab)
    lab.wait(6, *OFTEN)
    lab.route("taskiq")
    lab.wait(6, *OFTEN)
    for number in range(20):
        lab.route(("celery", "taskiq")[number % 2])
        time.sleep(0.15)
    lab.route("celery")
    fired = lab.wait(6, *OFTEN)
    _together(*(process.stop for process in processes))
    return ledger("hand-over from beat and back, both running", fired)


def replica_killed(lab: ScheduleLab) -> Ledger:
    """Two replicas, one gets SIGKILL."""
    lab.route("taskiq")
    first, second = _together(lab.scheduler, lab.scheduler)
    _begin_to_count(lab)
    lab.wait(4, *OFTEN)
    first.kill()
    fired = lab.wait(6, *OFTEN)
    second.stop()
    return ledger("two replicas, one killed", fired)


def restarts(lab: ScheduleLab) -> Ledger:
    """Two restarts within the minute of a slot: one that has been sent, one that is still to come."""
    _begin_anew(lab)
    last = lab.rewind(50, MINUTELY)[MINUTELY]
    lab.scheduler().stop()
    lab.scheduler().stop()
    running = lab.scheduler()
    lab.wait(0, MINUTELY)
    if not lab.fired(MINUTELY):
        lab.wait(1, MINUTELY)
    running.stop()
    lab.scheduler().stop()
    return ledger("restarts within the minute", lab.fired(MINUTELY), {MINUTELY: [last + 60]})


def downtime(lab: ScheduleLab) -> Ledger:
    """Nothing runs for five minutes, or over a daily slot; then two replicas start at once."""
    _begin_anew(lab)
    now = float(lab.redis.time()[0])
    short = lab.rewind(300, *OFTEN, MINUTELY)
    due = {name: [last + (EVERY if name in OFTEN else 60)] for name, last in short.items()}
    lab.rewind(86_400 + 300, *DAILY)
    replicas = _together(lab.scheduler, lab.scheduler)
    lab.wait(4, *OFTEN)
    _together(*(replica.stop for replica in replicas))
    made_up = [
        fired
        for fired in lab.fired(*OFTEN, MINUTELY, *DAILY)
        if fired.slot < now - 60 or fired.entry in DAILY
    ]
    for name in DAILY:
        slots = [fired.slot for fired in made_up if fired.entry == name]
        due[name] = slots[:1] or [now]
    return ledger("five minutes of downtime across due times", made_up, due)


SITUATIONS = (hand_over, replica_killed, restarts, downtime)
"""In the order of the checks."""


def _begin_to_count(lab: ScheduleLab) -> None:
    """Leave out what is made up at the start: it belongs to the time before."""
    lab.wait(4, *OFTEN)
    lab.forget()


def _begin_anew(lab: ScheduleLab) -> None:
    lab.forget()
    lab.rewind(0, *OFTEN, MINUTELY, *DAILY)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def lateness(fired: list[Fired]) -> dict[str, dict[str, float]]:
    """Return for each system how late its messages were: median and p99, in milliseconds."""
    return {
        system: {
            "messages": len(late),
            "median, ms": round(percentile(late, 0.5) * 1000, 1),
            "p99, ms": round(percentile(late, 0.99) * 1000, 1),
        }
        for system in ("celery", "taskiq")
        if (late := [one.late for one in fired if one.system == system])
    }


# Verdicts


def same_due_times(found: list[Due], entries: set[str]) -> CheckResult:
    """Whether both systems have the same due times.

    Args:
        found: what was computed.
        entries: those that must have any.
    """
    differing = [f"{one.entry} ({one.window})" for one in found if not one.same]
    absent = entries - {one.entry for one in found if one.celery}
    if differing or absent:
        return CheckResult.failed(f"Other due times: {differing}; none at all: {sorted(absent)}")
    evidence = {f"{one.window}: {one.entry}": len(one.celery) for one in found}
    return CheckResult.passed(
        f"{sum(evidence.values())} slots of {len(found)} entries are the same", evidence
    )


def _year(context: CheckContext) -> CheckResult:
    return same_due_times(look(context).year, scheduled(context.application))


def scheduled(application: Application) -> set[str]:
    """Return the entries of the schedule, those that the settings may switch off included."""
    return {entry.entry for entry in inventory(application.root_path).schedules}


def _changes(context: CheckContext) -> CheckResult:
    return same_due_times(look(context).changes, set())


def celery_stays(application: Application, before: Tree, after: Tree) -> CheckResult:
    """Whether the module of Celery's schedule has one line more, and is the same else."""
    path = application.module_path(application.celery_app.partition(":")[0])
    added = set(after[path].splitlines()) - set(before[path].splitlines())
    kept = [line for line in after[path].splitlines() if line not in added]
    if kept != before[path].splitlines() or len(added) != 1:
        return CheckResult.failed(f"{path} has changed by more than one line", sorted(added))
    return CheckResult.passed("Celery's schedule is byte for byte as it was; one line is new", sorted(added))


def _celery_stays(context: CheckContext) -> CheckResult:
    workspace = Workspace(context.run_dir, context.application)
    return celery_stays(
        context.application, workspace.before("04_scheduler"), workspace.after("04_scheduler")
    )


def each_slot_once(seen: Ledger, handed_over: bool = False) -> CheckResult:
    """Whether each due slot was sent once; `handed_over`: by one system and then by the other."""
    if not seen.ok:
        text = f"{seen.due} slots due, {len(seen.fired)} sent, {len(seen.missed)} missed"
        return CheckResult.failed(f"{text}, {len(seen.doubled)} doubled", {"missed": seen.missed})
    if handed_over and seen.systems != ["celery", "taskiq"]:
        return CheckResult.failed(f"only {seen.systems} sent something: nothing was handed over")
    return CheckResult.passed("Each due slot was sent once")


def _situation(number: int) -> Callable[[CheckContext], CheckResult]:
    return lambda context: each_slot_once(look(context).situations[number], handed_over=number == 0)


CHECKS = (
    Check("celery_stays", "Celery's schedule stays as it was", _celery_stays),
    Check("year", "Every entry has the same due times on both systems, over a year", _year),
    Check("clock_changes", "Also on the days on which clocks are set, in two zones", _changes),
    Check("hand_over", "Each slot is sent once while the flag moves from beat and back", _situation(0)),
    Check("replica_killed", "Each slot is sent once when one of two replicas is killed", _situation(1)),
    Check("restarts", "A restart neither repeats nor forgets a slot", _situation(2)),
    Check("downtime", "What was missed is made up once", _situation(3)),
)
