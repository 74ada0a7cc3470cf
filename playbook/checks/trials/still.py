"""Trials that need no worker: what is registered, when entries are due, what the tests say."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from playbook.checks.registered import (
    PROBE,
    celery_unchanged,
    registered,
    tasks_of_phase,
    twins,
    write_tree,
)
from playbook.checks.schedule_lab import ENVIRONMENT
from playbook.checks.schedules import celery_stays, due_times, same_due_times, scheduled
from playbook.checks.simple_lab import task_modules
from playbook.checks.starts import SCRIPT, start_scripts
from playbook.checks.suite_checks import Proof, compare_trees, nothing_skipped, same_assertions
from playbook.checks.trials.copies import Copy, Results, Trial
from playbook.contracts import CheckContext
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.waiting import free_port
from playbook.phases import SchedulerParameters
from playbook.tree import Tree
from playbook.workspace import BASELINE, Workspace

DAYS, SLOTS = 40, 50
"""How much of the simulated year these trials look at: every day of a month, and every week-day."""

NOWHERE = "http://127.0.0.1:9/"


class StillTrials:
    """The trials that need no worker."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._tasks: dict[str, list[str]] = {}
        self.trials: dict[str, Trial] = {
            "registered": self.registered,
            "due": self.due,
            "sources": self.sources,
            "scripts": self.scripts,
        }

    def registered(self, copy: Copy) -> Results:
        """What both systems have registered."""
        application = self._context.application
        new = self._children(copy).probe(PROBE, application.celery_app, application.broker)
        phase = copy.phase or "02_simple_tasks"
        found = registered(self._before, new, self._planned(phase))
        return {"celery_unchanged": celery_unchanged(found), "twins": twins(found)}

    def due(self, copy: Copy) -> Results:
        """The due times of every entry on both systems."""
        workspace = Workspace(self._context.run_dir, self._context.application)
        children = self._children(copy)
        children.env = {**ENVIRONMENT, "HEALTHCHECK_URL": NOWHERE}
        found = due_times(self._context, children, SchedulerParameters(days=DAYS, slots=SLOTS))
        application = self._context.application
        year = [one for one in found if one.window == "year"]
        return {
            "celery_stays": celery_stays(application, workspace.before("04_scheduler"), copy.tree),
            "year": same_due_times(year, scheduled(application)),
            "clock_changes": same_due_times([one for one in found if one.window != "year"], set()),
        }

    def sources(self, copy: Copy) -> Results:
        """The sources of the application's tests."""
        findings, counts = compare_trees(self._context.application, self._baseline, copy.tree)
        proof = Proof(findings=findings, counts=counts, runs={})
        return {"same_assertions": same_assertions(proof), "nothing_skipped": nothing_skipped(proof)}

    def scripts(self, copy: Copy) -> Results:
        """The application's own start script."""
        application = self._context.application
        script = copy.path / application.root / SCRIPT
        package = application.broker.partition(".broker:")[0]
        return {"start_scripts": start_scripts(script, package, self._modules)}

    @cached_property
    def _modules(self) -> list[str]:
        return task_modules(self._context)

    def _planned(self, phase: str) -> list[str]:
        if phase not in self._tasks:
            self._tasks[phase] = tasks_of_phase(self._context, phase)
        return self._tasks[phase]

    @cached_property
    def _baseline(self) -> Tree:
        return Workspace(self._context.run_dir, self._context.application).tree(BASELINE)

    @cached_property
    def _before(self) -> dict[str, Any]:
        """What Celery had registered before the migration."""
        folder = write_tree(self._baseline, self._context.work_dir / "registered-before")
        children = Children(REFLECTOR, folder, self._context.work_dir, free_port())
        found: dict[str, Any] = children.probe(PROBE, self._context.application.celery_app)
        return found

    def _children(self, copy: Copy) -> Children:
        return Children(REFLECTOR, copy.path, self._context.work_dir, free_port())
