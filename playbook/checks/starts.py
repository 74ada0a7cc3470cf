"""Whether the application's start script starts what it says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playbook.checks.driver import Driver
from playbook.checks.simple_scenarios import HEALTHCHECK
from playbook.contracts import CheckResult
from playbook.lab import Lab, Process, wait_until

SCRIPT = "runserver.sh"
WORKER, SCHEDULER = "taskiq-worker", "taskiq-scheduler"
RUNNING = "the scheduler is running"
PATIENCE = 60.0
"""Seconds until what was started must have done something."""


def look(lab: Lab, driver: Driver) -> CheckResult:
    """Start the worker and the scheduler as operators do.

    Args:
        lab: without a TaskIQ worker; its workspace holds the script.
        driver: sends to TaskIQ.
    """
    ids = [driver.ask("health", None), *driver.call([(HEALTHCHECK, [], {})])]
    with _start(lab, WORKER), _start(lab, SCHEDULER) as scheduler:
        ran = wait_until(lambda: _have_results(driver, ids), PATIENCE)
        scheduled = wait_until(lambda: RUNNING in scheduler.tail(), PATIENCE)
    evidence = {WORKER: ran, SCHEDULER: scheduled}
    if not (ran and scheduled):
        idle = ", ".join(name for name, works in evidence.items() if not works)
        return CheckResult.failed(f"{SCRIPT} starts something else as {idle}, or nothing", evidence)
    return CheckResult.passed(f"What {SCRIPT} starts runs the application's tasks and its schedule", evidence)


def _start(lab: Lab, name: str) -> Process:
    script = next(lab.workspace.glob(f"*/{SCRIPT}"))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return lab.spawn(["sh", str(script), name], name=name, env={"PATH": path})


def _have_results(driver: Driver, ids: list[str]) -> bool:
    return all(result["state"] == "SUCCESS" for result in driver.ask("results", ids))
