"""The faults' part of 05_validation: each fault by itself, and many of them at random."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from playbook.checks import schedules
from playbook.checks.faults_cases import CASES, Case
from playbook.checks.faults_disk import fill_disk
from playbook.checks.faults_random import Storm, run_storm
from playbook.checks.faults_run import Outcome, run_case
from playbook.checks.once import once
from playbook.checks.schedule_lab import ScheduleLab
from playbook.config import CONFIG_NAME
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.models import Model, System

QUICK: tuple[str, ...] = (
    "SIGKILL of a process that runs tasks",
    "SIGTERM of a worker",
    "Redis killed, appendfsync always",
    "Redis full (maxmemory, noeviction)",
)
"""The faults that are tried if not all of them are."""

QUICK_TASKS, TASKS = 150, 1_000
"""Tasks that a fault strikes."""

QUICK_STORM, STORM, SEEDS = 500, 5_000, 20
"""Tasks that faults at random strike, and seeds of these."""

LATE = 1.0
"""Seconds after which a slot of the schedule was sent late."""

AT_ONCE = 3
"""Sites that run at the same time."""


class Faults(Model):
    """What came of all of them."""

    outcomes: list[Outcome]
    storms: list[Storm]

    def of(self, system: System) -> list[Outcome]:
        """What came of the faults on one system."""
        return [one for one in self.outcomes if one.system == system]


@once
def look(context: CheckContext) -> Faults:
    """Let the faults strike, once."""
    full = bool(getattr(context.parameters, "full", False))
    folder = context.work_dir / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        storms = [
            threads.submit(
                run_storm, seed, STORM if full else QUICK_STORM, context.workspace, folder / f"seed-{seed}"
            )
            for seed in range(SEEDS if full else 1)
        ]
        outcomes = [threads.submit(work) for work in _work(context, folder, full)]
        return Faults(
            outcomes=[outcome.result() for outcome in outcomes], storms=[one.result() for one in storms]
        )


def _work(context: CheckContext, folder: Path, full: bool) -> list[Callable[[], Outcome]]:
    chosen = [case for case in CASES if full or case.fault in QUICK]
    work: list[Callable[[], Outcome]] = []
    for number, case in enumerate(chosen):
        systems: tuple[System, ...] = ("taskiq", "celery") if full else ("taskiq",)
        for system in systems:
            work.append(partial(_run, case, system, context, folder / f"{number}-{system}", full))
    return (
        [*work, partial(kill_scheduler, context), partial(fill, context, folder / "disk")] if full else work
    )


def _run(case: Case, system: System, context: CheckContext, folder: Path, full: bool) -> Outcome:
    return run_case(case, system, TASKS if full else QUICK_TASKS, context.workspace, folder)


def kill_scheduler(context: CheckContext) -> Outcome:
    """SIGKILL one of two schedulers."""
    with ScheduleLab(context) as lab:
        lab.tasks = {item["task"]: item["entry"] for item in lab.listing()}
        found = schedules.replica_killed(lab)
    return Outcome(
        fault="SIGKILL of a scheduler, another one runs",
        promise="each slot is sent once",
        system="taskiq",
        observed=f"slots sent at most {max(one.late for one in found.fired):.1f} s after they were due",
        tasks=found.due,
        lost=len(found.missed),
        doubled=len(found.doubled),
        late=sum(one.late > LATE for one in found.fired),
        problems=[] if found.ok else ["slots were missed or sent twice"],
    )


def fill(context: CheckContext, runs_dir: Path) -> Outcome:
    """Let the disk of a run be full."""
    runs_dir.mkdir(parents=True)
    stops = fill_disk(context.application, context.application.base / CONFIG_NAME, runs_dir)
    return Outcome(
        fault="disk full in the run's folder",
        promise="the playbook stops with one line; nothing is half-written; the next run comes to the same",
        system="taskiq",
        observed=f"{len(stops)} times stopped with one line",
        problems=[problem for stop in stops for problem in stop.problems],
    )


def promises_kept(faults: Faults) -> CheckResult:
    """What is promised for each fault was kept."""
    outcomes = faults.of("taskiq")
    broken = [f"{one.fault}: {problem}" for one in outcomes for problem in one.problems]
    if broken:
        return CheckResult.failed(f"{len(broken)} promises are broken: {'; '.join(broken)}", broken)
    names = [one.fault for one in outcomes]
    return CheckResult.passed(f"{len(names)} faults, and what is promised for each was kept", names)


def nothing_lost(faults: Faults) -> CheckResult:
    """Faults at random lost nothing."""
    problems = [problem for storm in faults.storms for problem in storm.problems]
    sent = sum(storm.tally.tasks for storm in faults.storms)
    if problems or not sent:
        return CheckResult.failed("; ".join(problems) or "nothing was sent", problems)
    return CheckResult.passed(f"{sent} tasks under random faults in {len(faults.storms)} runs: 0 lost", sent)


CHECKS: tuple[Check, ...] = (
    Check("fault_promises", "What is promised for each fault is kept", lambda c: promises_kept(look(c))),
    Check("random_faults", "Random faults lose nothing", lambda c: nothing_lost(look(c))),
)
